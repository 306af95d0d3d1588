#include "haze/tools/run/trainer.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "haze/nn/file_io.h"
#include "haze/nn/parameter_groups.h"
#include "haze/tools/run/configuration.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/optimizer_settings.h"
#include "haze/tools/run/plot.h"
#include "haze/tools/run/resumed_settings.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/run/work_observer.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

// Streams of the run's seed: each use of random numbers has its own.
enum Stream : uint64_t { kInitialWeights = 1, kTraining = 2 };

// The part of each group that belongs to an objective.
std::vector<ParameterGroup> groups_of(const std::vector<ParameterGroup>& groups, const Objective& objective) {
  std::vector<ParameterGroup> result;
  for (const ParameterGroup& group : groups) {
    ParameterGroup part{{}, group.rate, group.weight_decay};
    for (const NamedParameter& parameter : group.parameters) {
      const auto is_it = [&](const NamedParameter& other) { return other.variable == parameter.variable; };
      if (std::any_of(objective.parameters.begin(), objective.parameters.end(), is_it))
        part.parameters.push_back(parameter);
    }
    if (!part.parameters.empty()) result.push_back(std::move(part));
  }
  if (result.empty()) fail("the objective {} has no parameters", objective.name);
  return result;
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

/// ", and step-000400 is the checkpoint to go back to", where there is one.
std::string way_back(const fs::path& run_folder) {
  const auto latest = find_latest_checkpoint(run_folder);
  if (!latest) return "";
  return fmt::format("; {} is the checkpoint to go back to", latest->filename().string());
}

}  // namespace

void Trainer::check_origins(const RunState* state) {
  const Task& task = *saved_.task;
  struct Origin {
    std::string name, shown, fingerprint, kind;
  };
  std::vector<Origin> origins;
  for (const auto& [name, part] : {std::pair{"train", Part::train}, {"valid", Part::valid}})
    origins.push_back(
        {name, task.origin(settings(), part), task.fingerprint(settings(), part), task.example() + "s"});
  for (const auto& [key, weights] : frozen_weights(settings()))
    origins.push_back({key, weights.string(), fingerprint_of(weights), "weights"});
  for (const Origin& origin : origins) {
    if (state && state->fingerprint(origin.name) != origin.fingerprint) {
      fail("{} has changed since the run began, from {} to {}: the run can only go on with the same {}",
           origin.shown, state->fingerprint(origin.name), origin.fingerprint, origin.kind);
    }
    origins_.emplace_back(origin.name, origin.fingerprint);
  }
}

void Trainer::open_data() {
  train_ = saved_.task->examples(settings(), Part::train);
  valid_ = saved_.task->examples(settings(), Part::valid);
  summary_ = saved_.task->summary(*train_, *valid_);
  stream_.emplace(train_->size(), settings().integer("train.batch_size"),
                  static_cast<uint64_t>(settings().integer("train.seed")));
}

void Trainer::make_optimizers() {
  const std::vector<ParameterGroup> groups =
      parameter_groups(model().parameters(), settings().text("optimizer.groups"));
  for (Objective& objective : model().objectives()) {
    std::vector<ParameterGroup> own = groups_of(groups, objective);
    std::unique_ptr<Optimizer> optimizer = optimizer_of(settings(), own);
    minimisations_.push_back({std::move(objective), std::move(own), std::move(optimizer)});
  }
  if (options_.graphs) graphs_.emplace(options_.device);
  schedule_.emplace(learning_rate_options(settings()));
  if (settings().real("optimizer.ema") > 0)
    ema_.emplace(model().parameters(), settings().real("optimizer.ema"));
}

