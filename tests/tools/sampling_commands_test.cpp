#include <algorithm>
#include <map>
#include <set>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/models.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

const std::filesystem::path kRepository = std::filesystem::path(HAZE_TEST_DATA).parent_path().parent_path();

/// A run of a few steps, with probabilities of tokens that are all much alike.
std::string train(const TemporaryFolder& folder, const std::string& name,
                  const std::vector<std::string>& more) {
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), {"train.steps=4", "transformer.layers=1", "transformer.hidden=16",
                                         "data.corpus_size=2000"});
  assignments.insert(assignments.end(), more.begin(), more.end());
  const ProgramResult result = run_program(train_arguments(folder / name, assignments));
  INFO(result.error);
  REQUIRE(result.status == 0);
  return (folder / name).string();
}

const TemporaryFolder& runs() {
  static const TemporaryFolder folder;
  return folder;
}
const std::string& masked_run() {
  static const std::string run = train(runs(), "masked", {});
  return run;
}
const std::string& autoregressive_run() {
  static const std::string run = train(runs(), "autoregressive", {"model=autoregressive"});
  return run;
}
/// The model of blocks of 16 tokens, cut from texts laid end to end.
std::string packed_run(const std::string& model) {
  static std::map<std::string, std::string> made;
  if (!made.contains(model)) {
    made[model] =
        train(runs(), "packed-" + model, {"model=" + model, "data.layout=packed", "data.max_length=16"});
  }
  return made[model];
}

std::vector<json> objects_of(const std::vector<std::string>& arguments) {
  const ProgramResult result = run_program(arguments);
  INFO(result.error);
  REQUIRE(result.status == 0);
  std::vector<json> objects;
  for (const std::string& line : lines_of(result.output)) objects.push_back(json::parse(line));
  return objects;
}

json eval(const std::string& run, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"eval", run, "--json", "--passes", "5", "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return objects_of(arguments).at(0);
}

/// Options of a command as its help shows them: name, explanation.
std::vector<std::pair<std::string, std::string>> options_in_help(const std::string& command) {
  std::vector<std::pair<std::string, std::string>> options;
  for (const std::string& line : lines_of(run_program({command, "--help"}).output)) {
    if (line.starts_with("  --")) {
      const std::vector<std::string> words = words_of(line);
      options.emplace_back(words[0], line.size() > 26 ? line.substr(26) : "");
    } else if (!options.empty() && line.starts_with("    ") && line.size() > 26) {
      options.back().second = line.substr(26);
    }
  }
  return options;
}

}  // namespace

TEST_CASE(
    "haze models lists every model with its paper, tasks, abilities and a configuration that trains it") {
  const std::map<std::string, std::set<std::string>> expected = {
      {"mdlm", {"texts", "bound", "samples", "prompts", "infilling"}},
      {"d3pm", {"texts", "bound", "samples", "prompts", "infilling"}},
      {"autoregressive", {"texts", "pairs", "likelihood", "samples", "prompts"}},
      {"ddpm", {"tensors", "bound", "samples"}}};
  const std::string text = run_program({"models"}).output;
  std::set<std::string> seen;
  for (const json& row : objects_of({"models", "--json"})) {
    const std::string name = row.at("name"), configuration = row.at("configuration");
    CAPTURE(name);
    CHECK(seen.insert(name).second);
    std::set<std::string> words;
    for (const char* list : {"tasks", "abilities"}) {
      for (const std::string word : row.at(list)) {
        CHECK(words.insert(word).second);
        CHECK(text.find(word) != std::string::npos);
      }
    }
    if (expected.contains(name)) CHECK(words == expected.at(name));
    CHECK(row.at("paper").get<std::string>().find(" 20") != std::string::npos);
    CHECK(text.find(name + "\n  " + row.at("paper").get<std::string>() + "\n") != std::string::npos);
    CHECK(text.find("haze train --config " + configuration + "\n") != std::string::npos);
    Settings settings = settings_from(kRepository / configuration, {});
    resolve_training_settings(settings);
    CHECK(settings.text("model") == name);
  }
  for (const auto& [name, words] : expected) CHECK(seen.contains(name));
}

TEST_CASE("every configuration of the repository resolves and names its model") {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kRepository / "configs")) {
    if (entry.path().extension() != ".toml") continue;
    CAPTURE(entry.path().string());
    CHECK(read_text(entry.path()).find("\nmodel = \"") != std::string::npos);
    Settings settings = settings_from(entry.path(), {});
    CHECK_NOTHROW(resolve_training_settings(settings));
    ++count;
  }
  CHECK(count >= 4);
}

