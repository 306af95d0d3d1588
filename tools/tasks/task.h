#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "haze/diffusion/model.h"
#include "haze/tools/run/report.h"
#include "haze/tools/run/trace.h"
#include "haze/tools/tasks/picture.h"

namespace haze {

/// The parts of a run's data.
enum class Part { train, valid, test };

/// Files that a task keeps in a checkpoint, such as the tokeniser: name, contents.
using SideFiles = std::vector<std::pair<std::string, std::string>>;

/// The contents of one of them. Throws Error where it is missing.
const std::string& side_file(const SideFiles& files, std::string_view name);

/// Examples that can be had by number.
class Examples {
 public:
  virtual ~Examples() = default;
  /// How many, at least 1.
  virtual int64_t size() const = 0;
  /// Rows that one of them takes in a network: what fits in a call is counted in rows.
  virtual int64_t rows(int64_t index) const = 0;
  virtual Batch batch(std::span<const int64_t> indices) const = 0;
};

/// The examples `indices` in batches of at most `rows_per_call` rows, or of one example.
std::vector<Batch> batches_of(const Examples& examples, std::span<const int64_t> indices,
                              int64_t rows_per_call = 8192);

/// At most `count` indices of [0, size), evenly spread; 0: all.
std::vector<int64_t> spread_indices(int64_t size, int64_t count);

/// Which samples are asked for.
struct SampleRequest {
  int64_t count = 1;
  int64_t first = 0;                  // number of the first sample: numbers are drawn for each by its own
  int64_t length = 0;                 // tokens of each text with its end; 0: as in training
  int64_t shortest = 1;               // of a length that is drawn
  std::optional<std::string> gapped;  // a text with gaps to be filled in, as GappedText reads it
  std::optional<std::string> prompt;  // the beginning of the text
  std::optional<std::string> source;  // what the text answers to
  std::optional<int64_t> label;       // the class that is wanted
  uint64_t seed = 1;
};

/// The class that a request wants, of `labels` classes. Throws Error, naming the model, where its sampler
/// cannot draw one class, or there is no such class.
std::optional<int32_t> wanted_label(const SampleRequest& request, const Uses& uses, int64_t labels,
                                    const std::string& model);

/// Tells how far a piece of work is, such as "evaluating"; it may throw to break it off.
using WorkProgress = std::function<void(const std::string& work, int64_t done, int64_t all)>;

/// The data and options of an evaluation that goes beyond the bound.
struct TaskEvaluation {
  const Model& model;
  const Settings& settings;
  const Examples& examples;
  std::span<const int64_t> indices;  // of the examples that are evaluated
  std::filesystem::path file;        // of the examples; empty where they come from no file
  bool own_data = true;              // the run's own data, and not a file of the command line
  int64_t samples = 0;               // to draw
  uint64_t seed = 1;
  WorkProgress observer;
};

/// The size of what a run learns from, which it says before the first step.
struct DataSummary {
  std::string line;               // "36 texts, 812 tokens, a vocabulary of 85 words, 0.0% of tokens unknown"
  std::vector<Measure> measures;  // the same for programs
};

/// A kind of data: where they come from, what a model is told of them, and how samples look. A task knows
/// nothing of models.
class Task {
 public:
  virtual ~Task() = default;

  virtual DataFacts facts() const = 0;
  virtual SideFiles side_files() const { return {}; }
  /// The noun for what Batch::units() counts, such as "token".
  virtual std::string unit() const = 0;
  /// The noun for one example, such as "text".
  virtual std::string example() const = 0;

  /// The examples of a part of the run's data. Throws Error where a file is missing or wrong.
  virtual std::unique_ptr<Examples> examples(const Settings& settings, Part part) const = 0;
  /// Those of a file of the command line; throws Error where the task has no files.
  virtual std::unique_ptr<Examples> examples_of(const Settings& settings,
                                                const std::filesystem::path& file) const = 0;
  /// The numbers of a run's examples: those to train on, and those to evaluate on in training.
  virtual DataSummary summary(const Examples& train, const Examples& valid) const = 0;
  /// The source of a part, as messages name it, and a fingerprint that tells it from a changed one.
  virtual std::string origin(const Settings& settings, Part part) const = 0;
  virtual std::string fingerprint(const Settings& settings, Part part) const = 0;

  /// The requests for a sampler. Throws Error, naming the model, where the sampler cannot do it.
  virtual std::vector<Request> requests(const Settings& settings, const Uses& uses,
                                        const SampleRequest& request) const = 0;
  /// Tokens that must not be drawn.
  virtual std::vector<int32_t> forbidden_tokens(const Settings& settings, const Uses& uses) const = 0;
  /// Sample `index` as people read it, and as a JSON object.
  virtual std::string written(const Samples& samples, int64_t index) const = 0;
  virtual std::string json(const Samples& samples, int64_t index) const = 0;

  /// Throws Error where samples are texts, of which there is no picture.
  void require_picture(const Settings& settings) const;
  /// The samples as one picture; throws as require_picture().
  virtual Picture picture(const Settings& settings, const Samples& samples) const;

  /// A trace without steps, of what a request gives; throws Error where the samples have no tokens.
  virtual Trace new_trace(const Request& request) const = 0;
  /// The step that a snapshot shows of example `index`.
  virtual TraceStep trace_step(const Snapshot& snapshot, size_t index) const = 0;

  /// How many samples are drawn and measured unless somebody says otherwise.
  virtual int64_t default_samples() const { return 200; }
  /// Adds to the report the measures beyond the bound.
  virtual void measure(const TaskEvaluation& evaluation, Report& report) const = 0;
};

/// The names of all measures that an evaluation can hold of the data that data.task calls `task`, but for
/// losses. Which of them it holds, model and data decide.
std::vector<std::string> task_measure_names(const std::string& task);

/// The task of a new run: reads the training data where it has to, for a tokeniser. `folder` is the run's:
/// the built-in corpus is written there.
std::unique_ptr<Task> start_task(const Settings& settings, const std::filesystem::path& folder);

/// The task of a run that there is, from the side files of a checkpoint.
std::unique_ptr<Task> restore_task(const Settings& settings, const std::filesystem::path& folder,
                                   const SideFiles& side_files);

}  // namespace haze