void Trainer::start_from(const fs::path& run) {
  const SavedModel initial = load_model(run, {}, Purpose::training);
  const NameMatch match = copy_matching(state_tensors(model()), state_tensors(*initial.model));
  const auto say = [&](const std::string& line) {
    options_.progress.write(without_escape_sequences(line) + "\n");
  };
  say(fmt::format("{}: {} of {} tensors have the same name and shape and are taken", run.string(),
                  match.taken.size(), state_tensors(model()).size()));
  if (!match.missing.empty()) say(fmt::format("not there, drawn anew: {}", fmt::join(match.missing, ", ")));
  if (!match.other_shape.empty())
    say(fmt::format("of another shape, drawn anew: {}", fmt::join(match.other_shape, ", ")));
  if (match.taken.empty()) fail("{}: the run has no weights that this model could start from", run.string());
  if (initial.task->side_files() != saved_.task->side_files())
    say("the run's tokens or lengths are not those of this one: the same id may stand for another token");
}

void Trainer::check_graphs(const Settings& settings, const TrainOptions& options) {
  if (!options.graphs) return;
  if (options.device != Device::cuda && options.device != Device::simt)
    fail("graphs are for the devices cuda and simt, not for {}", name(options.device));
  if (settings.integer("train.accumulate") > 1) fail("graphs go with train.accumulate 1 only");
  if (settings.boolean("train.detect_nonfinite"))
    fail("graphs do not go with train.detect_nonfinite, for which the host reads every result");
  if (options.record_steps > 0) fail("steps are recorded of runs without graphs");
}

std::unique_ptr<Trainer> Trainer::start(const Settings& settings, const TrainOptions& options) {
  check_graphs(settings, options);
  if (options.record_steps > settings.integer("train.steps")) {
    fail("{} steps cannot be recorded of a run of {}", options.record_steps, settings.integer("train.steps"));
  }
  stop_step(options, 0, settings.integer("train.steps"));  // for its refusal, before there is a folder
  RunFolder folder = RunFolder::start(options.run_folder);
  std::unique_ptr<Task> task = start_task(settings, options.run_folder);
  const auto seed = static_cast<uint64_t>(settings.integer("train.seed"));
  Generator initial(seed, kInitialWeights);
  std::unique_ptr<Model> model =
      make_model(settings, task->facts(), initial, Purpose::training, options.device);
  std::unique_ptr<Trainer> trainer(
      new Trainer(std::move(folder), options, {settings, std::move(task), std::move(model)}));
  trainer->check_origins(nullptr);
  trainer->open_data();
  if (options.initial_run) trainer->start_from(*options.initial_run);
  trainer->generator_ = Generator(seed, kTraining);
  trainer->make_optimizers();
  trainer->metrics_.emplace(MetricsLog::start(options.run_folder / "metrics.jsonl"));
  write_file_atomically(options.run_folder / "config.toml", print_run_configuration(settings));
  if (options.record_steps > 0) {
    if (trainer->minimisations_.size() > 1 || settings.integer("train.accumulate") > 1)
      fail("steps are recorded of runs with one objective and train.accumulate 1");
    trainer->recorder_.emplace(trainer->model(), options.run_folder / "recorded", options.record_steps,
                               print_configuration(settings));
  }
  trainer->folder_.keep();
  return trainer;
}

std::unique_ptr<Trainer> Trainer::resume(const TrainOptions& options) {
  RunFolder folder = RunFolder::resume(options.run_folder);
  Checkpoint checkpoint = read_checkpoint(latest_checkpoint_of(options.run_folder));
  const RunState state = parse_state(checkpoint.text("state.toml"));
  const Settings settings =
      resumed_settings(checkpoint, state.working_folder, options.moved_paths, options.steps);
  require_paths(settings, options.run_folder);
  check_graphs(settings, options);
  const std::string configuration = print_run_configuration(settings);
  for (auto& [name, contents] : checkpoint.texts) {
    if (name == "config.toml") contents = configuration;
  }
  std::unique_ptr<Trainer> trainer(
      new Trainer(std::move(folder), options, model_of(checkpoint, options.run_folder, options.device)));
  trainer->check_origins(&state);
  trainer->open_data();
  trainer->make_optimizers();
  trainer->restore(checkpoint, state);
  remove_unfinished(options.run_folder);
  // Its settings may have been brought up to date, or changed by the options.
  write_file_atomically(options.run_folder / "config.toml", configuration);
  trainer->metrics_.emplace(
      MetricsLog::resume(options.run_folder / "metrics.jsonl", checkpoint.step, state.metrics_rows));
  if (state.metrics_rows && trainer->metrics_->rows() < *state.metrics_rows) {
    options.progress.write(
        fmt::format("haze: metrics.jsonl has {} of the {} lines up to step {}; the others are lost\n",
                    trainer->metrics_->rows(), *state.metrics_rows, checkpoint.step));
  }
  return trainer;
}