TEST_CASE("the help of sample and infill has each option once, with an explanation that suits every model") {
  for (const char* command : {"sample", "infill"}) {
    CAPTURE(command);
    std::set<std::string> names;
    for (const auto& option : options_in_help(command)) {
      CAPTURE(option.first);
      CHECK(names.insert(option.first).second);
      CHECK(option.second.size() > 10);
    }
    for (const char* name : {"--sampler", "--steps", "--temperature", "--top-p", "--top-k", "--beam-size",
                             "--length-penalty", "--special-tokens", "--precision", "--source", "--count"})
      CHECK_MESSAGE(names.contains(name), name);
  }
  std::map<std::string, std::set<std::string>> explanations;
  for (const ModelRow& model : model_table()) {
    for (const Setting& row : settings_table(model.info)) explanations[row.key].insert(row.explanation);
  }
  for (const char* key : {"sample.temperature", "sample.top_p", "sample.top_k", "sample.precision"})
    CHECK_MESSAGE(explanations.at(key).size() == 1, key);
}

TEST_CASE("the help of sample explains an option by what each model says of its setting") {
  std::map<std::string, std::string> help;
  for (const auto& [name, explanation] : options_in_help("sample")) help[name] = explanation;
  for (const ModelRow& model : model_table()) {
    for (const Setting& row : settings_table(model.info)) {
      if (row.section() != "sample" || row.key == "sample.count") continue;
      std::string option = "--" + std::string(row.name());
      std::replace(option.begin(), option.end(), '_', '-');
      CAPTURE(option);
      CAPTURE(model.info.name);
      CHECK(help.at(option).find(row.explanation) != std::string::npos);
    }
  }
  // Once where all say the same, and not beside a sentence that begins so.
  CHECK(help.at("--precision").find(" / ") == std::string::npos);
  const std::string first = "denoising steps of the ancestral sampler";
  CHECK(help.at("--steps").find(first) == help.at("--steps").rfind(first));
}

TEST_CASE("eval draws no samples where none are asked for, and otherwise as --set says") {
  const json without = eval(masked_run(), {"--examples", "3", "--samples", "0"});
  CHECK_FALSE(without.contains("samples"));
  CHECK_FALSE(without.contains("grammatical_share"));
  CHECK(without.contains("floor_nats_per_token"));
  const std::vector<std::string> few = {"--examples", "3", "--samples", "4", "--set"};
  for (const char* assignment :
       {"sample.sampler=first-hitting", "sample.steps=2", "sample.temperature=0.5"}) {
    std::vector<std::string> arguments = few;
    arguments.push_back(assignment);
    const json report = eval(masked_run(), arguments);
    CHECK(report.at("samples") == 4);
    CHECK(report.at("nats_per_token") == without.at("nats_per_token"));
  }
}

TEST_CASE(
    "eval refuses a setting that its sampler has no use for, one of another model, and one of training") {
  const std::string run = masked_run();
  check_failure({"eval", run, "--set", "sample.sampler=first-hitting", "--set", "sample.steps=8"}, 2,
                "haze: --set sample.steps is for sampler ancestral, and it is first-hitting");
  check_failure({"eval", run, "--set", "sample.steps=0"}, 2, "'sample.steps' takes an integer");
  check_failure({"eval", run, "--set", "sample.sampler=beam"}, 2, "'sample.sampler' takes");
  check_failure({"eval", run, "--set", "sample.beam_size=3"}, 2, "there is no setting 'sample.beam_size'");
  check_failure({"eval", run, "--set", "train.steps=3"}, 2, "a trained model is what it is");
  check_failure({"eval", run, "--samples", "-1"}, 2, "--samples takes a whole number of at least 0");
  check_failure({"eval", autoregressive_run(), "--exact"}, 2, "--exact");
}

TEST_CASE("eval measures on data.test where it is given, and on data.valid where it is not") {
  const TemporaryFolder folder;
  std::vector<std::string> files;
  for (const auto& [name, count] :
       {std::pair<std::string, uint64_t>{"train", 40}, {"valid", 7}, {"test", 5}}) {
    std::string lines;
    for (uint64_t i = 0; i < count; ++i) lines += e2e_line(generate_line(count, i)) + "\n";
    write_text(folder / name, lines);
    files.push_back("data." + name + "=" + (folder / name).string());
  }
  const std::string with_test = train(folder, "with", files);
  CHECK(eval(with_test, {}).at("data") == (folder / "test").string());
  CHECK(eval(with_test, {}).at("texts") == 5);
  files.pop_back();
  const std::string without = train(folder, "without", files);
  CHECK(eval(without, {}).at("data") == (folder / "valid").string());
  CHECK(eval(without, {}).at("texts") == 7);
}

