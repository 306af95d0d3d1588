#include <algorithm>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;

namespace {

const fs::path& small_run() {
  static const TemporaryFolder folder;
  static const fs::path run = [] {
    Trainer::start(tiny_settings({"train.steps=2"}), quiet(folder / "run"))->run();
    return folder / "run";
  }();
  return run;
}

}  // namespace

TEST_CASE("haze help explains a command as --help does, and names the nearest one") {
  for (const char* command : {"sample", "train", "lab", "data"}) {
    CAPTURE(command);
    const ProgramResult result = run_program({"help", command});
    CHECK(result.status == 0);
    CHECK(result.output == run_program({command, "--help"}).output);
  }
  CHECK(run_program({"help", "data", "show"}).output == run_program({"data", "show", "--help"}).output);
  CHECK(run_program({"help"}).output == run_program({"--help"}).output);
  check_failure({"help", "smaple"}, 2, "there is no command 'smaple'; did you mean 'sample'?");
  check_failure({"help", "data", "shwo"}, 2, "did you mean 'show'?");
  check_failure({"help", "sample", "x"}, 2, "haze sample has no commands of its own");
}

TEST_CASE("an option in the wrong place is told its place") {
  const std::string run = small_run().string();
  check_failure({"--threads", "1", "train"}, 2,
                "the option '--threads' stands after the command: haze train --threads ...");
  check_failure({"--threads", "1"}, 2,
                "the option '--threads' stands after a command: haze train --threads ...");
  check_failure({"sample", run, "--out", "f"}, 2,
                "there is no option '--out' here, but haze train, haze data controls, haze compare have it; "
                "the result goes to standard "
                "output");
  check_failure({"train", "--passes", "4"}, 2, "there is no option '--passes' here, but haze eval has it");
}

TEST_CASE("a name that is empty counts as given, and is refused") {
  const std::string run = small_run().string();
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"train", "--config", ""},
                                                    {"train", "--out", ""},
                                                    {"train", "--init", ""},
                                                    {"sample", run, "--svg", ""},
                                                    {"sample", run, "--png", ""},
                                                    {"eval", run, "--plot", ""},
                                                    {"eval", run, "--data", ""},
                                                    {"lab", "transpose", "--rung", "tiled", "--svg", ""},
                                                    {"lecture", "forward", "--png", ""},
                                                    {"sample", ""}}) {
    check_failure(arguments, 2, " takes a name, not ''");
  }
}

TEST_CASE("numbers that are too large are told their limit") {
  const std::string run = small_run().string();
  check_failure({"train", "--seed", "18446744073709551615"}, 2,
                "--seed takes a whole number from 0 to 9223372036854775807, not '18446744073709551615'");
  check_failure({"train", "--seed", "-18446744073709551615"}, 2, "--seed takes a whole number of at least 0");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"sample", run}, {"infill", run, "_"}, {"control", run, "--length", "4"}}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--count", "9223372036854775807"});
    check_failure(arguments, 2, "--count takes a whole number from 1 to 1000000, not '9223372036854775807'");
  }
}

TEST_CASE("a text to fill may begin with a dash") {
  const std::string run = small_run().string();
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"infill", run, "-h _"},
                                                    {"infill", run, "--json", "-h _"},
                                                    {"infill", run, "--steps", "2", "-h _", "--json"}}) {
    check_failure(arguments, 1, "infill: the model does not know the word '-h'");
  }
}

TEST_CASE("a key in quotes with a dot is told to go without them") {
  const TemporaryFolder folder;
  write_text(folder / "c.toml", "\"transformer.layers\" = 3\n");
  check_failure(
      {"train", "--out", (folder / "run").string(), "--config", (folder / "c.toml").string()}, 1,
      "c.toml:1: \"transformer.layers\" in quotes is one name; write transformer.layers without them");
  write_text(folder / "c.toml", "transformer.layers = 3\n");
  CHECK(run_program({"train", "--print-config", "--config", (folder / "c.toml").string()}).status == 0);
}

