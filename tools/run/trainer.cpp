#include "haze/tools/run/trainer.h"

#include <algorithm>
#include <cmath>

#include <toml++/toml.h>

#include "haze/nn/file_io.h"
#include "haze/tools/run/plot.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/run/version.h"
#include "haze/tools/run/work_observer.h"

namespace haze {
namespace {

// Streams of the run's seed: each use of random numbers has its own.
enum Stream : uint64_t { kInitialWeights = 1, kTraining = 2, kEvaluation = 3 };

constexpr int kEvaluationPasses = 2;

LearningRateOptions learning_rate_options(const Settings& settings) {
  LearningRateOptions options;
  const std::string& curve = settings.text("optimizer.schedule");
  options.curve = curve == "cosine"   ? LearningRateCurve::cosine
                  : curve == "linear" ? LearningRateCurve::linear
                                      : LearningRateCurve::constant;
  options.peak = settings.real("optimizer.learning_rate");
  options.total_steps = settings.integer("train.steps");
  options.warmup_steps = std::min(settings.integer("optimizer.warmup_steps"), options.total_steps);
  options.final_fraction = settings.real("optimizer.final_fraction");
  return options;
}

std::unique_ptr<Optimizer> optimizer_of(const Settings& settings, std::vector<NamedParameter> parameters) {
  const std::string& kind = settings.text("optimizer.kind");
  const double decay = settings.real("optimizer.weight_decay"), epsilon = settings.real("optimizer.epsilon");
  if (kind == "adagrad") {
    return std::make_unique<Adagrad>(std::move(parameters),
                                     AdagradHyperparameters{.epsilon = epsilon, .weight_decay = decay});
  }
  if (kind == "sgd") {
    const SgdHyperparameters sgd{.momentum = settings.real("optimizer.momentum"), .weight_decay = decay};
    return std::make_unique<Sgd>(std::move(parameters), sgd);
  }
  const AdamWHyperparameters adamw{.beta1 = settings.real("optimizer.beta1"),
                                   .beta2 = settings.real("optimizer.beta2"),
                                   .epsilon = epsilon,
                                   .weight_decay = decay};
  return std::make_unique<AdamW>(std::move(parameters), adamw);
}

LengthDistribution lengths_of(const DataSet& data, int64_t longest) {
  std::vector<int64_t> counts(static_cast<size_t>(longest) + 1);
  for (int64_t i = 0; i < data.size(); ++i) ++counts[data.sequence(i).size()];
  return LengthDistribution(std::move(counts));
}

/// What state.toml holds.
struct RunState {
  Generator::State generator;
  BatchStream::State data;
  double loss_sum = 0;  // of the steps since the last line of metrics, so that the next line has them too
  int64_t loss_count = 0;
  bool evaluation_due = false;  // that of this step was broken off
  DataFingerprints files;
};

// TOML's integers are signed: the 64 bits of a seed or counter are kept, whatever they are as a number.
std::string print_state(const RunState& state) {
  const auto as_signed = [](uint64_t bits) { return static_cast<int64_t>(bits); };
  return fmt::format(
      "[generator]\nseed = {}\nstream = {}\ncounter = {}\n\n[data]\nepoch = {}\nposition = {}\n\n"
      "[metrics]\nloss_sum = {}\nloss_count = {}\nevaluation_due = {}\n\n"
      "[files]\ntrain = \"{}\"\nvalid = \"{}\"\n",
      as_signed(state.generator.seed), as_signed(state.generator.stream), as_signed(state.generator.counter),
      state.data.epoch, state.data.position, state.loss_sum, state.loss_count, state.evaluation_due,
      state.files.train, state.files.valid);
}

RunState parse_state(const std::string& text) {
  toml::table table;
  try {
    table = toml::parse(std::string_view(text));
  } catch (const toml::parse_error& error) {
    fail("state.toml of the checkpoint: {}", error.description());
  }
  const auto value = [&]<typename Value>(Value, const char* section, const char* key) {
    const auto found = table[section][key].value<Value>();
    if (!found) fail("state.toml of the checkpoint: {}.{} is missing", section, key);
    return *found;
  };
  const auto integer = [&](const char* section, const char* key) { return value(int64_t{}, section, key); };
  const auto bits = [&](const char* key) { return static_cast<uint64_t>(integer("generator", key)); };
  return {{bits("seed"), bits("stream"), bits("counter")},
          {integer("data", "epoch"), integer("data", "position")},
          value(double{}, "metrics", "loss_sum"),
          integer("metrics", "loss_count"),
          value(bool{}, "metrics", "evaluation_due"),
          {value(std::string(), "files", "train"), value(std::string(), "files", "valid")}};
}

void check_unchanged(const std::filesystem::path& path, const std::string& then, const std::string& now) {
  if (now == then) return;
  fail("{} has changed since the run began, from {} to {}: the run can only go on with the same texts",
       path.string(), then, now);
}

/// config.toml: the settings, and what wrote them.
std::string print_configuration(const Settings& settings) {
  return fmt::format("# haze {}\n{}", program_version(), settings.print());
}

/// The step after which a run that has done `done` of `last` leaves.
int64_t stop_step(const TrainOptions& options, int64_t done, int64_t last) {
  const int64_t stop = options.stop_at > 0 ? std::min(options.stop_at, last) : last;
  if (options.profile_steps == 0) return stop;
  if (stop - done <= kProfileWarmUp) {
    fail("a profile begins after {} steps of warm-up, and the run has {} left", kProfileWarmUp,
         std::max<int64_t>(stop - done, 0));
  }
  return std::min(stop, done + kProfileWarmUp + options.profile_steps);
}

}  // namespace

void Trainer::load_data(const Settings& settings, const Tokenizer& tokenizer) {
  const DataFiles files = data_files(settings, options_.run_folder / "data");
  const DataFingerprints now{fingerprint_of(files.train), fingerprint_of(files.valid)};
  if (fingerprints_) {
    check_unchanged(files.train, fingerprints_->train, now.train);
    check_unchanged(files.valid, fingerprints_->valid, now.valid);
  }
  fingerprints_ = now;
  train_.emplace(load_data_set(files.train, settings, tokenizer));
  valid_.emplace(load_data_set(files.valid, settings, tokenizer));
  stream_.emplace(*train_, settings.integer("train.batch_size"),
                  static_cast<uint64_t>(settings.integer("train.seed")));
}

void Trainer::make_optimizer() {
  optimizer_ = optimizer_of(settings(), model_->denoiser().parameters());
  schedule_.emplace(learning_rate_options(settings()));
  if (settings().real("optimizer.ema") > 0)
    ema_.emplace(model_->denoiser().parameters(), settings().real("optimizer.ema"));
}

std::unique_ptr<Trainer> Trainer::start(const Settings& settings, const TrainOptions& options) {
  if (options.record_steps > settings.integer("train.steps")) {
    fail("{} steps cannot be recorded of a run of {}", options.record_steps, settings.integer("train.steps"));
  }
  stop_step(options, 0, settings.integer("train.steps"));  // for its refusal, before there is a folder
  std::unique_ptr<Trainer> trainer(new Trainer(RunFolder::start(options.run_folder), options));
  const DataFiles files = data_files(settings, options.run_folder / "data");
  const TextFile text(files.train, text_file_options(settings));
  Tokenizer tokenizer = build_tokenizer(tokenizer_kind(settings.text("data.tokenizer")), text,
                                        settings.integer("data.min_count"));
  trainer->load_data(settings, tokenizer);
  const auto seed = static_cast<uint64_t>(settings.integer("train.seed"));
  Generator initial(seed, kInitialWeights);
  trainer->model_ =
      std::make_unique<TextModel>(settings, std::move(tokenizer),
                                  lengths_of(*trainer->train_, settings.integer("data.max_length")), initial);
  trainer->generator_ = Generator(seed, kTraining);
  trainer->make_optimizer();
  trainer->metrics_.emplace(MetricsLog::start(options.run_folder / "metrics.jsonl"));
  write_file_atomically(options.run_folder / "config.toml", print_configuration(settings));
  if (options.record_steps > 0) {
    trainer->recorder_.emplace(trainer->model_->denoiser(), options.run_folder / "recorded",
                               options.record_steps, settings.print());
  }
  trainer->folder_.keep();
  return trainer;
}

std::unique_ptr<Trainer> Trainer::resume(const TrainOptions& options) {
  std::unique_ptr<Trainer> trainer(new Trainer(RunFolder::resume(options.run_folder), options));
  const Checkpoint checkpoint = read_checkpoint(latest_checkpoint_of(options.run_folder));
  const RunState state = parse_state(checkpoint.text("state.toml"));
  trainer->fingerprints_ = state.files;
  trainer->model_ = TextModel::from_checkpoint(checkpoint);
  if (options.moved_files) {
    trainer->model_->set("data.train", options.moved_files->train.string());
    trainer->model_->set("data.valid", options.moved_files->valid.string());
  }
  trainer->load_data(trainer->settings(), trainer->model_->tokenizer());
  if (options.moved_files)
    write_file_atomically(options.run_folder / "config.toml", print_configuration(trainer->settings()));
  trainer->make_optimizer();
  trainer->optimizer_->load_state(checkpoint.optimizer, "optimizer.safetensors of the checkpoint");
  if (trainer->ema_) trainer->ema_->load_state(checkpoint.ema, "ema.safetensors of the checkpoint");
  trainer->generator_.set_state(state.generator);
  trainer->stream_->restore(state.data);
  trainer->loss_sum_ = state.loss_sum;
  trainer->loss_count_ = state.loss_count;
  trainer->evaluation_due_ = state.evaluation_due;
  trainer->step_ = checkpoint.step;
  remove_unfinished(options.run_folder);
  trainer->metrics_.emplace(MetricsLog::resume(options.run_folder / "metrics.jsonl", checkpoint.step));
  return trainer;
}

void Trainer::train_step(ProgressBar& progress) {
  const DetectNonFinite detect(settings().boolean("train.detect_nonfinite"));
  const PrecisionScope precision(precision_called(settings().text("train.precision")));
  ProfilePhase phase("batch");
  const TextBatch batch = TextBatch::of(stream_->next());
  const bool recording = recorder_ && !recorder_->done();
  const Denoiser& denoiser = recording ? static_cast<const Denoiser&>(*recorder_) : model_->denoiser();
  phase.next("forward");
  const DiffusionLoss loss = model_->loss(denoiser, batch, generator_, {true, &generator_});
  const double value = loss.total.value().item();
  if (!std::isfinite(value))
    fail("step {}: the loss is {}; train.detect_nonfinite finds where it comes from", step_ + 1, value);
  phase.next("backward");
  model_->denoiser().clear_gradients();
  if (loss.total.requires_gradient()) backward(loss.total);
  phase.next("optimizer");
  double norm = 0;
  const double scale =
      clip_scale(model_->denoiser().parameters(), settings().real("optimizer.clip_norm"), &norm);
  const double learning_rate = schedule_->at(++step_);
  optimizer_->step(learning_rate, scale);
  if (ema_) ema_->update();
  phase.next("report");
  if (recording) recorder_->end_step(learning_rate, value);
  loss_sum_ += value;
  ++loss_count_;
  progress.update(step_, batch.sequences.rows, value);
  if (step_ % settings().integer("train.log_every") != 0) return;
  metrics_->append({step_,
                    {{std::string(kTrainingLoss), loss_sum_ / static_cast<double>(loss_count_)},
                     {"learning_rate", learning_rate},
                     {"gradient_norm", norm}}});
  loss_sum_ = 0;
  loss_count_ = 0;
}

void Trainer::evaluate(ProgressBar& progress, const InterruptGuard& interrupt) {
  std::optional<EmaScope> averaged;
  if (ema_) averaged.emplace(*ema_);
  Generator generator(static_cast<uint64_t>(settings().integer("train.seed")), kEvaluation);
  const auto texts = some_sequences(*valid_, settings().integer("train.evaluate_examples"));
  WorkObserver work("evaluating", interrupt, options_.progress);
  const auto observer = [&](int64_t done, int64_t calls) { work.update(done, calls); };
  try {
    bound_ = model_->bound(texts, {.passes = kEvaluationPasses, .observer = observer}, generator);
  } catch (const Interrupted&) {
    return;
  }
  evaluation_due_ = false;
  const double tokens = static_cast<double>(bound_->units);
  metrics_->append({step_,
                    {{std::string(kValidationBound), bound_->nats_per_unit()},
                     {std::string(kValidationError), bound_->standard_error / tokens}}});
  progress.print_line(fmt::format("step {}: validation bound {:.4f} +- {:.4f} nats per token", step_,
                                  bound_->nats_per_unit(), bound_->standard_error / tokens));
}

void Trainer::save() {
  Checkpoint checkpoint;
  checkpoint.step = step_;
  checkpoint.model = parameter_tensors(model_->denoiser());
  checkpoint.optimizer = optimizer_->state();
  if (ema_) checkpoint.ema = ema_->state();
  checkpoint.texts = {{"config.toml", print_configuration(settings())},
                      {"tokenizer.json", model_->tokenizer().to_json()},
                      {"lengths.json", model_->lengths().to_json()},
                      {"state.toml", print_state({generator_.state(), stream_->state(), loss_sum_,
                                                  loss_count_, evaluation_due_, *fingerprints_})}};
  save_checkpoint(options_.run_folder, checkpoint);
}

TrainResult Trainer::run() {
  const int64_t last = settings().integer("train.steps");
  const int64_t stop = stop_step(options_, step_, last);
  const int64_t profiled_from = step_ + kProfileWarmUp;
  const InterruptGuard interrupt(
      "\nhaze: stopping after this step, with a checkpoint; a second Ctrl-C ends at once, without one\n");
  ProgressBar progress("training", last, step_, options_.progress);
  bool saved = step_ > 0 && !options_.moved_files;
  const MachineLimits limits = options_.profile_steps > 0 ? measure_machine_limits() : MachineLimits{};
  Profile profile;
  while ((step_ < stop || evaluation_due_) && !interrupt.requested()) {
    saved = false;
    if (!evaluation_due_) {
      std::optional<ProfileScope> profiling;
      if (options_.profile_steps > 0 && step_ >= profiled_from) profiling.emplace(profile);
      train_step(progress);
      evaluation_due_ = step_ % settings().integer("train.evaluate_every") == 0 || step_ == last;
    }
    if (evaluation_due_) evaluate(progress, interrupt);
    if (!evaluation_due_ && step_ % settings().integer("train.checkpoint_every") == 0) {
      save();
      saved = true;
    }
  }
  if (!saved) save();
  progress.finish();
  const std::vector<MetricsRow> rows = read_metrics(options_.run_folder / "metrics.jsonl");
  if (!rows.empty()) {
    write_file_atomically(
        options_.run_folder / "plot.svg",
        plot_run_svg(rows, std::filesystem::canonical(options_.run_folder).filename().string()));
  }
  const bool broken_off = step_ < last || evaluation_due_;
  TrainResult result{broken_off ? interrupt.signal() : 0, step_, last, bound_, {}};
  if (!profile.steps.empty()) {
    write_file_atomically(options_.run_folder / "profile.json", chrome_trace(profile));
    result.profile = report_of(profile, limits);
  }
  return result;
}

}  // namespace haze
