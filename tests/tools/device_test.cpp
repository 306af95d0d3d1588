#include <cmath>
#include <fstream>
#include <set>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/engine/guarded_runtime.h"
#include "haze/engine/memory.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"

#include "gpus.h"
#include "program.h"
#include "tiny_run.h"

// Every model trains, resumes, is evaluated and samples behind memory that the host must not touch, and comes
// to the numbers of the cpu, whose kernels both use.
using namespace haze;
using namespace haze::testing;

namespace {

using Assignments = std::vector<std::pair<std::string, std::string>>;

// Settings of a run of a few steps; a model takes those that it has.
const Assignments kTiny = {{"transformer.layers", "1"},
                           {"transformer.hidden", "16"},
                           {"transformer.heads", "2"},
                           {"transformer.dropout", "0.1"},
                           {"train.steps", "4"},
                           {"train.batch_size", "4"},
                           {"train.log_every", "2"},
                           {"train.evaluate_every", "2"},
                           {"train.evaluate_examples", "4"},
                           {"optimizer.ema", "0.9"},
                           {"optimizer.warmup_steps", "1"},
                           {"data.corpus_size", "100"},
                           {"data.min_count", "1"},
                           {"data.train_size", "40"},
                           {"data.valid_size", "20"},
                           {"sample.count", "2"},
                           {"score_sde.tolerance", "1e-2"},
                           {"ddpm.steps", "20"}};
const Assignments kUnet = {{"data.set", "digits"},      {"network.kind", "unet"}, {"unet.width", "8"},
                           {"unet.multipliers", "1,1"}, {"unet.blocks", "1"},     {"unet.attention", "8"}};
const Assignments kAutoencoder = {
    {"data.set", "digits"}, {"network.kind", "autoencoder"}, {"autoencoder.width", "8"}};

// The settings by which a model names the run that it reads.
constexpr const char* kReadsVectors[] = {"word_classifier.run", "word_tagger.run", "word_parser.run"};
constexpr const char* kReadsLanguageModel = "hidden_classifier.run";

// A run of diffusion_lm, whose noisy vectors are read, and one of a language model over pairs. Each is
// trained when it is first asked for.
const std::filesystem::path& run_of_vectors();
const std::filesystem::path& run_of_language_model();

Settings tiny_settings_of(const ModelRow& row, const Assignments& more) {
  std::set<std::string> keys;
  for (const Setting& setting : settings_table(row.info)) keys.insert(setting.key);
  std::vector<std::string> assignments{"model=" + row.info.name};
  for (const Assignments* list : {&kTiny, &more}) {
    for (const auto& [key, value] : *list) {
      if (keys.contains(key)) assignments.push_back(key + "=" + value);
    }
  }
  if (row.info.name == "word_classifier") assignments.push_back("data.label=Type");
  for (const char* key : kReadsVectors) {
    if (keys.contains(key)) assignments.push_back(key + ("=" + run_of_vectors().string()));
  }
  if (keys.contains(kReadsLanguageModel))
    assignments.push_back(kReadsLanguageModel + ("=" + run_of_language_model().string()));
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

TrainOptions on(Device device, const std::filesystem::path& folder, int64_t stop_at = 0) {
  TrainOptions options = quiet(folder, stop_at);
  options.device = device;
  return options;
}

const std::filesystem::path& run_of_vectors() {
  static const TemporaryFolder folder;
  static const std::filesystem::path path = [] {
    Trainer::start(tiny_settings_of(model_row("diffusion_lm"), {}), quiet(folder / "run"))->run();
    return folder / "run";
  }();
  return path;
}

const std::filesystem::path& run_of_language_model() {
  static const TemporaryFolder folder;
  static const std::filesystem::path path = [] {
    const Settings settings = tiny_settings_of(
        model_row("autoregressive"), {{"data.task", "pairs"}, {"autoregressive.ignore_source", "true"}});
    Trainer::start(settings, quiet(folder / "run"))->run();
    return folder / "run";
  }();
  return path;
}

// The largest difference of an element.
double distance(const NamedTensors& a, const NamedTensors& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const std::vector<double> left = a[i].tensor.to_vector<double>(), right = b[i].tensor.to_vector<double>();
    REQUIRE(left.size() == right.size());
    for (size_t k = 0; k < left.size(); ++k) largest = std::max(largest, std::abs(left[k] - right[k]));
  }
  return largest;
}

// Whether a sampler leads a language model to a control, for which it needs a classifier.
bool is_led(const std::string& sampler) {
  return sampler == "fudge" || sampler == "pplm";
}

// What the samplers of a saved run draw, one after the other, but for those that lead to a control.
std::vector<Samples> samples_of(const std::filesystem::path& run, const Setting& sampler, Device device) {
  std::vector<Samples> all;
  for (const std::string& choice : sampler.choices) {
    if (is_led(choice)) continue;
    const SavedModel saved = load_model(
        run,
        [&](Settings& settings) {
          settings.set("sample.sampler", choice);
          if (settings.has("sample.steps")) settings.set("sample.steps", int64_t{3});
        },
        Purpose::sampling, device);
    SampleRequest request{.count = 2, .seed = 3};
    if (saved.model->sampler()->uses().length) request.length = 6;
    all.push_back(draw_samples(*saved.model, *saved.task, saved.settings, request, {}));
  }
  return all;
}

// The same texts, and numbers that differ by `tolerance` at most, relative to the largest of them or 1.
void check_same_samples(const std::vector<Samples>& a, const std::vector<Samples>& b, double tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].texts == b[i].texts);
    if (!a[i].values.defined()) continue;
    const Tensor zero = zeros_like(a[i].values);
    const double size = 1 + distance({{"", a[i].values}}, {{"", zero}});
    CHECK(distance({{"", a[i].values}}, {{"", b[i].values}}) <= tolerance * size);
  }
}