TEST_CASE("settings that make no model together are a wrong command line where the command line gives them") {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  check_failure({"train", "--out", run, "--set", "transformer.hidden=100", "--set", "transformer.heads=8"}, 2,
                "100");
  write_text(folder / "c.toml", "[transformer]\nhidden = 100\nheads = 8\n");
  check_failure({"train", "--out", run, "--config", (folder / "c.toml").string()}, 1, "100");
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("a run that ended before its first checkpoint says so") {
  const TemporaryFolder folder;
  const std::string run = (folder / "run").string();
  Trainer::start(tiny_settings(), quiet(folder / "run"));
  const std::string sentence =
      run +
      ": the run was ended before its first checkpoint, or has not come to it yet; haze "
      "train --config " +
      run + "/config.toml --out " + run + " begins anew\n";
  check_failure({"sample", run}, 1, sentence);
  check_failure({"eval", run}, 1, sentence);
  check_failure({"train", "--resume", "--out", run}, 1, sentence);
  const ProgramResult anew = run_program({"train", "--config", run + "/config.toml", "--out", run});
  INFO(anew.error);
  CHECK(anew.status == 0);
}

TEST_CASE("a name that is not UTF-8 is a name like others, in JSON and in a picture") {
  const TemporaryFolder folder;
  const std::string run = (folder / "p\xff").string();
  std::vector<std::string> assignments = tiny_assignments();
  assignments.push_back("train.steps=2");
  std::vector<std::string> arguments = train_arguments(run, assignments);
  arguments.push_back("--json");
  const ProgramResult result = run_program(arguments);
  CHECK(result.status == 0);
  CHECK(nlohmann::json::parse(result.output)["run"].get<std::string>().ends_with("p\xEF\xBF\xBD"));
  const std::string plot = read_text(fs::path(run) / "plot.svg");
  CHECK(plot.find("<title>p\xEF\xBF\xBD") != std::string::npos);
  CHECK(plot.find('\xff') == std::string::npos);
}

TEST_CASE("one file of one's own is enough: its format is guessed, a tenth is held out, and both are said") {
  const TemporaryFolder folder;
  const std::string file = (folder / "texts").string();
  const auto train = [&](const std::string& contents, const char* run) {
    write_text(file, contents);
    std::vector<std::string> assignments = tiny_assignments();
    assignments.insert(assignments.end(), {"data.train=" + file, "train.steps=2"});
    return run_program(train_arguments(folder / run, assignments));
  };
  const std::string held_out =
      "haze: every tenth text of " + file + " is held out to evaluate on; data.valid names another file";
  std::string prose, table = "name,price\n";
  for (int i = 0; i < 30; ++i) {
    prose += fmt::format("This is line {} of a text .\n", i % 3);
    table += fmt::format("pub{},{}\n", i % 3, i % 2);
  }
  const ProgramResult lines = train(prose, "lines");
  CAPTURE(lines.error);
  CHECK(lines.status == 0);
  CHECK(lines_of(lines.error).at(0) == "haze: " + file + " is read as data.format=lines");
  CHECK(lines_of(lines.error).at(1) == held_out);
  CHECK(run_program({"eval", (folder / "lines").string(), "--samples", "0"}).status == 0);
  const ProgramResult comma = train(table, "table");
  CHECK(comma.status == 0);
  CHECK(lines_of(comma.error).at(0) ==
        "haze: " + file +
            " is read as data.format=lines; it looks like a table, whose separators become part of the "
            "texts; data.format=jsonl has fields");
  // Four of the five words of a line occur once, and become the unknown one: that is said.
  std::string rare;
  for (int i = 0; i < 30; ++i) rare += fmt::format("w{} x{} y{} z{} the\n", i, i, i, i);
  write_text(file, rare);
  std::vector<std::string> counted = tiny_assignments();
  counted.insert(counted.end(), {"data.train=" + file, "train.steps=2", "data.min_count=10"});
  const ProgramResult unknown = run_program(train_arguments(folder / "rare", counted));
  CHECK(unknown.status == 0);
  CHECK(unknown.error.find("haze: 80% of the words of " + file +
                           " occur fewer than 10 times and become <unk>; --set data.min_count=1 keeps all of "
                           "them") != std::string::npos);
  // A run keeps what was guessed.
  CHECK(latest_checkpoint(folder / "lines").text("config.toml").find("format = \"lines\"") !=
        std::string::npos);
}

TEST_CASE("idle threads sleep early, unless the environment says how they wait") {
  const TemporaryFolder folder;
  // The program that opens the FIFO is the one that was started anew.
  const std::string script =
      "cd " + in_script({folder.path().string()}) +
      "; mkfifo texts; \"$HAZE\" data check texts & exec 3>texts; "
      "tr '\\0' '\\n' </proc/$!/environ | grep -x 'GOMP_SPINCOUNT=.*'; echo x >&3; exec 3>&-; wait; rm texts";
  CHECK(lines_of(run_script("unset OMP_WAIT_POLICY GOMP_SPINCOUNT; " + script).output).at(0) ==
        "GOMP_SPINCOUNT=1000");
  CHECK(lines_of(run_script("unset OMP_WAIT_POLICY; export GOMP_SPINCOUNT=7; " + script).output).at(0) ==
        "GOMP_SPINCOUNT=7");
  const std::string own = run_script("unset GOMP_SPINCOUNT; export OMP_WAIT_POLICY=active; " + script).output;
  CHECK(own.find("GOMP_SPINCOUNT") == std::string::npos);
  CHECK(own.find("0 of 1 texts are of the grammar") != std::string::npos);
}

namespace {

/// What `haze train` of two steps gives for a file with these contents.
ProgramResult train_on(const TemporaryFolder& folder, const std::string& contents,
                       std::vector<std::string> more, bool json = false) {
  write_text(folder / "texts", contents);
  std::vector<std::string> assignments{
      "transformer.layers=1",      "transformer.hidden=16",
      "transformer.heads=2",       "train.steps=2",
      "train.batch_size=4",        "train.evaluate_passes=5",
      "train.evaluate_examples=4", "data.train=" + (folder / "texts").string()};
  assignments.insert(assignments.end(), more.begin(), more.end());
  std::vector<std::string> arguments = train_arguments(folder / "run", assignments);
  if (json) arguments.push_back("--json");
  fs::remove_all(folder / "run");
  return run_program(arguments);
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

bool says(const ProgramResult& result, const std::string& line) {
  const std::vector<std::string> lines = lines_of(result.error);
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

}  // namespace

TEST_CASE("training first says how many texts, tokens, words and parameters there are") {
  const TemporaryFolder folder;
  // 90 of 100 texts are trained on, of 5 words and an end each.
  const ProgramResult lines = train_on(folder, repeated("One two three two .\n", 100), {});
  CAPTURE(lines.error);
  CHECK(lines.status == 0);
  const std::string begin =
      "haze: 90 texts, 540 tokens, a vocabulary of 4 words, 0.0% of tokens unknown (0.0% of those to "
      "evaluate on), ";
  CHECK(lines.error.find(begin) != std::string::npos);
  const ProgramResult json =
      train_on(folder, repeated("One two three two .\n", 99) + "One more .\n", {}, true);
  const nlohmann::json report = nlohmann::json::parse(json.output);
  CHECK(report["data"]["texts"] == 90);
  CHECK(report["data"]["tokens"] == 540);
  CHECK(report["data"]["vocabulary"] == 4);
  CHECK(report["data"]["unknown_share"] == 0);
  CHECK(report["data"]["validation_unknown_share"].get<double>() == doctest::Approx(1.0 / 58));
  int64_t parameters = 0;
  for (const NamedTensor& tensor : latest_checkpoint(folder / "run").model)
    parameters += tensor.tensor.elements();
  CHECK(report["parameters"] == parameters);
  const ProgramResult points = run_program(train_arguments(
      folder / "points", {"model=ddpm", "train.steps=1", "data.train_size=2000", "ddpm.steps=10"}));
  CHECK(points.error.find("haze: 2,000 points, ") != std::string::npos);
}

TEST_CASE("a raw file is learnt character by character, and its samples have line ends") {
  const TemporaryFolder folder;
  const ProgramResult result =
      train_on(folder, repeated("To be,\n\nor not\n", 100),
               {"data.format=raw", "data.tokenizer=character", "data.max_length=32"});
  CAPTURE(result.error);
  REQUIRE(result.status == 0);
  CHECK(says(result, "haze: the last tenth of " + (folder / "texts").string() +
                         " is held out to evaluate on; data.valid names another file"));
  CHECK(
      result.error.find("haze: 1 text in 42 blocks of 32, 1,350 tokens, a vocabulary of 10 characters, 0.0% "
                        "of tokens unknown") != std::string::npos);
  CHECK(run_program({"eval", (folder / "run").string(), "--samples", "0"}).status == 0);
  const ProgramResult sample =
      run_program({"sample", (folder / "run").string(), "--count", "20", "--json", "--seed", "3"});
  std::string all;
  for (const std::string& line : lines_of(sample.output)) {
    const auto text = nlohmann::json::parse(line)["text"].get<std::string>();
    CHECK(text.size() == 32);
    all += text;
  }
  CHECK(all.find('\n') != std::string::npos);
  CHECK(all.find('<') == std::string::npos);
  // Every model that learns packed texts learns a raw one.
  for (const char* model : {"d3pm", "autoregressive"}) {
    CAPTURE(model);
    const ProgramResult other = train_on(
        folder, repeated("To be,\n\nor not\n", 100),
        {std::string("model=") + model, "data.format=raw", "data.tokenizer=character", "data.max_length=32"});
    CHECK(other.status == 0);
    const ProgramResult text = run_program({"sample", (folder / "run").string(), "--count", "1", "--json"});
    CHECK(nlohmann::json::parse(text.output)["text"].get<std::string>().size() == 32);
  }
}

TEST_CASE(
    "a raw file is learnt by words and marks, and its samples have line ends and no blanks beside them") {
  const TemporaryFolder folder;
  const ProgramResult result =
      train_on(folder, repeated("\"To be,\" said he.\n\nOr not?\n", 100),
               {"data.format=raw", "data.tokenizer=word-punctuation", "data.max_length=32"});
  CAPTURE(result.error);
  REQUIRE(result.status == 0);
  // A piece has 14 tokens, and 90 of 100 pieces are trained on.
  CHECK(
      result.error.find("haze: 1 text in 39 blocks of 32, 1,260 tokens, a vocabulary of 12 words and marks, "
                        "0.0% of tokens unknown") != std::string::npos);
  CHECK(run_program({"eval", (folder / "run").string(), "--samples", "0"}).status == 0);
  const ProgramResult sample =
      run_program({"sample", (folder / "run").string(), "--count", "20", "--json", "--seed", "3"});
  REQUIRE(sample.status == 0);
  std::string all;
  for (const std::string& line : lines_of(sample.output))
    all += nlohmann::json::parse(line)["text"].get<std::string>();
  CHECK(all.find('\n') != std::string::npos);
  CHECK(all.find(" \n") == std::string::npos);
  CHECK(all.find("\n ") == std::string::npos);
  CHECK(all.find('<') == std::string::npos);
  CHECK(all.find("￭") == std::string::npos);
  check_failure({"sample", (folder / "run").string(), "--prompt", repeated("To be ", 16)}, 1,
                "prompt: it has 32 tokens, and the model takes 32 with a new one");
}

TEST_CASE("words that are spelt like the model's own signs are said apart from rare ones") {
  const TemporaryFolder folder;
  const ProgramResult result = train_on(folder, repeated("the <unk> pub is a pub or a bar\n", 100), {});
  CAPTURE(result.error);
  REQUIRE(result.status == 0);
  CHECK(says(result, "haze: 11% of the words of " + (folder / "texts").string() +
                         " are spelt like the model's own signs, such as <unk>, and become <unk> with every "
                         "data.min_count"));
  CHECK(result.error.find("occur fewer than") == std::string::npos);
}

TEST_CASE("text of one piece, punctuation in words and sources that are not learnt are said") {
  const TemporaryFolder folder;
  const std::string file = (folder / "texts").string();
  const ProgramResult prose = train_on(folder, repeated("A pub, and a bar.\n\nGood food, is, it?\n", 30), {});
  CAPTURE(prose.error);
  CHECK(says(prose, "haze: " + file +
                        " is read as data.format=lines, one text a line; --set data.format=raw "
                        "--set data.tokenizer=word-punctuation, or =character, reads one text, and keeps its "
                        "line ends and blank lines"));
  // Of 60 texts 54 are trained on: 30 with 2 of 5 words, and 24 with 3 of 4.
  CHECK(says(prose, "haze: 54% of the words of " + file +
                        " hold punctuation, such as 'bar.'; --set data.tokenizer=word-punctuation makes it "
                        "tokens of its own"));
  const ProgramResult apart = train_on(folder, repeated("A pub, and a bar.\n\nGood food, is, it?\n", 30),
                                       {"data.tokenizer=word-punctuation"});
  CHECK(apart.error.find("hold punctuation") == std::string::npos);
  CHECK(apart.error.find("a vocabulary of 12 words and marks") != std::string::npos);
  const std::string pair = "{\"src\": \"who is it\", \"trg\": \"it is me\"}\n";
  const ProgramResult pairs = train_on(folder, repeated(pair, 30), {});
  CHECK(says(pairs, "haze: the field \"src\" of " + file +
                        " is not learnt, since data.task is texts; --set model=autoregressive --set "
                        "data.task=pairs learns to answer it"));
  CHECK(says(train_on(folder, repeated(pair, 30), {"model=autoregressive"}),
             "haze: the field \"src\" of " + file +
                 " is not learnt, since data.task is texts; --set data.task=pairs learns to answer it"));
  CHECK(train_on(folder, repeated(pair, 30), {"model=autoregressive", "data.task=pairs"})
            .error.find("not learnt") == std::string::npos);
  const ProgramResult texts = train_on(folder, repeated("{\"text\": \"it is me\"}\n", 30), {});
  CHECK(texts.status == 0);
  CHECK(texts.error.find("not learnt") == std::string::npos);
  CHECK(texts.error.find("a vocabulary of 3 words") != std::string::npos);
}
