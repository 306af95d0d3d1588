#include <algorithm>
#include <map>
#include <set>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/models.h"

#include "pseudo_terminal.h"
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
      // Their classifiers lead to tags and trees, which only haze control asks for.
      if (row.key == "sample.tagger" || row.key == "sample.parser") continue;
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
  CHECK(result.output.find("length 6: 1.000 +- ") != std::string::npos);
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

TEST_CASE("without --seed a random seed is drawn, printed, and repeats the samples; a given one is not") {
  const auto sampled = [](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"sample", masked_run(), "--count", "3"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_program(arguments);
    INFO(result.error);
    REQUIRE(result.status == 0);
    return result;
  };
  const ProgramResult first = sampled({}), second = sampled({"--json"});
  const size_t at = first.error.find("haze: seed ");
  REQUIRE(at != std::string::npos);
  const std::string seed = words_of(first.error.substr(at))[2];
  const std::string number = seed.substr(0, seed.size() - 1);
  CHECK(first.error.find(": --seed " + number + " repeats this\n") != std::string::npos);
  CHECK(sampled({"--seed", number}).output == first.output);
  CHECK(sampled({"--seed", number}).error.find("seed") == std::string::npos);
  const json object = json::parse(lines_of(second.output)[2]);
  CHECK(object.at("seed") != json::parse(number));
  const std::string again = std::to_string(object.at("seed").get<uint64_t>());
  CHECK(sampled({"--json", "--seed", again}).output == second.output);
}

TEST_CASE("sampling says its speed on standard error: texts, tokens and calls of the network") {
  const ProgramResult result =
      run_program({"sample", masked_run(), "--count", "4", "--length", "9", "--sampler", "first-hitting"});
  // Eight tokens of each text and its end, one call a token.
  CHECK(result.error.starts_with("haze: 4 texts in "));
  CHECK(result.error.find(" texts/s, ") != std::string::npos);
  CHECK(result.error.find(" tokens/s, 8.0 network calls a text\n") != std::string::npos);
  CHECK(lines_of(result.output).size() == 4);
}

TEST_CASE("a threshold below every confidence is one call of the network a text, and 1 one a token") {
  const auto calls = [](const std::string& threshold) {
    const ProgramResult result = run_program({"sample", masked_run(), "--count", "4", "--length", "9",
                                              "--sampler", "confidence", "--threshold", threshold});
    INFO(result.error);
    CHECK(result.status == 0);
    return words_of(result.error.substr(result.error.find("tokens/s")))[1];
  };
  CHECK(calls("0") == "1.0");
  CHECK(calls("1") == "8.0");
  check_failure({"sample", masked_run(), "--threshold", "0.5"}, 2,
                "--threshold is for sampler confidence, and it is ancestral");
}

TEST_CASE("--live says in a sentence that there is no terminal, and goes on to nothing") {
  check_failure({"sample", masked_run(), "--live"}, 2,
                "--live redraws lines of a terminal, and standard error is none; --trace prints each step");
  check_failure({"sample", masked_run(), "--delay", "5"}, 2, "--delay");
}

TEST_CASE("the speed of --live does not count the time that it waits") {
  const auto begin = std::chrono::steady_clock::now();
  const auto [shown, status] = run_on_terminal(
      {"sample", masked_run(), "--live", "--delay", "500", "--steps", "2", "--count", "1", "--seed", "1"},
      TerminalStreams::error);
  CHECK(status == 0);
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  const size_t at = shown.find("1 text in ");
  REQUIRE(at != std::string::npos);
  // At least two steps were waited for.
  CHECK(std::stod(shown.substr(at + 10)) < all.count() - 0.99);
}