void check_model(const ModelRow& row, const Assignments& more = {}) {
  CAPTURE(row.info.name);
  const Settings settings = tiny_settings_of(row, more);
  const TemporaryFolder folder;
  Trainer::start(settings, on(Device::cpu, folder / "cpu"))->run();
  Trainer::start(settings, on(Device::guarded, folder / "guarded", 2))->run();
  const TrainResult end = Trainer::resume(on(Device::guarded, folder / "guarded"))->run();
  CHECK(end.step == 4);
  const Checkpoint cpu = latest_checkpoint(folder / "cpu"), guarded = latest_checkpoint(folder / "guarded");
  CHECK(distance(cpu.model, guarded.model) < 1e-5);
  CHECK(distance(cpu.ema, guarded.ema) < 1e-5);
  const SavedModel saved = load_model(folder / "cpu");
  if (!saved.model->sampler()) return;
  for (const Setting& setting : settings_table(row.info)) {
    if (setting.key != "sample.sampler") continue;
    check_same_samples(samples_of(folder / "cpu", setting, Device::cpu),
                       samples_of(folder / "cpu", setting, Device::guarded), 0);
  }
}

// The losses of all steps of a run that logs each.
std::vector<double> losses_of(const std::filesystem::path& run) {
  std::vector<double> losses;
  std::ifstream metrics(run / "metrics.jsonl");
  for (std::string line; std::getline(metrics, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("loss")) losses.push_back(json.at("loss"));
  }
  return losses;
}

// How often the host waits for the device in a run of so many steps, which logs, evaluates and saves at its
// end alone.
int64_t waits(const ModelRow& row, const Assignments& more, int64_t steps) {
  const TemporaryFolder folder;
  Settings settings = tiny_settings_of(row, more);
  for (const char* key : {"train.log_every", "train.evaluate_every", "train.checkpoint_every"})
    settings.set(key, int64_t{1000});
  settings.set("train.steps", int64_t{1000});
  auto& device = dynamic_cast<GuardedRuntime&>(runtime(Device::guarded));
  const std::unique_ptr<Trainer> trainer =
      Trainer::start(settings, on(Device::guarded, folder / "run", steps));
  const int64_t before = device.waits();
  trainer->run();
  return device.waits() - before;
}

}  // namespace

