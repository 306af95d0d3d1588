#include "haze/tools/run/run_info.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/corpus/corpus.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using json = nlohmann::ordered_json;

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

std::string points_run() {
  const std::filesystem::path run = runs() / "points";
  if (!std::filesystem::exists(run)) {
    REQUIRE(run_program(train_arguments(run, {"model=ddpm", "ddpm.steps=20", "mlp.layers=1", "mlp.hidden=16",
                                              "data.train_size=100", "data.valid_size=20", "train.steps=2"}))
                .status == 0);
  }
  return run.string();
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

// Runs every command that info names for a run, with a file or source of the user's own put in.
void check_commands(const std::string& run, const std::string& source = "") {
  const json commands = info_of(run).at("commands");
  for (const auto& [words, command] : commands.items()) {
    std::string line = command.get<std::string>();
    const auto replace = [&](const std::string& from, const std::string& to) {
      if (const size_t at = line.find(from); at != std::string::npos) line.replace(at, from.size(), to);
    };
    write_text(runs() / "texts.txt", "The food is good .\n");
    replace("...", source);
    replace("FILE.txt", (runs() / "texts.txt").string());
    replace("samples.png", (runs() / "samples.png").string());
    CAPTURE(line);
    const ProgramResult result = run_script("\"$HAZE\"" + line.substr(4));
    CAPTURE(result.error);
    CHECK(result.status == 0);
  }
}

TEST_CASE("every command that info names for a run works") {
  const std::string pairs = trained("pairs", {"model=autoregressive", "data.task=pairs", "train.steps=2",
                                              "transformer.layers=1", "transformer.hidden=16"});
  const std::string first_pair = lines_of(read_text(pairs + "/data/train.txt")).at(0);
  check_commands(masked_run());
  check_commands(pairs, first_pair.substr(0, first_pair.find("||")));
  check_commands(trained("tagger", {"model=spelling_tagger", "train.steps=2", "data.max_length=48"}));
  check_commands(points_run());
  CHECK(info_of(masked_run()).at("commands").contains("fill gaps"));
  CHECK_FALSE(info_of(pairs).at("commands").contains("fill gaps"));
  CHECK(info_of(pairs).at("commands").contains("answer a source"));
}

TEST_CASE("the commands of a run that is not finished go on with it, from its checkpoint's folder too") {
  const std::vector<std::string> settings = {"train.steps=4", "train.checkpoint_every=1",
                                             "transformer.layers=1", "transformer.hidden=16"};
  const std::string run = (runs() / "a run of 'mine'").string();
  const TrainResult trained = Trainer::start(tiny_settings(settings), quiet(run, 2))->run();
  const std::vector<Measure>& measures = trained.data.measures;
  const auto vocabulary = std::find_if(measures.begin(), measures.end(),
                                       [](const Measure& one) { return one.name == "vocabulary"; });
  REQUIRE(vocabulary != measures.end());
  CHECK(info_of(run).at("vocabulary") == vocabulary->value);
  const std::string checkpoint = run + "/step-000001";
  const std::string resume = info_of(checkpoint).at("commands").at("go on training");
  CHECK(resume.find(R"(a run of '\''mine'\'')") != std::string::npos);
  CHECK(resume.find("step-") == std::string::npos);
  check_commands(checkpoint);
  // It has gone on: nothing is left to train, from whichever checkpoint.
  CHECK(info_of(run).at("step") == 4);
  CHECK_FALSE(info_of(run).at("commands").contains("go on training"));
  CHECK_FALSE(info_of(run + "/step-000004").at("commands").contains("go on training"));
}

TEST_CASE("info names no command with a word of the texts where these have none of letters") {
  std::string lines;
  for (int i = 0; i < 20; ++i) lines += "1 2 $3 _ \"4\"\n5 6 7\n";
  write_text(runs() / "numbers.txt", lines);
  const std::string texts = (runs() / "numbers.txt").string();
  const std::string run =
      trained("numbers", {"train.steps=2", "data.format=lines", "data.train=" + texts, "data.valid=" + texts,
                          "transformer.layers=1", "transformer.hidden=16"});
  check_commands(run);
  CHECK_FALSE(info_of(run).at("commands").contains("fill gaps"));
}

TEST_CASE("info of a run of one raw text counts its blocks, and calls them so") {
  std::string play;
  for (int i = 0; i < 200; ++i) play += "Enter the king .\n\n";
  write_text(runs() / "play.txt", play);
  const std::string run =
      trained("play", {"train.steps=2", "data.format=raw", "data.tokenizer=character", "data.max_length=16",
                       "data.train=" + (runs() / "play.txt").string(), "transformer.layers=1",
                       "transformer.hidden=16"});
  // 200 x 18 characters, of which nine tenths are learnt: 202 blocks of 16.
  CHECK(run_program({"info", run})
            .output.find("blocks      202 to learn from, 3232 tokens; 16 to 16 tokens a block") !=
        std::string::npos);
}

TEST_CASE("info of a model of points shows their shape, and a person gets the same in lines") {
  const std::string points = points_run();
  CHECK(info_of(points).at("value_shape") == json{2});
  const std::string text = run_program({"info", points}).output;
  CHECK(text.find("ddpm (") != std::string::npos);
  CHECK(text.find("2 numbers an example") != std::string::npos);
  CHECK(text.find("2 of 2 steps") != std::string::npos);
  CHECK(text.find("step-000002") != std::string::npos);
  CHECK(text.find("train.steps = 2 (default: ") != std::string::npos);
  check_failure({"info", (runs() / "none").string()}, 1, "there is no such run");
}