void Trainer::restore(const Checkpoint& checkpoint, const RunState& state) {
  constexpr const char* kOptimizer = "optimizer.safetensors of the checkpoint";
  copy_by_name(optimizer_state(), checkpoint.optimizer, true, kOptimizer);
  for (const Minimisation& minimisation : minimisations_) minimisation.optimizer->state_changed();
  if (ema_) ema_->load_state(checkpoint.ema, "ema.safetensors of the checkpoint");
  generator_.set_state(state.generator);
  stream_->restore(state.data);
  for (const LogSum& sum : state.sums)
    sums_.push_back({sum.name, full({}, sum.sum, Dtype::float64, options_.device), sum.count});
  evaluation_due_ = state.evaluation_due;
  // Without its checkpoint, the next evaluation is the best again.
  if (find_best_checkpoint(options_.run_folder)) best_ = state.best;
  if (!state.working_folder.empty()) working_folder_ = state.working_folder;
  step_ = checkpoint.step;
}

NamedTensors Trainer::optimizer_state() const {
  NamedTensors state;
  for (const Minimisation& minimisation : minimisations_) {
    // Objectives may share parameters: then the names of their states would be the same.
    const std::string prefix = minimisations_.size() > 1 ? minimisation.objective.name + "." : "";
    for (const NamedTensor& tensor : minimisation.optimizer->state())
      state.push_back({prefix + tensor.name, tensor.tensor});
  }
  return state;
}

void Trainer::log(const std::string& name, const Tensor& value) {
  const auto found =
      std::find_if(sums_.begin(), sums_.end(), [&](const RunningSum& sum) { return sum.name == name; });
  if (found == sums_.end()) {
    sums_.push_back({name, value, 1});
  } else {
    add_into(found->sum, value);
    ++found->count;
  }
}

void Trainer::check_loss(std::string_view steps, double loss) const {
  if (std::isfinite(loss)) return;
  fail("{}: the loss is {}; train.detect_nonfinite finds where it comes from{}", steps, loss,
       way_back(options_.run_folder));
}

void Trainer::check_steps() {
  if (numbers_are_there()) return;
  const std::string steps = fmt::format("a step up to {}", step_);
  std::optional<std::string> reported;
  try {
    synchronize(options_.device);
  } catch (const Error& error) {
    reported = error.what();
  }
  // A loss that is not finite makes a norm so, and says more.
  for (const RunningSum& sum : sums_) {
    if (sum.name.starts_with(kTrainingLoss)) check_loss(steps, sum.sum.item());
  }
  if (reported) fail("{}: {}{}", steps, *reported, way_back(options_.run_folder));
}

void Trainer::say_summary() const {
  options_.progress.write(
      fmt::format("haze: {}, {} parameters\n", summary_.line, format_whole(saved_.model->parameter_count())));
}