TEST_CASE("a training step between two logs never waits for the device") {
  for (const ModelRow& row : model_table()) {
    CAPTURE(row.info.name);
    CHECK(waits(row, {}, 6) == waits(row, {}, 2));
    const std::vector<std::string> tasks = row.info.tasks;
    if (std::find(tasks.begin(), tasks.end(), "tensors") == tasks.end()) continue;
    CHECK(waits(row, kUnet, 6) == waits(row, kUnet, 2));
  }
}

TEST_CASE("a loss that is not finite stops a run on such a device at the next log or checkpoint") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& name, const std::string& setting) {
    const Settings settings =
        tiny_settings({"optimizer.learning_rate=1e30", "optimizer.warmup_steps=0", setting});
    return error_of([&] { Trainer::start(settings, on(Device::guarded, folder / name))->run(); });
  };
  const std::string at_log = error("log", "train.log_every=3");
  CHECK(at_log.starts_with("a step up to 3: the loss is "));
  CHECK_FALSE(find_latest_checkpoint(folder / "log"));
  const std::string at_checkpoint = error("checkpoint", "train.checkpoint_every=1");
  CHECK(at_checkpoint.starts_with("a step up to 2: the loss is "));
  CHECK(at_checkpoint.ends_with("; step-000001 is the checkpoint to go back to"));
  CHECK(latest_checkpoint(folder / "checkpoint").step == 1);
}

TEST_CASE("every model trains, resumes, is evaluated and samples on a device that the host cannot read") {
  for (const ModelRow& row : model_table()) check_model(row);
}

TEST_CASE("a language model is led to a control on a device that the host cannot read, by both classifiers") {
  const TemporaryFolder folder;
  for (const auto& [sampler, classifier] :
       {std::pair<std::string, std::string>("fudge", "prefix_classifier"), {"pplm", "hidden_classifier"}}) {
    CAPTURE(sampler);
    const std::filesystem::path run = folder / classifier;
    Trainer::start(tiny_settings_of(model_row(classifier), {{"data.task", "pairs"}}), quiet(run))->run();
    const auto draw = [&, &by = sampler](Device device) {
      const SavedModel saved = load_model(
          run_of_language_model(),
          [&](Settings& settings) {
            settings.set("sample.sampler", by);
            settings.set("sample.classifier", run.string());
          },
          Purpose::sampling, device);
      return std::vector<Samples>{draw_samples(*saved.model, *saved.task, saved.settings,
                                               {.count = 2, .source = "a", .seed = 3}, {})};
    };
    const std::vector<Samples> samples = draw(Device::cpu);
    CHECK(samples.front().texts.size() == 2);
    check_same_samples(samples, draw(Device::guarded), 0);
  }
}

TEST_CASE(
    "images, too: U-Net and autoencoder, with a decoder of levels, on a device that the host cannot read") {
  for (const ModelRow& row : model_table()) {
    const std::vector<std::string> tasks = row.info.tasks;
    if (std::find(tasks.begin(), tasks.end(), "tensors") == tasks.end()) continue;
    check_model(row, kUnet);
    check_model(row, kAutoencoder);
  }
}

