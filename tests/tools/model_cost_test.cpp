#include "haze/tools/lab/model_cost.h"

#include <cmath>
#include <map>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/run/training_settings.h"

#include "tools/error_of.h"
#include "tools/program.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::vector<std::string> kTiny = {
    "data.layout=packed",   "data.corpus_size=400",  "data.max_length=32",
    "transformer.layers=2", "transformer.hidden=16", "transformer.heads=2",
    "train.batch_size=4",   "train.steps=4",         "optimizer.ema=0.9"};

Settings settings_of(const std::string& model, const std::vector<std::string>& assignments) {
  std::vector<std::string> all = {"model=" + model};
  all.insert(all.end(), assignments.begin(), assignments.end());
  Settings settings = settings_from({}, all);
  resolve_training_settings(settings);
  return settings;
}

struct Work {
  double flops = 0, bytes = 0;
};

/// The work of the first step that `haze train --profile` records, by phase, and the tokens of its data.
struct RecordedStep {
  std::map<std::string, Work> phases;
  int64_t vocabulary = 0;

  explicit RecordedStep(const std::string& model) {
    const TemporaryFolder folder;
    std::vector<std::string> assignments = {"model=" + model};
    assignments.insert(assignments.end(), kTiny.begin(), kTiny.end());
    std::vector<std::string> arguments = train_arguments(folder / "run", assignments);
    arguments.insert(arguments.end(), {"--profile", "1"});
    REQUIRE(run_program(arguments).status == 0);
    add(nlohmann::json::parse(read_text(folder / "run" / "profile.json")));
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "run")) {
      if (entry.path().filename() == "tokenizer.json")
        vocabulary = static_cast<int64_t>(nlohmann::json::parse(read_text(entry.path()))["tokens"].size());
    }
  }

 private:
  void add(const nlohmann::json& events) {
    for (const auto& call : events) {
      if (call.value("cat", "") != "operation") continue;
      for (const auto& phase : events) {
        if (phase.value("cat", "") != "phase" || call["ts"] < phase["ts"] ||
            call["ts"].get<double>() > phase["ts"].get<double>() + phase["dur"].get<double>())
          continue;
        Work& work = phases[phase["name"]];
        work.flops += call["args"]["flops"].get<double>();
        work.bytes += call["args"]["bytes"].get<double>();
      }
    }
  }
};

}  // namespace

TEST_CASE("lab model: a step whose kernels are skipped has the work of one that is trained") {
  const RecordedStep recorded("autoregressive");
  REQUIRE(recorded.vocabulary > 0);
  const ModelCost cost =
      model_cost(settings_of("autoregressive", kTiny), recorded.vocabulary, gpu_named("h100"));
  REQUIRE(cost.phases.size() == 3);
  for (const CostRow& phase : cost.phases) {
    CAPTURE(phase.name);
    const Work& work = recorded.phases.at(phase.name);
    CHECK(phase.flops == doctest::Approx(work.flops).epsilon(1e-9));
    CHECK(std::abs(phase.bytes - work.bytes) < 128);  // the trainer also logs some scalars
  }
  // Inputs, targets and hidden states of 128 tokens are small beside weights, gradients and AdamW's two.
  CHECK(cost.peak_bytes() > 4 * 4 * cost.parameters);
}

TEST_CASE("lab model: of mdlm, it has the work of a step but for how many tokens were masked") {
  const RecordedStep recorded("mdlm");
  const ModelCost cost = model_cost(settings_of("mdlm", kTiny), recorded.vocabulary, gpu_named("h100"));
  for (const CostRow& phase : cost.phases) {
    CAPTURE(phase.name);
    CHECK(phase.bytes == doctest::Approx(recorded.phases.at(phase.name).bytes).epsilon(0.1));
  }
}

TEST_CASE("lab model: a call takes the time of its operations or of its bytes, at the peak of its units") {
  Gpu gpu = gpu_named("h100");
  gpu.float32 = 10;
  gpu.bfloat16 = 100;
  gpu.memory_bandwidth = 2;
  Profile profile;
  const auto call = [&](double flops, double bytes, bool bfloat16, const char* phase) {
    ProfileCall& added = profile.calls.emplace_back();
    added.flops = flops;
    added.bytes = bytes;
    added.bfloat16 = bfloat16;
    added.phase = phase;
  };
  call(100, 2, false, "forward");  // 10 s of arithmetic
  call(100, 4, true, "forward");   // 2 s of memory
  call(0, 6, false, "optimizer");  // 3 s of memory
  const std::vector<CostRow> phases = phase_costs(profile, gpu);
  REQUIRE(phases.size() == 2);
  CHECK(phases[0].seconds == 12);
  CHECK(phases[0].arithmetic_seconds == 10);
  CHECK(phases[1].seconds == 3);
}

TEST_CASE("lab model: batches that make one step together multiply its work, and not its memory") {
  std::vector<std::string> accumulated = kTiny;
  accumulated.push_back("train.accumulate=3");
  const ModelCost one = model_cost(settings_of("autoregressive", kTiny), 100, gpu_named("h100")),
                  three = model_cost(settings_of("autoregressive", accumulated), 100, gpu_named("h100"));
  CHECK(three.tokens == 3 * one.tokens);
  CHECK(three.phases[0].flops == 3 * one.phases[0].flops);
  CHECK(three.phases[2].bytes == one.phases[2].bytes);
  CHECK(three.peak_bytes() < 1.1 * one.peak_bytes());
}

TEST_CASE("haze lab model takes a 12-layer transformer with 512 texts of 1024 tokens in seconds") {
  const std::string repository = std::filesystem::path(HAZE_TEST_DATA).parent_path().parent_path().string();
  const ProgramResult result = run_program({"lab", "model", "--config", repository + "/configs/dit-110m.toml",
                                            "--set", "train.batch_size=2", "--json"});
  REQUIRE(result.status == 0);
  const auto json = nlohmann::json::parse(result.output);
  CHECK(json["tokens"] == 2048);
  // 12 layers: 4 h^2 of attention, 8 h^2 of the MLP, 6 h^2 of the adaptive norms; two embeddings.
  const double h = 768, embeddings = 2.0 * 30522 * h;
  CHECK(json["parameters"].get<double>() == doctest::Approx(12 * 18 * h * h + embeddings).epsilon(0.02));
  // 6 operations a weight and token, but for the input's embedding.
  const double dense = 6 * (12 * 12 * h * h) * 2048;
  CHECK(json["flops"].get<double>() > dense);
  CHECK(json["flops"].get<double>() < 2 * dense);
}

TEST_CASE("what haze lab model cannot do is one sentence") {
  check_failure({"lab", "model", "--gpu", "b100"}, 2, "there is no GPU 'b100' here");
  check_failure({"lab", "model", "--set", "transformer.leyers=2"}, 2, "did you mean 'transformer.layers'?");
  check_failure({"lab", "model", "--config", "nowhere.toml"}, 1, "nowhere.toml");
  check_failure({"lab", "model", "--set", "model=ddpm"}, 1,
                "haze: the model ddpm does not learn texts, and only steps on texts can be invented");
  check_failure({"lab", "model", "--vocabulary", "0"}, 2, "--vocabulary takes a whole number from 1");
}
