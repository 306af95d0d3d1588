#include <algorithm>
#include <cmath>
#include <csignal>
#include <limits>

#include <doctest/doctest.h>

#include "haze/tools/run/models.h"

#include "temporary_folder.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// Settings of a causal language model without dropout: its loss draws no random numbers.
Settings causal_settings(const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = {"model=autoregressive",        "transformer.layers=2",
                                          "transformer.hidden=16",       "transformer.heads=2",
                                          "transformer.dropout=0",       "optimizer.warmup_steps=0",
                                          "optimizer.schedule=constant", "train.steps=3",
                                          "train.batch_size=8",          "train.log_every=1",
                                          "train.evaluate_every=100",    "train.evaluate_examples=20",
                                          "data.corpus_size=200",        "data.min_count=1"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

NamedTensors trained_weights(const std::filesystem::path& run, const std::vector<std::string>& more) {
  Trainer::start(causal_settings(more), quiet(run))->run();
  return latest_checkpoint(run).model;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  const std::vector<float> left = a.to_vector<float>(), right = b.to_vector<float>();
  REQUIRE(left.size() == right.size());
  double difference = 0;
  for (size_t i = 0; i < left.size(); ++i)
    difference = std::max(difference, std::abs(static_cast<double>(left[i]) - right[i]));
  return difference;
}

/// The loss of the first batch of a run with these settings, by the weights of another run.
double first_loss(const std::filesystem::path& weights_of, const Settings& settings,
                  const std::filesystem::path& data_of) {
  const SavedModel saved = load_model(weights_of);
  const auto examples = load_model(data_of).task->examples(settings, Part::train);
  BatchStream stream(examples->size(), settings.integer("train.batch_size"),
                     static_cast<uint64_t>(settings.integer("train.seed")));
  Generator unused(0);
  const Batch batch = saved.model->prepare(examples->batch(stream.next()), 0, unused);
  return saved.model->loss(batch, 0, {}).total.value().item();
}

/// Options that keep what a run says.
TrainOptions telling(const std::filesystem::path& run, std::string& said) {
  TrainOptions options = quiet(run);
  options.progress.write = [&said](std::string_view text) { said += text; };
  return options;
}

/// One number w, which starts at 0. Training makes it smaller at a constant rate; its evaluation is (w +
/// 5)^2, lowest where w is -5.
class Valley : public Model {
 public:
  static inline bool broken = false;  // whether the training loss is NaN

  Valley() { add_parameter("w", w_, zeros({1})); }
  Loss loss(const Batch&, size_t, const ForwardContext& context) const override {
    if (!context.training) return {.total = sum(square(w_ + 5.0)), .log = {}, .inputs = {}};
    const double factor = broken ? std::numeric_limits<double>::quiet_NaN() : 1;
    return {.total = sum(w_) * factor, .log = {}, .inputs = {}};
  }

 private:
  Variable w_;
};

ModelInfo valley_model() {
  ModelInfo info;
  info.name = "toy_valley";
  info.tasks = {"tensors"};
  info.make = [](const Settings&, const DataFacts&, const FrozenModels&, Generator&) {
    return std::make_unique<Valley>();
  };
  return info;
}

/// 10 steps, each of which takes 1 from w, with an evaluation and a checkpoint after each.
Settings valley_settings() {
  static const bool added = [] {
    add_model({valley_model(), ""});
    return true;
  }();
  REQUIRE(added);
  Settings settings = settings_from(
      {}, {"model=toy_valley", "train.steps=10", "train.batch_size=4", "train.evaluate_every=1",
           "train.checkpoint_every=1", "train.evaluate_examples=10", "data.train_size=50",
           "data.valid_size=10", "optimizer.kind=sgd", "optimizer.momentum=0", "optimizer.clip_norm=0",
           "optimizer.learning_rate=1", "optimizer.warmup_steps=0", "optimizer.schedule=constant"});
  resolve_training_settings(settings);
  return settings;
}

/// The checkpoints in a run's folder.
std::vector<std::string> checkpoints_in(const std::filesystem::path& run) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    if (entry.path().filename().string().starts_with("step-"))
      names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

double w_of(const SavedModel& saved) {
  return parameter_tensors(*saved.model).front().tensor.to_vector<float>().front();
}

}  // namespace

TEST_CASE("4 batches of 8 that are accumulated make the update and the metrics of one batch of 32") {
  const TemporaryFolder folder;
  const std::vector<std::string> common = {"optimizer.kind=sgd", "optimizer.learning_rate=0.1"};
  const auto with = [&](const std::vector<std::string>& sizes) {
    std::vector<std::string> all = common;
    all.insert(all.end(), sizes.begin(), sizes.end());
    return all;
  };
  const NamedTensors whole = trained_weights(folder / "whole", with({"train.batch_size=32"}));
  const NamedTensors parts =
      trained_weights(folder / "parts", with({"train.batch_size=8", "train.accumulate=4"}));
  REQUIRE(whole.size() == parts.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    CAPTURE(whole[i].name);
    // Weights are below 2 and change by 0.1 in a step: a few units in the last place of float32.
    CHECK(largest_difference(whole[i].tensor, parts[i].tensor) < 2e-6);
  }
  const auto whole_rows = read_metrics(folder / "whole" / "metrics.jsonl");
  const auto parts_rows = read_metrics(folder / "parts" / "metrics.jsonl");
  REQUIRE(whole_rows.size() == 4);  // three steps and an evaluation
  REQUIRE(parts_rows.size() == 4);
  for (size_t i = 0; i < 3; ++i) {
    for (const char* name : {"loss", "cross_entropy", "gradient_norm"}) {
      CAPTURE(name);
      CHECK(*parts_rows[i].value(name) == doctest::Approx(*whole_rows[i].value(name)).epsilon(2e-6));
    }
  }

  // The mean of the batches' means is another number: texts differ in length.
  const auto examples = load_model(folder / "whole").task->examples(causal_settings(), Part::train);
  const SavedModel start = load_model(folder / "whole");
  double mean_of_means = 0, sum_of_tokens = 0, tokens = 0;
  for (int64_t first = 0; first < 32; first += 8) {
    std::vector<int64_t> indices;
    for (int64_t i = first; i < first + 8; ++i) indices.push_back(i);
    Generator unused(0);
    const Batch batch = start.model->prepare(examples->batch(indices), 0, unused);
    const double loss = start.model->loss(batch, 0, {}).total.value().item();
    mean_of_means += loss / 4;
    sum_of_tokens += loss * static_cast<double>(batch.units());
    tokens += static_cast<double>(batch.units());
  }
  CHECK(std::abs(mean_of_means / (sum_of_tokens / tokens) - 1) > 2e-5);
}

TEST_CASE("optimizer.groups freezes a part, and gives another its own rate and decay") {
  const TemporaryFolder folder;
  const auto after_one_step = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> all = {"train.steps=1", "optimizer.kind=sgd", "optimizer.clip_norm=0",
                                    "optimizer.momentum=0"};
    all.insert(all.end(), more.begin(), more.end());
    return trained_weights(folder / name, all);
  };
  // So small a rate leaves the weights before the step, but that a bias of 0 becomes about 1e-31.
  const NamedTensors before = after_one_step("before", {"optimizer.learning_rate=1e-30"});
  const NamedTensors plain =
      after_one_step("plain", {"optimizer.learning_rate=0.5", "optimizer.weight_decay=0"});
  const NamedTensors grouped =
      after_one_step("grouped", {"optimizer.learning_rate=0.5", "optimizer.weight_decay=0.2",
                                 "optimizer.groups=transformer.blocks.0: frozen; head: rate 0.1, decay 0"});
  int frozen = 0, head = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string& name = before[i].name;
    CAPTURE(name);
    const std::vector<float> w = before[i].tensor.to_vector<float>();
    const std::vector<float> step = plain[i].tensor.to_vector<float>();
    const std::vector<float> actual = grouped[i].tensor.to_vector<float>();
    const bool is_frozen = name.starts_with("transformer.blocks.0."), is_head = name.starts_with("head.");
    frozen += is_frozen;
    head += is_head;
    // Decay is for matrices: rate x decay of the weight.
    const double decay = is_frozen || is_head || before[i].tensor.rank() < 2 ? 0 : 0.5 * 0.2;
    const double rate = is_frozen ? 0 : is_head ? 0.1 : 1;
    double error = 0, moved = 0;
    for (size_t k = 0; k < w.size(); ++k) {
      const double expected = w[k] + rate * (static_cast<double>(step[k]) - w[k]) - decay * w[k];
      error = std::max(error, std::abs(actual[k] - expected));
      moved = std::max(moved, std::abs(static_cast<double>(actual[k]) - w[k]));
    }
    CHECK(error < 1e-6);
    if (is_frozen) CHECK(moved < 1e-20);
    if (is_head) CHECK(moved > 1e-5);
  }
  CHECK(frozen > 5);
  CHECK(head > 0);
  // What is frozen has no state either.
  Trainer::start(causal_settings({"optimizer.groups=transformer.blocks.0: frozen", "train.steps=1"}),
                 quiet(folder / "adamw"))
      ->run();
  for (const NamedTensor& tensor : latest_checkpoint(folder / "adamw").optimizer)
    CHECK_FALSE(tensor.name.starts_with("transformer.blocks.0."));
}