TEST_CASE("on a GPU, mdlm and ddpm have the losses of the cpu over 20 steps, and draw its samples") {
  constexpr size_t kSteps = 20;
  for (const ModelRow& row : model_table()) {
    if (row.info.name != "mdlm" && row.info.name != "ddpm") continue;
    CAPTURE(row.info.name);
    const TemporaryFolder folder;
    const Settings settings = tiny_settings_of(
        row, {{"train.steps", "20"}, {"train.log_every", "1"}, {"train.evaluate_every", "20"}});
    const auto train = [&](Device device) {
      Trainer::start(settings, on(device, folder / name(device)))->run();
      const std::vector<double> losses = losses_of(folder / name(device));
      REQUIRE(losses.size() == kSteps);
      return losses;
    };
    const std::vector<double> cpu = train(Device::cpu);
    for (const Device gpu : test::gpus()) {
      CAPTURE(name(gpu));
      const std::vector<double> losses = train(gpu);
      for (size_t i = 0; i < kSteps; ++i) CHECK(losses[i] == doctest::Approx(cpu[i]).epsilon(1e-5));
      for (const Setting& setting : settings_table(row.info)) {
        if (setting.key != "sample.sampler") continue;
        check_same_samples(samples_of(folder / "cpu", setting, Device::cpu),
                           samples_of(folder / "cpu", setting, gpu), 1e-3);
      }
    }
  }
}

TEST_CASE(
    "captured steps have the losses and the weights of steps one by one, bit for bit, across a resume") {
  for (const ModelRow& row : model_table()) {
    if (row.info.name != "mdlm" && row.info.name != "ddpm") continue;
    CAPTURE(row.info.name);
    const Settings settings = tiny_settings_of(row, {{"train.steps", "14"},
                                                     {"train.log_every", "1"},
                                                     {"train.evaluate_every", "14"},
                                                     {"optimizer.schedule", "cosine"}});
    for (const Device gpu : test::gpus()) {
      CAPTURE(name(gpu));
      const TemporaryFolder folder;
      const auto options = [&](bool graphs, int64_t stop_at = 0) {
        TrainOptions result = on(gpu, folder / (graphs ? "graphs" : "one by one"), stop_at);
        result.graphs = graphs;
        result.row_multiple = 16;
        return result;
      };
      Trainer::start(settings, options(false))->run();
      int64_t replays = Trainer::start(settings, options(true, 7))->run().replays;
      replays += Trainer::resume(options(true))->run().replays;
      CHECK(replays >= 4);
      CHECK(losses_of(folder / "graphs") == losses_of(folder / "one by one"));
      const Checkpoint one = latest_checkpoint(folder / "graphs"),
                       other = latest_checkpoint(folder / "one by one");
      for (const auto part : {&Checkpoint::model, &Checkpoint::optimizer, &Checkpoint::ema})
        CHECK(distance(one.*part, other.*part) == 0);
      CHECK(one.text("state.toml") == other.text("state.toml"));
    }
  }
}

TEST_CASE("graphs of several shapes of a batch keep no gradients of their own") {
  const Settings settings =
      tiny_settings_of(model_row("mdlm"),
                       {{"transformer.hidden", "32"}, {"train.steps", "14"}, {"train.evaluate_every", "14"}});
  for (const Device gpu : test::gpus()) {
    CAPTURE(name(gpu));
    // The memory that a trainer still uses after its run.
    const auto bytes_of = [&](bool graphs) {
      const TemporaryFolder folder;
      TrainOptions options = on(gpu, folder / "run");
      options.graphs = graphs;
      options.row_multiple = 16;
      const size_t before = memory_statistics(gpu).in_use;
      const std::unique_ptr<Trainer> trainer = Trainer::start(settings, options);
      CHECK((trainer->run().replays > 0) == graphs);
      return memory_statistics(gpu).in_use - before;
    };
    // Steps one by one leave one set of gradients, and inputs of graphs are smaller than that.
    CHECK(bytes_of(true) < bytes_of(false));
  }
}

TEST_CASE("graphs are refused where a step needs the host") {
  const auto refusal = [](Device device, const std::string& setting) {
    const TemporaryFolder folder;
    TrainOptions options = on(device, folder / "run");
    options.graphs = true;
    return error_of([&] { Trainer::start(tiny_settings({setting}), options); });
  };
  CHECK(refusal(Device::cpu, "train.seed=1") == "graphs are for the devices cuda and simt, not for cpu");
  CHECK(refusal(Device::simt, "train.accumulate=2") == "graphs go with train.accumulate 1 only");
  CHECK(refusal(Device::simt, "train.detect_nonfinite=true") ==
        "graphs do not go with train.detect_nonfinite, for which the host reads every result");
}

