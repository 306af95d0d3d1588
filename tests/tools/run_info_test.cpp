#include "haze/tools/run/run_info.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/corpus/corpus.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

const TemporaryFolder& runs() {
  static const TemporaryFolder folder;
  return folder;
}

std::string trained(const std::string& name, const std::vector<std::string>& more) {
  const std::filesystem::path run = runs() / name;
  if (!std::filesystem::exists(run)) Trainer::start(tiny_settings(more), quiet(run))->run();
  return run.string();
}

std::string masked_run() {
  return trained("masked", {"train.steps=32", "transformer.hidden=16", "transformer.layers=1"});
}

json info_of(const std::string& run) {
  const ProgramResult result = run_program({"info", run, "--json"});
  INFO(result.error);
  REQUIRE(result.status == 0);
  return json::parse(result.output);
}

}  // namespace

TEST_CASE("info says what a run is, what it learned from, and how far it is") {
  const json info = info_of(masked_run());
  CHECK(info.at("model") == "mdlm");
  CHECK(info.at("paper").get<std::string>().find("Sahoo") == 0);
  CHECK(info.at("task") == "texts");
  CHECK(info.at("step") == 32);
  CHECK(info.at("last_step") == 32);
  CHECK(info.at("examples_seen") == 32 * 8);
  // Counted again, from the corpus that the run trained on.
  int64_t texts = 0, tokens = 0, longest = 0;
  for (const std::string& line : lines_of(read_text(masked_run() + "/data/train.txt"))) {
    const auto words = static_cast<int64_t>(words_of(line.substr(line.find("||") + 2)).size());
    ++texts;
    tokens += words + 1;
    longest = std::max(longest, words + 1);
  }
  CHECK(info.at("texts") == texts);
  CHECK(info.at("tokens") == tokens);
  CHECK(info.at("longest") == longest);
  int64_t parameters = 0;
  for (const NamedTensor& weight : latest_checkpoint(masked_run()).model)
    parameters += weight.tensor.elements();
  CHECK(info.at("parameters") == parameters);
  CHECK(info.at("bytes") > 4 * parameters);
  CHECK(info.at("latest") == "step-000032");
  CHECK(info.at("best").at("measure") == "validation_nats_per_token");
  CHECK(info.at("settings").at("transformer.hidden") == "16");
  CHECK_FALSE(info.at("settings").contains("mdlm.schedule"));
  CHECK_FALSE(info.at("settings").contains("settings_version"));
}

TEST_CASE("every command that info names for a run works") {
  const std::string pairs = trained("pairs", {"model=autoregressive", "data.task=pairs", "train.steps=2",
                                              "transformer.layers=1", "transformer.hidden=16"});
  for (const std::string& run : {masked_run(), pairs}) {
    for (const auto& [words, command] : info_of(run).at("commands").items()) {
      const std::string line = command.get<std::string>();
      if (line.find("\"...\"") != std::string::npos) continue;  // a source of the user's own
      CAPTURE(line);
      const ProgramResult result = run_script("\"$HAZE\"" + line.substr(4));
      CAPTURE(result.error);
      CHECK(result.status == 0);
    }
  }
  CHECK(info_of(masked_run()).at("commands").contains("fill gaps"));
  CHECK_FALSE(info_of(pairs).at("commands").contains("fill gaps"));
  CHECK(info_of(pairs).at("commands").contains("answer a source"));
}

TEST_CASE("info of a model of points shows their shape, and a person gets the same in lines") {
  const std::string points = (runs() / "points").string();
  REQUIRE(run_program(train_arguments(points, {"model=ddpm", "ddpm.steps=20", "mlp.layers=1", "mlp.hidden=16",
                                               "data.train_size=100", "data.valid_size=20", "train.steps=2"}))
              .status == 0);
  CHECK(info_of(points).at("value_shape") == json{2});
  const std::string text = run_program({"info", points}).output;
  CHECK(text.find("ddpm (") != std::string::npos);
  CHECK(text.find("2 numbers an example") != std::string::npos);
  CHECK(text.find("2 of 2 steps") != std::string::npos);
  CHECK(text.find("step-000002") != std::string::npos);
  CHECK(text.find("train.steps = 2 (default: ") != std::string::npos);
  check_failure({"info", (runs() / "none").string()}, 1, "there is no such run");
}