TEST_CASE("an option of another model is refused by the name of the one that was asked") {
  for (const char* option : {"--beam-size", "--length-penalty"})
    check_failure({"sample", masked_run(), option, "3"}, 2,
                  std::string("haze: ") + option + " is not for the model mdlm");
  check_failure({"sample", autoregressive_run(), "--steps", "3"}, 2,
                "--steps is not for the model autoregressive");
  check_failure({"sample", autoregressive_run(), "--beam-size", "3"}, 2,
                "--beam-size is for sampler beam, and it is ancestral");
  check_failure({"infill", autoregressive_run(), "a _"}, 1, "the model autoregressive cannot infill texts");
  const TemporaryFolder folder;
  check_failure({"sample", masked_run(), "--png", (folder / "x.png").string()}, 1,
                "haze: the model mdlm makes texts, of which there is no picture");
  check_failure({"sample", masked_run(), "--label", "0"}, 1,
                "haze: the model mdlm cannot draw examples of one label");
  check_failure({"sample", masked_run(), "--source", "a"}, 1,
                "the model mdlm was not trained on pairs; it takes no source");
}

TEST_CASE("control writes texts of a length and counts them, and refuses what the run cannot be led to") {
  const ProgramResult result =
      run_program({"control", masked_run(), "--length", "6", "--count", "4", "--threads", "1"});
  CHECK(result.status == 0);
  CHECK(result.output.find("length 5: 1.000 +- ") != std::string::npos);
  check_failure(
      {"control", masked_run()}, 2,
      "nothing is controlled: say what is wanted with --semantic, --pos, --tree, --span, --length, --left "
      "or --right");
  check_failure({"control", masked_run(), "--semantic", "Thai"}, 2,
                "--semantic takes a field and its value, such as \"food: Japanese\", not 'Thai'");
  check_failure({"control", masked_run(), "--semantic", "food: Thai"}, 1,
                "the control semantic needs a classifier, and the model mdlm takes none");
}

TEST_CASE("special tokens are written where --special-tokens asks for them, and never otherwise") {
  for (const std::string& run : {masked_run(), autoregressive_run()}) {
    std::vector<std::string> sample = {"sample", run, "--count", "100", "--json", "--threads", "1"};
    const auto count_special = [&] {
      int64_t count = 0;
      for (const json& object : objects_of(sample)) {
        for (const int32_t token : object.at("tokens"))
          count += token == Tokenizer::kPad || token == Tokenizer::kUnknown;
      }
      return count;
    };
    CHECK(count_special() == 0);
    sample.push_back("--special-tokens");
    // Thousands of tokens from nearly equal probabilities of about 400.
    CHECK(count_special() > 0);
  }
}

TEST_CASE("samples begin with the prompt, from models that fill in and models that go on") {
  for (const std::string& run : {masked_run(), autoregressive_run()}) {
    const std::vector<json> objects =
        objects_of({"sample", run, "--prompt", "The pub is", "--count", "6", "--json"});
    REQUIRE(objects.size() == 6);
    std::set<std::string> texts;
    for (const json& object : objects) {
      const std::string text = object.at("text");
      CHECK((text == "The pub is" || text.starts_with("The pub is ")));
      texts.insert(text);
    }
    CHECK(texts.size() > 1);
    check_failure({"sample", run, "--prompt", "The Zork"}, 1,
                  "prompt: the model does not know the word 'Zork'");
  }
}

TEST_CASE("a packed run writes a line a text and no <end>, and infilling adds no end token") {
  int64_t ends = 0;
  for (const json& object :
       objects_of({"sample", packed_run("mdlm"), "--count", "200", "--json", "--threads", "1"})) {
    const auto tokens = object.at("tokens").get<std::vector<int32_t>>();
    const std::string text = object.at("text");
    CHECK(tokens.size() == 16);
    CHECK(text.find("<end>") == std::string::npos);
    const auto inside = std::count(tokens.begin(), tokens.end() - 1, Tokenizer::kEnd);
    CHECK(std::count(text.begin(), text.end(), '\n') == inside);
    ends += inside;
  }
  CHECK(ends > 0);
  for (const json& object :
       objects_of({"infill", packed_run("mdlm"), "The _ is _", "--count", "3", "--json"}))
    CHECK(object.at("tokens").size() == 4);
  const ProgramResult continued = run_program({"sample", packed_run("autoregressive"), "--count", "50"});
  CHECK(continued.status == 0);
  CHECK(continued.output.find("<end>") == std::string::npos);
}

TEST_CASE("the evaluation of a packed run counts blocks, and claims no floor and no end token for each") {
  for (const char* model : {"mdlm", "autoregressive"}) {
    CAPTURE(model);
    const json report = eval(packed_run(model), {"--examples", "6", "--samples", "3"});
    CHECK(report.at("blocks") == 6);
    CHECK(report.at("tokens") == 6 * 16);
    for (const char* name : {"texts", "floor_nats_per_token", "floor_nats_per_token_with_length",
                             "nats_per_token_with_length", "length_nats_per_token", "grammatical_share"})
      CHECK_MESSAGE(!report.contains(name), name);
    const std::string table =
        run_program({"eval", packed_run(model), "--examples", "6", "--passes", "5"}).output;
    CHECK(table.find("end token") == std::string::npos);
    CHECK(table.find("texts") == std::string::npos);
  }
}