TEST_CASE("infill fills the lines of a file in order, each as often as is asked, gaps of any length too") {
  const TemporaryFolder folder;
  write_text(folder / "gaps.txt", "The _ is _* .\r\n\nIt _{2} .\n_{3,3}\n");
  const std::string file = (folder / "gaps.txt").string();
  const std::vector<std::string> arguments = {"infill", masked_run(), "--file", file,        "--count", "3",
                                              "--seed", "5",          "--json", "--threads", "1"};
  const std::vector<json> objects = objects_of(arguments);
  REQUIRE(objects.size() == 9);
  for (size_t i = 0; i < 9; ++i) {
    CAPTURE(objects[i].dump());
    const std::vector<std::string> words = words_of(objects[i].at("text"));
    CHECK(objects[i].at("line") == (i < 3 ? 1 : i < 6 ? 3 : 4));
    CHECK(objects[i].at("seed") == 5);
    if (i < 3) {
      REQUIRE(words.size() >= 4);
      CHECK((words.front() == "The" && words[2] == "is" && words.back() == "."));
    } else if (i < 6) {
      REQUIRE(words.size() == 4);
      CHECK((words.front() == "It" && words.back() == "."));
    } else {
      CHECK(words.size() == 3);
    }
  }
  CHECK(objects_of(arguments) == objects);
  std::set<size_t> lengths;
  for (const json& object :
       objects_of({"infill", masked_run(), "The _* .", "--count", "20", "--json", "--seed", "5"}))
    lengths.insert(object.at("tokens").size());
  CHECK(lengths.size() > 1);
  const std::string marked = (folder / "marked.txt").string();
  write_text(marked, "\xEF\xBB\xBFThe _ .\n");
  CHECK(objects_of({"infill", masked_run(), "--file", marked, "--json"}).size() == 1);
  CHECK(run_program({"data", "check", marked, "--json"}).output.find("{\"text\":\"The _ .\"") == 0);
  const ProgramResult overflow =
      run_program({"infill", masked_run(), "_{9000000000000000000} _{9000000000000000000}"});
  CHECK(overflow.status == 1);
  CHECK(overflow.error.find("infill: a gap has 9000000000000000000 tokens at least") != std::string::npos);
  write_text(folder / "bad.txt", "The _ .\nThe pub .\n");
  check_failure({"infill", masked_run(), "--file", (folder / "bad.txt").string()}, 1,
                "bad.txt:2: infill: the text has no gap");
  check_failure({"infill", masked_run(), "--file", (folder / "none.txt").string()}, 1, "none.txt");
  check_failure({"infill", masked_run()}, 2, "the argument 'text' is missing; --file names a file of texts");
  check_failure({"infill", masked_run(), "_", "--file", file}, 2, "do not go together");
}

TEST_CASE("sample and infill do not offer what they would ignore, and say where it is") {
  check_failure({"sample", masked_run(), "--tagger", "x"}, 2, "haze control has it");
  check_failure({"infill", masked_run(), "_", "--parser", "x"}, 2, "haze control has it");
  check_failure({"sample", masked_run(), "--control-step", "1"}, 2,
                "--control-step leads samples to a label: say which one with --label");
}

TEST_CASE("help of a command and a run shows the options of its model alone, with the run's values") {
  const std::string general = run_program({"help", "sample"}).output;
  CHECK(general.find("Options of sampling with ") != std::string::npos);
  CHECK(general.find("--beam-size") != std::string::npos);
  CHECK(general.find("haze help sample RUN shows the options that the run's model has") != std::string::npos);
  const std::string masked = run_program({"help", "sample", masked_run()}).output;
  CHECK(masked.find("Options of sampling with mdlm:") != std::string::npos);
  CHECK(masked.find("--beam-size") == std::string::npos);
  CHECK(masked.find("--guidance") == std::string::npos);
  CHECK(masked.find("--prompt") != std::string::npos);
  CHECK(masked.find("(the run's: \"ancestral\")") != std::string::npos);
  const std::string written = run_program({"help", "sample", autoregressive_run()}).output;
  CHECK(written.find("--beam-size") != std::string::npos);
  CHECK(written.find("--threshold") == std::string::npos);
  check_failure({"help", "sample", "no-such-run"}, 2, "and there is no run 'no-such-run'");
}

TEST_CASE("commands that write a corpus say in a line what was written") {
  const TemporaryFolder folder;
  const std::string corpus = (folder / "corpus").string(), pairs = (folder / "pairs.jsonl").string();
  CHECK(run_program({"data", "generate", corpus, "--train", "30", "--valid", "2", "--test", "3"}).error ==
        "haze: 35 texts are written to train.txt, valid.txt and test.txt in " + corpus + "\n");
  const ProgramResult result = run_program({"data", "controls", corpus, "--out", pairs, "--kind", "length"});
  CHECK(result.error == "haze: 30 pairs of a control and a text are written to " + pairs + "\n");
  CHECK(lines_of(read_text(pairs)).size() == 30);
}