TEST_CASE("a step that cannot be captured runs without graphs, with the same bits, and the reason is said") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings({"transformer.time=prefix", "transformer.layers=1",
                                           "transformer.hidden=16", "train.steps=4", "train.log_every=1"});
  const auto train = [&](bool graphs) {
    TrainOptions options = on(Device::simt, folder / (graphs ? "graphs" : "one by one"));
    options.graphs = graphs;
    options.row_multiple = 256;  // every batch has one shape
    return Trainer::start(settings, options)->run();
  };
  CHECK(train(true).replays == 0);
  train(false);
  CHECK(losses_of(folder / "graphs") == losses_of(folder / "one by one"));
  const Checkpoint one = latest_checkpoint(folder / "graphs"),
                   other = latest_checkpoint(folder / "one by one");
  for (const auto part : {&Checkpoint::model, &Checkpoint::optimizer, &Checkpoint::ema})
    CHECK(distance(one.*part, other.*part) == 0);

  const auto run = [&](const std::string& name, const std::string& setting) {
    const ProgramResult result = run_program({"train",
                                              "--out",
                                              (folder / name).string(),
                                              "--device",
                                              "simt",
                                              "--graphs",
                                              "--stop-at",
                                              "5",
                                              "--set",
                                              "transformer.layers=1",
                                              "--set",
                                              "transformer.hidden=16",
                                              "--set",
                                              "transformer.heads=2",
                                              "--set",
                                              "data.corpus_size=100",
                                              "--set",
                                              "data.min_count=1",
                                              "--set",
                                              "train.batch_size=4",
                                              "--set",
                                              setting});
    CHECK(result.status == 0);
    CHECK(result.output.find("0 updates were replays of a graph\nstopped at step 5") != std::string::npos);
    const std::string begin = "steps run without graphs: ";
    const size_t at = result.error.find(begin);
    REQUIRE(at != std::string::npos);
    CHECK(result.error.find(begin, at + 1) == std::string::npos);
    return result.error.substr(at + begin.size());
  };
  CHECK(
      run("prefix", "transformer.time=prefix").starts_with("graph: numbers of the host are copied to simt"));
  CHECK(run("model", "model=autoregressive")
            .starts_with("the loss of this model reads more of a batch than tensors of the device\n"));
}

TEST_CASE("--device takes a device of this build, and refuses others in one sentence") {
  const TemporaryFolder folder;
  const auto run = [&](const std::string& device) {
    return run_program({"train", "--out", (folder / device).string(), "--set", "train.steps=1", "--set",
                        "data.corpus_size=100", "--set", "data.min_count=1", "--device", device});
  };
  CHECK(run("guarded").status == 0);
  if (is_available(Device::cuda)) {
    CHECK(run("cuda").status == 0);
  } else {
    CHECK(run("cuda").error.find("device cuda: this ") != std::string::npos);  // machine, or build
    CHECK(run("cuda").status == 1);
  }
  CHECK(run("tpu").error.find("there are cpu, cuda, simt, guarded") != std::string::npos);
  CHECK(run("tpu").status != 0);
}

TEST_CASE("haze train --graphs says how many updates were replays, and refuses the cpu in one sentence") {
  const TemporaryFolder folder;
  const auto run = [&](const std::string& device) {
    return run_program({"train", "--out", (folder / device).string(), "--device", device, "--graphs",
                        "--json", "--stop-at", "3", "--set", "model=ddpm", "--set", "train.batch_size=8"});
  };
  const ProgramResult simt = run("simt");
  CHECK(simt.status == 0);
  CHECK(nlohmann::json::parse(simt.output).at("replays") == 2);
  CHECK(run("cpu").error.find("graphs are for the devices cuda and simt, not for cpu") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "cpu"));
}