TEST_CASE("optimizer.groups of a prefix that takes nothing is refused before there is a folder") {
  const TemporaryFolder folder;
  const auto start = [&](const std::string& groups) {
    return error_of(
        [&] { Trainer::start(causal_settings({"optimizer.groups=" + groups}), quiet(folder / "run")); });
  };
  CHECK(start("tail: frozen") == "parameter groups: no parameter has the prefix \"tail\"");
  CHECK(start("head: rate -1") ==
        "parameter groups: the rate of \"head\" must be a finite number, not negative, got \"-1\"");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("the best evaluation's checkpoint is kept beside the newest two, and loads as run/best") {
  const TemporaryFolder folder;
  const std::filesystem::path straight = folder / "straight", stopped = folder / "stopped";
  Trainer::start(valley_settings(), quiet(straight))->run();
  const std::vector<MetricsRow> rows = read_metrics(straight / "metrics.jsonl");
  std::vector<double> evaluations;
  for (const MetricsRow& row : rows) {
    if (row.value("validation_loss")) evaluations.push_back(*row.value("validation_loss"));
  }
  CHECK(evaluations == std::vector<double>{16, 9, 4, 1, 0, 1, 4, 9, 16, 25});
  CHECK(checkpoints_in(straight) == std::vector<std::string>{"step-000005", "step-000009", "step-000010"});
  CHECK(find_best_checkpoint(straight) == straight / "step-000005");
  CHECK(w_of(load_model(straight / "best")) == -5);
  CHECK(w_of(load_model(straight)) == -10);

  // Stopped before the best evaluation, at it and after it.
  Trainer::start(valley_settings(), quiet(stopped, 2))->run();
  CHECK(find_best_checkpoint(stopped) == stopped / "step-000002");
  for (const int64_t step : {5, 6, 9, 10}) {
    Trainer::resume(quiet(stopped, step))->run();
    CHECK(find_best_checkpoint(stopped) == stopped / "step-000005");
  }
  CHECK(checkpoints_in(stopped) == checkpoints_in(straight));
  check_same(latest_checkpoint(straight), latest_checkpoint(stopped));
  check_same(read_checkpoint(straight / "step-000005"), read_checkpoint(stopped / "step-000005"));
}

TEST_CASE("a best checkpoint that is gone makes the next evaluation the best") {
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  Trainer::start(valley_settings(), quiet(run, 7))->run();
  std::filesystem::remove_all(run / "step-000005");
  Trainer::resume(quiet(run))->run();
  CHECK(find_best_checkpoint(run) == run / "step-000008");
  CHECK(w_of(load_model(run / "best")) == -8);
}

TEST_CASE("a run that is resumed with more steps goes on with their schedule, and its settings say so") {
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  Trainer::start(causal_settings({"train.steps=4", "optimizer.schedule=linear"}), quiet(run))->run();
  TrainOptions longer = quiet(run, 7);
  longer.steps = 8;
  const TrainResult result = Trainer::resume(longer)->run();
  CHECK(result.step == 7);
  CHECK(result.last_step == 8);
  CHECK(read_text(run / "config.toml").find("\nsteps = 8 ") != std::string::npos);
  CHECK(latest_checkpoint(run).text("config.toml") == read_text(run / "config.toml"));
  // And without a word the next time.
  CHECK(Trainer::resume(quiet(run))->run().step == 8);
  std::vector<double> rates;
  for (const MetricsRow& row : read_metrics(run / "metrics.jsonl")) {
    if (row.value("learning_rate")) rates.push_back(*row.value("learning_rate"));
  }
  REQUIRE(rates.size() == 8);
  // Linear from 1e-3 at the first step to 0 after the last: of 4 first, then of 8.
  for (int64_t step = 1; step <= 8; ++step) {
    const double last = step <= 4 ? 4 : 8;
    CAPTURE(step);
    CHECK(rates[static_cast<size_t>(step - 1)] ==
          doctest::Approx(1e-3 * (1 - static_cast<double>(step - 1) / last)));
  }
}

TEST_CASE("a run is not resumed with fewer steps than it has done, and stays as it is") {
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  Trainer::start(causal_settings(), quiet(run))->run();
  const auto before = contents_of(run);
  TrainOptions shorter = quiet(run);
  shorter.steps = 2;
  CHECK(error_of([&] { Trainer::resume(shorter); }) ==
        "train.steps 2 is less than the 3 steps that the run has done");
  CHECK(contents_of(run) == before);
}

TEST_CASE("a run that starts from another of the same network begins with the other's loss") {
  const TemporaryFolder folder;
  Trainer::start(causal_settings({"optimizer.learning_rate=0.01", "optimizer.ema=0.5"}),
                 quiet(folder / "first"))
      ->run();
  const Settings settings = causal_settings({"train.seed=7", "train.steps=1"});
  std::string said;
  TrainOptions options = telling(folder / "second", said);
  options.initial_run = folder / "first";
  Trainer::start(settings, options)->run();
  const MetricsRow row = read_metrics(folder / "second" / "metrics.jsonl").front();
  const double expected = first_loss(folder / "first", settings, folder / "second");
  CHECK(*row.value("loss") == doctest::Approx(expected).epsilon(1e-6));
  const size_t count = latest_checkpoint(folder / "first").model.size();
  CHECK(said.find(fmt::format("{}: {} of {} tensors have the same name and shape and are taken\n",
                              (folder / "first").string(), count, count)) != std::string::npos);
  CHECK(said.find("drawn anew") == std::string::npos);
}

TEST_CASE("a run that starts from a shallower one draws the rest anew, and says what") {
  const TemporaryFolder folder;
  const NamedTensors shallow = trained_weights(folder / "shallow", {"transformer.layers=1"});
  const std::vector<std::string> deep = {"optimizer.learning_rate=1e-30", "train.steps=1"};
  const NamedTensors fresh = trained_weights(folder / "fresh", deep);
  std::string said;
  TrainOptions options = telling(folder / "deep", said);
  options.initial_run = folder / "shallow";
  Trainer::start(causal_settings(deep), options)->run();
  const NamedTensors weights = latest_checkpoint(folder / "deep").model;
  size_t taken = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto same_name = [&](const NamedTensor& tensor) { return tensor.name == weights[i].name; };
    const auto found = std::find_if(shallow.begin(), shallow.end(), same_name);
    CHECK((found == shallow.end()) == weights[i].name.starts_with("transformer.blocks.1."));
    taken += found != shallow.end();
    const Tensor& expected = found != shallow.end() ? found->tensor : fresh[i].tensor;
    CHECK(largest_difference(weights[i].tensor, expected) < 1e-20);  // what the one step has changed
  }
  CHECK(taken == shallow.size());
  CHECK(said.find(fmt::format("{} of {} tensors have", taken, weights.size())) != std::string::npos);
  CHECK(said.find("not there, drawn anew: transformer.blocks.1.") != std::string::npos);
}