void Trainer::train_step(ProgressBar& progress) {
  const DetectNonFinite detect(settings().boolean("train.detect_nonfinite"));
  const PrecisionScope precision(precision_called(settings().text("train.precision")));
  ProfilePhase phase("batch");
  std::vector<Batch> batches;
  int64_t tokens = 0;
  for (int64_t i = 0; i < settings().integer("train.accumulate"); ++i) {
    batches.push_back(train_->batch(stream_->next()).to(options_.device));
    if (batches.back().target) tokens += batches.back().units();
  }
  const double learning_rate = schedule_->at(++step_);
  Tensor loss;
  for (size_t i = 0; i < minimisations_.size(); ++i) {
    if (step_ % minimisations_[i].objective.every != 0) continue;
    const Tensor mean = graphs_ ? minimise_by_graph(i, batches.front(), learning_rate, phase)
                                : minimise(i, batches, learning_rate, phase);
    if (!loss.defined()) loss = mean;
  }
  if (ema_) ema_->update();
  phase.next("report");
  const bool due = step_ % settings().integer("train.log_every") == 0;
  if (due) check_steps();
  std::optional<double> shown;
  if (loss.defined() && (due || numbers_are_there())) shown = loss.item();
  progress.update(step_, tokens, shown);
  evaluation_due_ =
      step_ % settings().integer("train.evaluate_every") == 0 || step_ == settings().integer("train.steps");
  if (due) write_metrics();
}

void Trainer::write_metrics() {
  MetricsRow row{step_, {}};
  for (const RunningSum& sum : sums_)
    row.values.emplace_back(sum.name, sum.sum.item() / static_cast<double>(sum.count));
  row.values.emplace_back("learning_rate", schedule_->at(step_));
  sums_.clear();
  append(row);
  check_divergence(row);
}

void Trainer::check_divergence(const MetricsRow& row) {
  const std::optional<double> loss = row.value(kTrainingLoss);
  if (!loss || !divergence_.has_diverged(*loss)) return;
  const auto best = find_best_checkpoint(options_.run_folder);
  const auto checkpoint = best ? best : find_latest_checkpoint(options_.run_folder);
  const std::string way = checkpoint ? fmt::format("--init {} ", checkpoint->string()) : "";
  fail(
      "step {}: the loss {:.4g} is far above {:.4g}, where it began: the weights are ruined, and are not "
      "saved; "
      "haze train {}--out NEW with a smaller optimizer.learning_rate begins anew{}",
      step_, *loss, divergence_.start(), way, checkpoint ? " from the checkpoint before" : "");
}

void Trainer::append(const MetricsRow& row) {
  folder_.require_held();
  try {
    metrics_->append(row);
  } catch (const Error& error) {
    save();  // what has been learnt is not lost
    fail("step {}: {}{}", step_, error.what(), way_back(options_.run_folder));
  }
}

void Trainer::evaluate(ProgressBar& progress, const InterruptGuard& interrupt) {
  check_steps();
  std::optional<EmaScope> averaged;
  if (ema_) averaged.emplace(*ema_);
  const std::vector<int64_t> indices =
      spread_indices(valid_->size(), settings().integer("train.evaluate_examples"));
  WorkObserver work("evaluating", interrupt, options_.progress);
  EvaluationOptions options;
  options.passes = static_cast<int>(settings().integer("train.evaluate_passes"));
  options.seed = static_cast<uint64_t>(settings().integer("train.seed"));
  options.in_training = true;
  options.progress = [&](const std::string&, int64_t done, int64_t all) { work.update(done, all); };
  try {
    evaluation_ = evaluate_bound(model(), *saved_.task, *valid_, indices, options);
  } catch (const Interrupted&) {
    return;
  } catch (const Error& error) {
    averaged.reset();
    save();  // what has been learnt is not lost
    fail("step {}: the evaluation failed: {}{}", step_, error.what(), way_back(options_.run_folder));
  }
  evaluation_due_ = false;
  const std::vector<Measure> measures = leading_measures(model(), *evaluation_);
  MetricsRow row{step_, {}};
  for (const Measure& measure : measures) {
    const std::string name = std::string(kValidation) + measure.name;
    row.values.emplace_back(name, measure.value);
    if (measure.error) row.values.emplace_back(name + std::string(kError), *measure.error);
    const std::string error = measure.error ? fmt::format(" +- {:.4f}", *measure.error) : "";
    progress.print_line(fmt::format("step {}: validation {} {:.4f}{} {}", step_, measure.label, measure.value,
                                    error, measure.unit));
  }
  for (const std::string& warning : model().warnings())
    progress.print_line(fmt::format("step {}: warning: {}", step_, warning));
  append(row);
  const double value = measures.front().value;
  if (can_be_best(model()) && (!best_ || value < best_->value)) {
    best_ = {value, step_};
    best_unsaved_ = true;
  }
}

