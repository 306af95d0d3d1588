#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "haze/nn/ema.h"
#include "haze/nn/optimizer.h"
#include "haze/nn/schedule.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/divergence.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/metrics.h"
#include "haze/tools/run/profile_report.h"
#include "haze/tools/run/progress.h"
#include "haze/tools/run/relative_paths.h"
#include "haze/tools/run/resumed_settings.h"
#include "haze/tools/run/run_folder.h"
#include "haze/tools/run/run_state.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/step_graphs.h"
#include "haze/tools/run/step_recorder.h"

namespace haze {

/// Steps before a profile begins: the first make memory, which later ones find made.
inline constexpr int64_t kProfileWarmUp = 3;

/// Options of `haze train` beyond the settings.
struct TrainOptions {
  std::filesystem::path run_folder;
  int64_t stop_at = 0;       // step after which to checkpoint and leave, as on Ctrl-C; 0: the last
  int64_t record_steps = 0;  // keep the batches and losses of the first steps for bench/peers/replay.py
  /// Steps to profile after kProfileWarmUp others; then the run stops as at stop_at. 0: no profile.
  int64_t profile_steps = 0;
  /// For a new run: another run whose weights it starts from, if names and shapes match.
  std::optional<std::filesystem::path> initial_run;
  MovedPaths moved_paths;        // of a resumed run: what is not where it was
  std::optional<int64_t> steps;  // of a resumed run: a new train.steps
  ProgressOutput progress = ProgressOutput::standard_error();
  Device device = Device::cpu;  // where the model lies; no setting: a run can go on elsewhere
  /// Rows of a batch are rounded up to a multiple of it, where the model can (Model::padded()); 0: they are
  /// not. The added rows change the order of sums, and so the last bits.
  int64_t row_multiple = 0;
  /// Whether steps over batches of shapes that come again are captured as graphs. Needs a GPU.
  bool graphs = false;
};

/// How a training run ended.
struct TrainResult {
  int interrupted_by = 0;  // the signal, SIGINT at Ctrl-C; 0: none
  int64_t step = 0;
  int64_t last_step = 0;                 // where the settings end the run
  std::optional<Report> evaluation;      // the last one, on the validation examples
  std::optional<BestEvaluation> best;    // of all evaluations, whose checkpoint is RUN/best
  std::optional<ProfileReport> profile;  // where one was asked for
  int64_t replays = 0;                   // updates that a graph has made
  DataSummary data;                      // what the run learns from
  int64_t parameters = 0;                // numbers of the model's weights, frozen ones among them
};

/// A training run of any model on any task: settings and data in, a folder of checkpoints, metrics.jsonl and
/// plot.svg out, and profile.json where a profile is asked for, which changes no bits. A run that was stopped
/// at any moment and resumed ends with the same bits as one that was not.
class Trainer {
 public:
  /// A new run. Throws Error where the folder cannot be a new run's (RunFolder::start).
  static std::unique_ptr<Trainer> start(const Settings& settings, const TrainOptions& options);
  /// The run whose latest checkpoint is in the folder, with its settings. Throws Error where there is none,
  /// where another process trains it, and where what it stands on, such as a data file, is not what it was.
  static std::unique_ptr<Trainer> resume(const TrainOptions& options);

  /// Says what there is to learn from, and trains to the last step, or until Ctrl-C, options.stop_at or the
  /// end of the profile; leaves a checkpoint of the last step done, and, where can_be_best() (evaluation.h),
  /// one of the best evaluation. An evaluation that Ctrl-C breaks off is made up for on resuming. Throws
  /// Error where no step is left to profile, which start() says before it makes a folder.
  TrainResult run();

 private:
  /// An objective of the model and what minimises it.
  struct Minimisation {
    Objective objective;
    std::vector<ParameterGroup> groups;
    std::unique_ptr<Optimizer> optimizer;
  };

  /// The sum of what was logged under a name since the last line of metrics.
  struct RunningSum {
    std::string name;
    Tensor sum;  // float64 []
    int64_t count = 0;
  };

  Trainer(RunFolder folder, const TrainOptions& options, SavedModel saved)
      : folder_(std::move(folder)), options_(options), saved_(std::move(saved)) {}
  /// Notes what the run stands on; throws Error where that is not what it was.
  void check_origins(const RunState* state);
  void open_data();
  void make_optimizers();
  void start_from(const std::filesystem::path& run);
  void restore(const Checkpoint& checkpoint, const RunState& state);
  void say_summary() const;
  void train_step(ProgressBar& progress);
  /// One update of one objective; the mean loss, float64 [].
  Tensor minimise(size_t index, const std::vector<Batch>& batches, double learning_rate, ProfilePhase& phase);
  /// The same by a graph, where one is captured; a model's own parts of the loss are logged, too.
  Tensor minimise_by_graph(size_t index, const Batch& batch, double learning_rate, ProfilePhase& phase);
  /// Forward, backward and a step of the optimizer, with no number of the host that changes. What is to be
  /// logged: the mean loss first, the gradients' norm last.
  NamedTensors update(size_t index, const Batch& prepared, Generator& generator, const Tensor& learning_rate);
  /// "" where there is one objective.
  std::string suffix_of(size_t index) const;
  Batch prepared(const Batch& batch, size_t index);
  /// Clips the gradients and steps by them; their norm before, float64 [].
  Tensor step_optimizer(Minimisation& minimisation, double learning_rate, const Tensor& loss);
  /// The same where numbers are not there. `step` is given the scale of the gradients.
  Tensor step_on_device(Minimisation& minimisation, const Tensor& loss,
                        const std::function<void(const Tensor& scale)>& step);
  static void check_graphs(const Settings& settings, const TrainOptions& options);
  /// On the cpu every number is there at once, and is looked at in each step. Another device is still at
  /// work: its numbers are looked at by check_steps() alone.
  bool numbers_are_there() const { return options_.device == Device::cpu; }
  void check_loss(std::string_view steps, double loss) const;
  /// Waits for the device. Throws Error where a number of the steps since the last call is not finite.
  void check_steps();
  void log(const std::string& name, const Tensor& value);
  void write_metrics();
  /// Throws Error where the loss of this session is far above where it began.
  void check_divergence(const MetricsRow& row);
  /// Appends a line of metrics. Where it cannot be written, leaves a checkpoint and throws Error.
  void append(const MetricsRow& row);
  void evaluate(ProgressBar& progress, const InterruptGuard& interrupt);
  void save();
  RunState state() const;
  NamedTensors optimizer_state() const;

  const Settings& settings() const { return saved_.settings; }
  Model& model() { return *saved_.model; }

  RunFolder folder_;
  TrainOptions options_;
  SavedModel saved_;
  std::string working_folder_ = current_folder().string();  // in which the run was begun
  std::vector<std::pair<std::string, std::string>> origins_;
  std::unique_ptr<Examples> train_, valid_;
  DataSummary summary_;
  std::optional<BatchStream> stream_;
  std::vector<Minimisation> minimisations_;
  std::optional<LearningRateSchedule> schedule_;
  std::optional<Ema> ema_;
  std::optional<StepRecorder> recorder_;
  std::optional<StepGraphs> graphs_;
  std::optional<MetricsLog> metrics_;
  DivergenceDetector divergence_;
  std::optional<Report> evaluation_;
  std::optional<BestEvaluation> best_;
  bool best_unsaved_ = false;  // the checkpoint that is due is the best so far
  Generator generator_{0};
  int64_t step_ = 0;
  bool evaluation_due_ = false;
  std::vector<RunningSum> sums_;
};

}  // namespace haze