TEST_CASE("a run that nothing of another fits is refused before there is a folder") {
  const TemporaryFolder folder;
  Settings points = settings_from({}, {"model=ddpm", "train.steps=1", "data.train_size=50",
                                       "data.valid_size=10", "mlp.hidden=4", "train.batch_size=4"});
  resolve_training_settings(points);
  Trainer::start(points, quiet(folder / "points"))->run();
  TrainOptions options = quiet(folder / "run");
  options.initial_run = folder / "points";
  CHECK(error_of([&] { Trainer::start(causal_settings(), options); }) ==
        (folder / "points").string() + ": the run has no weights that this model could start from");
  options.initial_run = folder / "nowhere";
  CHECK(error_of([&] { Trainer::start(causal_settings(), options); }) ==
        (folder / "nowhere").string() + ": there is no such run");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("an evaluation that was made up for and lost with its process has its row once in the metrics") {
  const TemporaryFolder folder;
  const Settings settings = causal_settings({"train.steps=4", "train.evaluate_every=2"});
  Trainer::start(settings, quiet(folder / "straight"))->run();
  const std::filesystem::path run = folder / "run";
  TrainOptions interrupted = quiet(run);
  interrupted.progress.interactive = true;
  interrupted.progress.write = [pressed = std::make_shared<bool>(false)](std::string_view text) {
    if (*pressed || !text.starts_with("\revaluating")) return;
    *pressed = true;
    std::raise(SIGINT);
  };
  CHECK(Trainer::start(settings, interrupted)->run().step == 2);
  CHECK(read_metrics(run / "metrics.jsonl").size() == 2);
  // As if the process that made up for it had died between its line and its checkpoint.
  write_text(run / "metrics.jsonl", read_text(run / "metrics.jsonl") +
                                        "{\"step\":2,\"validation_nats_per_token\":4.5,"
                                        "\"validation_nats_per_token_error\":0.0}\n");
  Trainer::resume(quiet(run))->run();
  CHECK(read_text(run / "metrics.jsonl") == read_text(folder / "straight" / "metrics.jsonl"));
  check_same(latest_checkpoint(run), latest_checkpoint(folder / "straight"));
}

TEST_CASE("a loss that is not a number names the checkpoint to go back to") {
  const TemporaryFolder folder;
  const Settings settings = valley_settings();
  Valley::broken = true;
  CHECK(error_of([&] { Trainer::start(settings, quiet(folder / "none"))->run(); }) ==
        "step 1: the loss is nan; train.detect_nonfinite finds where it comes from");
  Valley::broken = false;
  Trainer::start(settings, quiet(folder / "run", 2))->run();
  Valley::broken = true;
  CHECK(error_of([&] { Trainer::resume(quiet(folder / "run"))->run(); }) ==
        "step 3: the loss is nan; train.detect_nonfinite finds where it comes from; step-000002 is the "
        "checkpoint to go back to");
  Valley::broken = false;
  CHECK(Trainer::resume(quiet(folder / "run"))->run().step == 10);
}