RunState Trainer::state() const {
  RunState state;
  state.generator = generator_.state();
  state.data = stream_->state();
  for (const RunningSum& sum : sums_) state.sums.push_back({sum.name, sum.sum.item(), sum.count});
  state.metrics_rows = metrics_->rows();
  state.evaluation_due = evaluation_due_;
  state.best = best_;
  state.working_folder = working_folder_;
  state.origins = origins_;
  return state;
}

void Trainer::save() {
  check_steps();
  Checkpoint checkpoint;
  checkpoint.step = step_;
  checkpoint.model = state_tensors(model());
  checkpoint.optimizer = optimizer_state();
  if (ema_) checkpoint.ema = ema_->state();
  checkpoint.texts = {{"config.toml", print_run_configuration(settings())},
                      {"state.toml", print_state(state())}};
  for (auto& file : saved_.task->side_files()) checkpoint.texts.push_back(std::move(file));
  // A power cut must not leave a checkpoint that counts on lines which are lost.
  metrics_->sync();
  const auto held = [&] { folder_.require_held(); };
  try {
    save_checkpoint(options_.run_folder, checkpoint, {.best = best_unsaved_, .before_change = held});
  } catch (const Error&) {
    held();  // for its sentence: without the folder, everything in it fails
    throw;
  }
  best_unsaved_ = false;
}

TrainResult Trainer::run() {
  const int64_t last = settings().integer("train.steps");
  const int64_t stop = stop_step(options_, step_, last);
  const int64_t profiled_from = step_ + kProfileWarmUp;
  say_summary();
  const InterruptGuard interrupt(
      "\nhaze: stopping after this step, with a checkpoint; a second Ctrl-C ends at once, without one\n");
  ProgressBar progress("training", last, step_, options_.progress);
  bool saved = step_ > 0 && options_.moved_paths.empty() && !options_.steps;
  std::optional<MachineLimits> limits;
  if (options_.profile_steps > 0 && options_.device == Device::cpu) limits = measure_machine_limits();
  Profile profile;
  while ((step_ < stop || evaluation_due_) && !interrupt.requested()) {
    saved = false;
    if (!evaluation_due_) {
      std::optional<ProfileScope> profiling;
      if (options_.profile_steps > 0 && step_ >= profiled_from) profiling.emplace(profile);
      train_step(progress);
    }
    if (evaluation_due_) evaluate(progress, interrupt);
    const bool due = step_ % settings().integer("train.checkpoint_every") == 0 || best_unsaved_;
    if (!evaluation_due_ && due) {
      save();
      saved = true;
    }
  }
  if (!saved) save();
  progress.finish();
  folder_.require_held();
  const std::vector<MetricsRow> rows = read_metrics(options_.run_folder / "metrics.jsonl");
  if (!rows.empty()) {
    write_file_atomically(options_.run_folder / "plot.svg",
                          plot_run_svg(rows, fs::canonical(options_.run_folder).filename().string()));
  }
  const bool broken_off = step_ < last || evaluation_due_;
  TrainResult result{broken_off ? interrupt.signal() : 0, step_, last, evaluation_, {}};
  result.data = summary_;
  result.parameters = saved_.model->parameter_count();
  result.best = best_;
  if (graphs_) result.replays = graphs_->replays();
  if (!profile.steps.empty()) {
    write_file_atomically(options_.run_folder / "profile.json", chrome_trace(profile));
    result.profile = report_of(profile, limits);
  }
  return result;
}

}  // namespace haze
