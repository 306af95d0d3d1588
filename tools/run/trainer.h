#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "haze/nn/ema.h"
#include "haze/nn/optimizer.h"
#include "haze/nn/schedule.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/metrics.h"
#include "haze/tools/run/profile_report.h"
#include "haze/tools/run/progress.h"
#include "haze/tools/run/run_folder.h"
#include "haze/tools/run/step_recorder.h"
#include "haze/tools/run/text_model.h"
#include "haze/tools/text/batch_stream.h"

namespace haze {

/// Steps before a profile begins: the first make memory, which later ones find made.
inline constexpr int64_t kProfileWarmUp = 3;

/// What `haze train` is asked for beyond the settings.
struct TrainOptions {
  std::filesystem::path run_folder;
  int64_t stop_at = 0;       // step after which to checkpoint and leave, as on Ctrl-C; 0: the last
  int64_t record_steps = 0;  // keep the batches and losses of the first steps for bench/peers/replay.py
  /// Steps to profile after kProfileWarmUp others; then the run stops as at stop_at. 0: no profile.
  int64_t profile_steps = 0;
  std::optional<DataFiles> moved_files;  // where the texts of a resumed run are now, if not where they were
  ProgressOutput progress = ProgressOutput::standard_error();
};

/// How a training run ended.
struct TrainResult {
  int interrupted_by = 0;  // the signal, SIGINT at Ctrl-C; 0: none
  int64_t step = 0;
  int64_t last_step = 0;               // where the settings end the run
  std::optional<BoundEstimate> bound;  // of the last evaluation, of the validation texts given their lengths
  std::optional<ProfileReport> profile;  // where one was asked for
};

/// What the data files of a run were, as fingerprint_of() says it.
struct DataFingerprints {
  std::string train, valid;
};

/// A training run: settings and data in, a folder of checkpoints, metrics.jsonl and plot.svg out, and
/// profile.json where a profile is asked for, which changes no bits. A run that was stopped at any moment and
/// resumed ends with the same bits as one that was not.
class Trainer {
 public:
  /// A new run. Throws Error where the folder cannot be a new run's (RunFolder::start).
  static std::unique_ptr<Trainer> start(const Settings& settings, const TrainOptions& options);
  /// The run whose latest checkpoint is in the folder, with its settings. Throws Error where there is none,
  /// where another process trains it, and where a data file is not what it was.
  static std::unique_ptr<Trainer> resume(const TrainOptions& options);

  /// Trains to the last step, or until Ctrl-C, options.stop_at or the end of the profile; leaves a checkpoint
  /// of the last step done. An evaluation that Ctrl-C breaks off is made up for on resuming. Throws Error
  /// where no step is left to profile, which start() says before it makes a folder.
  TrainResult run();

 private:
  Trainer(RunFolder folder, const TrainOptions& options) : folder_(std::move(folder)), options_(options) {}
  void load_data(const Settings& settings, const Tokenizer& tokenizer);
  void make_optimizer();
  void train_step(ProgressBar& progress);
  void evaluate(ProgressBar& progress, const InterruptGuard& interrupt);
  void save();

  const Settings& settings() const { return model_->settings(); }

  RunFolder folder_;
  TrainOptions options_;
  std::unique_ptr<TextModel> model_;
  std::optional<DataFingerprints> fingerprints_;
  std::optional<DataSet> train_, valid_;
  std::optional<BatchStream> stream_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<LearningRateSchedule> schedule_;
  std::optional<Ema> ema_;
  std::optional<StepRecorder> recorder_;
  std::optional<MetricsLog> metrics_;
  std::optional<BoundEstimate> bound_;
  Generator generator_{0};
  int64_t step_ = 0;
  bool evaluation_due_ = false;
  double loss_sum_ = 0;  // since the last line of metrics
  int64_t loss_count_ = 0;
};

}  // namespace haze
