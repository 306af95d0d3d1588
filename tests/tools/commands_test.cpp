#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <sstream>
#include <thread>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/engine/cpu/simd/instruction_set.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/corpus/entropy.h"
#include "haze/tools/corpus/restaurant_grammar.h"

#include "pseudo_terminal.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

/// A run of 30 steps that the tests of this file share; most only read it.
const std::filesystem::path& trained_run() {
  static const TemporaryFolder folder;
  static const std::filesystem::path run = [] {
    std::vector<std::string> assignments = tiny_assignments();
    // Enough sentences to have all words of those that are evaluated.
    assignments.insert(assignments.end(),
                       {"train.steps=30", "transformer.dropout=0", "data.corpus_size=4000"});
    const ProgramResult result = run_program(train_arguments(folder / "run", assignments));
    INFO(result.error);
    REQUIRE(result.status == 0);
    return folder / "run";
  }();
  return run;
}

std::string run_of_tests() {
  return trained_run().string();
}

/// Whether a run has written its first line of metrics.
bool is_under_way(const std::filesystem::path& run) {
  return !read_text(run / "metrics.jsonl").empty();
}

/// What a training program that gets signals says. Of two signals the second ends it at once where a busy
/// machine lets it arrive more than half a second after the first: then another one gets them.
ProgramResult result_of_stopping(const std::filesystem::path& run,
                                 const std::vector<std::string>& assignments,
                                 const std::vector<int>& signals) {
  for (;;) {
    std::filesystem::remove_all(run);
    RunningProgram program(train_arguments(run, assignments));
    program.wait_until([&] { return is_under_way(run); });
    const auto start = std::chrono::steady_clock::now();
    for (const int signal : signals) program.send(signal);
    const ProgramResult result{program.wait(), program.output(), program.error()};
    const auto duration = std::chrono::steady_clock::now() - start;
    if (!result.output.empty() || duration < std::chrono::milliseconds(500)) return result;
  }
}

}  // namespace

TEST_CASE("help and version are printed with status 0, and haze alone helps too") {
  const ProgramResult help = run_program({"--help"});
  CHECK(help.status == 0);
  for (const char* command : {"train", "sample", "infill", "eval", "data"}) {
    CHECK(help.output.find(command) != std::string::npos);
    const ProgramResult its_help = run_program({command, "--help"});
    CHECK(its_help.status == 0);
    CHECK(its_help.output.find("Usage: haze " + std::string(command)) != std::string::npos);
    CHECK(its_help.error.empty());
  }
  const ProgramResult alone = run_program({});
  CHECK(alone.status == 0);
  CHECK(alone.output == help.output);
  CHECK(run_program({"data"}).output == run_program({"data", "--help"}).output);
  const ProgramResult version = run_program({"--version"});
  CHECK(version.status == 0);
  CHECK(version.output.starts_with("haze "));
  CHECK(version.output.find('(' + std::string(name(instruction_set())) + ')') != std::string::npos);
}

TEST_CASE(
    "a wrong command line is one sentence on standard error, with the nearest right word, and status 2") {
  check_failure({"trian"}, 2, "haze: there is no command 'trian'; did you mean 'train'?");
  check_failure({"paint"}, 2, "haze: there is no command 'paint'; the commands are train, sample");
  check_failure({"data", "generat"}, 2, "haze data: there is no command 'generat'; did you mean 'generate'?");
  check_failure({"train", "--sed", "5"}, 2,
                "haze train: there is no option '--sed'; did you mean '--set' or '--seed'?");
  check_failure({"train", "--sed=5"}, 2,
                "haze train: there is no option '--sed'; did you mean '--set' or '--seed'?");
  check_failure({"sample", "--stpes", "5"}, 2, "did you mean '--steps'?");
  check_failure({"--treads", "5"}, 2, "haze: there is no option '--treads'; see haze --help");
  check_failure({"sample", "run", "further"}, 2, "haze sample: there is no place for the argument 'further'");
  check_failure({"sample"}, 2, "haze sample: the argument 'run' is missing");
  check_failure({"data", "generate"}, 2, "haze data generate: the argument 'folder' is missing");
  check_failure({"train", "--set"}, 2, "haze train: --set needs a value");
  check_failure({"train", "--matmul", "mkl"}, 2, "haze train: --matmul mkl not in {hand,cublas}");
  check_failure({"train", "--conv", "mkl"}, 2, "haze train: --conv mkl not in {hand,cudnn}");
  check_failure({"train", "--set", "train.steps=3", "--set"}, 2, "haze train: --set needs a value");
  check_failure({"train", "--seed"}, 2, "haze train: --seed needs a value");
  check_failure({"train", "--seed", "1", "--seed", "2"}, 2, "haze train: --seed can be given only once");
  check_failure({"train", "--json", "--json=maybe"}, 2, "haze train: --json takes no value");
  check_failure({"sample", "run", "--steps", "08"}, 2,
                "--steps takes an integer from 1 to 1048576, or an integer from 0 to 1048576, not '08'");
  check_failure({"train", "--seed", "010"}, 2, "--seed takes a whole number of at least 0, not '010'");
  check_failure({"train", "--seed", "-3"}, 2, "--seed takes a whole number of at least 0, not '-3'");
  check_failure({"train", "--profile", "0"}, 2, "--profile takes a whole number of at least 1, not '0'");
  check_failure({"train", "--threads", "0"}, 2, "--threads takes a whole number from 1 to 1024, not '0'");
  check_failure({"sample", "run", "--seed", "x"}, 2, "--seed takes a whole number of at least 0, not 'x'");
  check_failure({"sample", "run", "--temperature", "-5"}, 2,
                "--temperature takes a number of at least 0, not '-5'");
  check_failure({"sample", "run", "--top-p", "7"}, 2, "--top-p takes a number");
  check_failure({"sample", "run", "--steps", "-1"}, 2,
                "--steps takes an integer from 1 to 1048576, or an integer from 0 to 1048576, not '-1'");
  check_failure({"sample", "run", "--steps", "010"}, 2,
                "--steps takes an integer from 1 to 1048576, or an integer from 0 to 1048576, not '010'");
  check_failure({"sample", "run", "--sampler", "fast"}, 2,
                "'ancestral', 'first-hitting', 'top-margin' or 'confidence'");
  check_failure({"eval", "run", "--passes", "4"}, 2, "--passes takes a whole number from 5");
  check_failure({"train", "--print-config", "--resume"}, 2,
                "haze train: --print-config and --resume do not go together");
  check_failure({"sample", "run", "--json", "--trace"}, 2,
                "haze sample: --json and --trace do not go together");
}

TEST_CASE("the printed configuration reads back as the same one") {
  const TemporaryFolder folder;
  const std::vector<std::string> print = {"train", "--print-config"};
  std::vector<std::string> changed = print;
  changed.insert(changed.end(), {"--set", "transformer.layers=7", "--set", "model=d3pm", "--seed", "12"});
  const ProgramResult first = run_program(changed);
  CHECK(first.status == 0);
  CHECK(first.output.find("layers = 7") != std::string::npos);
  write_text(folder / "run.toml", first.output);
  const ProgramResult second =
      run_program({"train", "--config", (folder / "run.toml").string(), "--print-config"});
  CHECK(second.output == first.output);
  // What is "auto" stays so, and suits what is changed afterwards.
  write_text(folder / "defaults.toml", run_program(print).output);
  CHECK(run_program({"train", "--config", (folder / "defaults.toml").string(), "--set",
                     "transformer.time=adaptive", "--print-config"})
            .status == 0);
  // One line of explanation for every setting.
  for (const std::string& line : lines_of(run_program(print).output)) {
    const bool is_setting = line.find(" = ") != std::string::npos;
    CHECK((!is_setting || line.find("  # ") != std::string::npos));
  }
}

TEST_CASE("wrong settings get the nearest right one, from a file with its line") {
  const TemporaryFolder folder;
  check_failure({"train", "--set", "model.layres=3"}, 2, "did you mean 'transformer.layers'?");
  check_failure({"train", "--set", "transformer.layers=many"}, 2, "'transformer.layers' takes an integer");
  check_failure({"train", "--set", "transformer.heads=7"}, 2,
                "transformer.hidden 256 is not a multiple of transformer.heads 7");
  write_text(folder / "run.toml", "[transformer]\nlayers = 3\nhiden = 64\n");
  const std::string file = (folder / "run.toml").string();
  check_failure({"train", "--config", file}, 1,
                file + ":3: there is no setting 'transformer.hiden'; did you mean");
  check_failure({"train", "--config", "nowhere.toml"}, 1, "nowhere.toml");
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--set", "transformer.layers=3"}, {"--seed", "3"}, {"--config", file}}) {
    std::vector<std::string> arguments = {"train", "--resume", "--out", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    check_failure(arguments, 2, "--resume goes on with");
  }
  check_failure({"train", "--out", file + "/run"}, 1, "cannot make the folder");
}

TEST_CASE("samples depend on the seed alone, and are as many as asked for") {
  const std::vector<std::string> sample = {"sample", run_of_tests(), "--count", "3", "--seed", "5"};
  const ProgramResult first = run_program(sample);
  CHECK(first.status == 0);
  CHECK(lines_of(first.output).size() == 3);
  CHECK(run_program(sample).output == first.output);
  CHECK(run_program({"sample", run_of_tests(), "--count", "3", "--seed", "6"}).output != first.output);
  CHECK(run_program({"sample", run_of_tests(), "--count", "3", "--seed", "5", "--threads", "2"}).output ==
        first.output);
  CHECK(lines_of(run_program({"sample", run_of_tests()}).output).size() == 8);
}

TEST_CASE("samples in JSON are one object a line, of the length asked for") {
  for (const char* sampler : {"ancestral", "first-hitting", "top-margin", "confidence"}) {
    const ProgramResult result =
        run_program({"sample", run_of_tests(), "--count", "4", "--length", "9", "--json", "--sampler",
                     sampler, "--top-k", "50", "--top-p", "0.9"});
    CHECK(result.status == 0);
    const std::vector<std::string> lines = lines_of(result.output);
    CHECK(lines.size() == 4);
    for (const std::string& line : lines) {
      const json object = json::parse(line);
      CHECK(object.at("tokens").size() == 9);
      CHECK(object.at("text").is_string());
    }
  }
  check_failure({"sample", run_of_tests(), "--length", "1000"}, 1, "outside 1..64");
}

TEST_CASE("infilling keeps the words that are given and fills each gap with one token") {
  const std::vector<std::string> given = {"_", "is", "a", "_", "pub", "_", "."};
  const ProgramResult result =
      run_program({"infill", run_of_tests(), "_ is a _ pub _ .", "--count", "5", "--json", "--seed", "3"});
  CHECK(result.status == 0);
  const std::vector<std::string> lines = lines_of(result.output);
  CHECK(lines.size() == 5);
  for (const std::string& line : lines) {
    const json object = json::parse(line);
    CHECK(object.at("tokens").size() == given.size() + 1);
    CHECK(object.at("tokens").back() == Tokenizer::kEnd);
    const std::vector<std::string> words = words_of(object.at("text"));
    REQUIRE(words.size() == given.size());
    for (size_t i = 0; i < words.size(); ++i) {
      CHECK(words[i] != "_");
      if (given[i] != "_") CHECK(words[i] == given[i]);
    }
  }
  CHECK(lines_of(run_program({"infill", run_of_tests(), "_ is a pub ."}).output).size() == 1);
}

TEST_CASE("a text that cannot be filled in is one sentence and status 1") {
  check_failure({"infill", run_of_tests(), "Zork is a _ pub ."}, 1, "does not know the word 'Zork'");
  check_failure({"infill", run_of_tests(), "a pub ."}, 1, "the text has no gap");
  std::string long_text = "_";
  for (int i = 0; i < 70; ++i) long_text += " is";
  check_failure({"infill", run_of_tests(), long_text}, 1, "has 72 tokens with its end, the model takes 64");
  check_failure({"infill", run_of_tests()}, 2, "haze infill: the argument 'text' is missing");
}

TEST_CASE("a program built without the measurements says how to build them") {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"bench"},
                                                    {"bench", "kernels", "--json"},
                                                    {"bench", "step", "--python", "x"}}) {
    check_failure(arguments, 1, "tools/build.sh bench");
  }
}

TEST_CASE("a run that is not there, and one that is damaged, are one sentence and status 1") {
  for (const char* command : {"sample", "eval"})
    check_failure({command, "nowhere"}, 1, "nowhere: there is no such run");
  check_failure({"infill", "nowhere", "_"}, 1, "nowhere: there is no such run");
  check_failure({"eval", "nowhere", "--plot", "x.svg"}, 1, "nowhere: there is no such run");
  check_failure({"train", "--resume", "--out", "nowhere"}, 1, "nowhere: there is no run to go on with");
  const TemporaryFolder folder;
  check_failure({"sample", folder.path().string()}, 1, "the folder holds no whole checkpoint");
  std::filesystem::copy(trained_run(), folder / "run", std::filesystem::copy_options::recursive);
  const std::filesystem::path checkpoint = folder / "run" / "step-000030";
  std::filesystem::remove_all(folder / "run" / "step-000016");
  std::string model = read_text(checkpoint / "model.safetensors");
  model[model.size() / 2] ^= 1;
  write_text(checkpoint / "model.safetensors", model);
  check_failure({"sample", (folder / "run").string()}, 1, "no whole checkpoint (");
  check_failure({"sample", checkpoint.string()}, 1, "model.safetensors is damaged");
  check_failure({"train", "--resume", "--out", (folder / "run").string()}, 1, "no whole checkpoint");
}

TEST_CASE("Ctrl-C or SIGTERM while training leaves a checkpoint, and the run resumes from it") {
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), {"train.steps=100000", "train.log_every=1", "data.corpus_size=100",
                                         "train.evaluate_every=100000"});
  // A terminal and the program around this one may both pass Ctrl-C on.
  for (const std::vector<int>& signals : {std::vector<int>{SIGINT, SIGINT}, {SIGTERM}}) {
    const TemporaryFolder folder;
    const ProgramResult stopped = result_of_stopping(folder / "run", assignments, signals);
    CHECK(stopped.status == 128 + signals.front());
    CHECK(stopped.output.starts_with("stopped at step "));
    CHECK(stopped.error.find("haze: stopping after this step, with a checkpoint") != std::string::npos);
    const int64_t step = latest_checkpoint(folder / "run").step;
    CHECK(step > 0);
    const ProgramResult resumed =
        run_program({"train", "--threads", "1", "--resume", "--out", (folder / "run").string(), "--stop-at",
                     std::to_string(step + 2), "--json"});
    CHECK(resumed.status == 0);
    const json report = json::parse(resumed.output);
    CHECK(report.at("step") == step + 2);
    CHECK(report.at("interrupted") == false);
    CHECK(latest_checkpoint(folder / "run").step == step + 2);
  }
}

TEST_CASE("a run whose terminal is closed leaves a checkpoint and ends with status 129") {
  const TemporaryFolder folder;
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), {"train.steps=100000", "train.evaluate_every=100000"});
  int master = -1, slave = -1;
  REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
  std::signal(SIGHUP, SIG_DFL);  // inherited by the program
  RunningProgram program(train_arguments(folder / "run", assignments), slave, slave);
  close(slave);
  program.wait_until([&] { return is_under_way(folder / "run"); });
  close(master);
  program.send(SIGHUP);
  CHECK(program.wait() == 129);
  CHECK(latest_checkpoint(folder / "run").step > 0);
}

TEST_CASE("two programs do not train the same run") {
  const TemporaryFolder folder;
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), {"train.steps=100000", "train.checkpoint_every=50"});
  RunningProgram program(train_arguments(folder / "run", assignments));
  program.wait_until([&] { return find_latest_checkpoint(folder / "run").has_value(); });
  check_failure({"train", "--resume", "--out", (folder / "run").string()}, 1,
                "another process is training this run");
  program.send(SIGKILL);
  program.wait();
  CHECK(run_program(
            {"train", "--threads", "1", "--resume", "--out", (folder / "run").string(), "--stop-at", "1"})
            .status == 0);
}

TEST_CASE("a run goes on where its files have moved, and says which checkpoint is damaged") {
  const TemporaryFolder folder;
  std::string texts;
  for (uint64_t i = 0; i < 60; ++i) texts += e2e_line(generate_line(5, i)) + "\n";
  write_text(folder / "before.txt", texts);
  const auto files = [&](const char* name) {
    const std::string file = (folder / name).string();
    return std::vector<std::string>{"data.train=" + file, "data.valid=" + file};
  };
  std::vector<std::string> assignments = tiny_assignments();
  for (const std::string& assignment : files("before.txt")) assignments.push_back(assignment);
  assignments.insert(assignments.end(), {"train.steps=20", "train.checkpoint_every=5"});
  REQUIRE(run_program(train_arguments(folder / "run", assignments)).status == 0);

  std::filesystem::rename(folder / "before.txt", folder / "after.txt");
  write_text(folder / "run" / "step-000020" / "model.safetensors", "damaged");
  std::vector<std::string> resume = train_arguments(folder / "run", files("after.txt"));
  resume.push_back("--resume");
  const ProgramResult resumed = run_program(resume);
  CAPTURE(resumed.error);
  CHECK(resumed.status == 0);
  CHECK(resumed.error.find("step-000020/model.safetensors is damaged") != std::string::npos);
  CHECK(resumed.error.find("step-000016 instead") != std::string::npos);
  CHECK(latest_checkpoint(folder / "run").step == 20);
  for (const std::string& settings :
       {latest_checkpoint(folder / "run").text("config.toml"), read_text(folder / "run" / "config.toml")}) {
    CHECK(settings.find("after.txt") != std::string::npos);
    CHECK(settings.find("before.txt") == std::string::npos);
  }
  check_failure({"train", "--resume", "--out", (folder / "run").string(), "--set", "data.train=after.txt"}, 2,
                "data.train and data.valid go together");
}

TEST_CASE("eval reads a file in another format, and can set nothing that the model was trained with") {
  const TemporaryFolder folder;
  std::string lines;
  for (uint64_t i = 0; i < 10; ++i) {
    const std::string line = e2e_line(generate_line(6, i));
    lines += line.substr(line.find("||") + 2) + "\n";
  }
  for (int i = 0; i < 100; ++i) lines += "pub ";
  write_text(folder / "texts", lines + "\n");
  const std::string file = (folder / "texts").string();
  const std::vector<std::string> eval = {"eval", run_of_tests(), "--data", file, "--passes", "5", "--json"};
  const auto with = [&](const std::vector<std::string>& assignments) {
    std::vector<std::string> arguments = eval;
    for (const std::string& assignment : assignments)
      arguments.insert(arguments.end(), {"--set", assignment});
    return arguments;
  };
  check_failure(eval, 1, "data.format");
  check_failure(with({"data.format=lines"}), 1, "data.too_long");
  check_failure(with({"data.min_count=3"}), 2,
                "--set can change data.format, data.too_long and data.max_line_bytes");
  check_failure({"eval", run_of_tests(), "--set", "data.format=lines"}, 2, "--data");
  const ProgramResult skipped = run_program(with({"data.format=lines", "data.too_long=skip"}));
  CAPTURE(skipped.error);
  REQUIRE(skipped.status == 0);
  CHECK(json::parse(skipped.output).at("texts") == 10);
}

TEST_CASE("steps are refused where a sampler has none, and a corpus where other files are") {
  for (const char* sampler : {"first-hitting", "top-margin"}) {
    check_failure({"sample", run_of_tests(), "--steps", "8", "--sampler", sampler}, 2,
                  std::string("--steps is for sampler ancestral, and it is ") + sampler);
  }
  const TemporaryFolder folder;
  write_text(folder / "train.txt", "mine");
  check_failure({"data", "generate", folder.path().string()}, 1, "what it holds is not a whole corpus");
  CHECK(read_text(folder / "train.txt") == "mine");
  const std::vector<std::string> generate = {
      "data", "generate", (folder / "corpus").string(), "--train", "3", "--valid", "1", "--test", "1"};
  CHECK(run_program(generate).status == 0);
  CHECK(run_program(generate).status == 0);
}

TEST_CASE("--profile prints a line an operation and leaves a trace; the run goes on from there") {
  const TemporaryFolder folder;
  std::vector<std::string> arguments = train_arguments(folder / "run", tiny_assignments());
  arguments.push_back("--profile");
  const ProgramResult table = run_program(arguments);
  INFO(table.error);
  CHECK(table.status == 0);
  for (const char* words : {"operation ", "layer_norm_gradient ", "outside any operation", "the mean of 20",
                            "stopped at step 23 of 40"}) {
    CAPTURE(words);
    CHECK(table.output.find(words) != std::string::npos);
  }
  CHECK(json::parse(read_text(folder / "run" / "profile.json")).is_array());

  const ProgramResult report = run_program({"train", "--threads", "1", "--resume", "--out",
                                            (folder / "run").string(), "--profile", "2", "--json"});
  CHECK(report.status == 0);
  const json numbers = json::parse(report.output);
  CHECK(numbers.at("step") == 28);
  CHECK(numbers.at("profile").at("steps") == 2);
  CHECK(numbers.at("profile").at("rows").size() > 10);
}

TEST_CASE("eval holds a model against the corpus's floor, the same in a table and in JSON") {
  const std::vector<std::string> eval = {"eval", run_of_tests(), "--examples", "40",        "--passes",
                                         "5",    "--samples",    "10",         "--threads", "1"};
  const ProgramResult table = run_program(eval);
  INFO(table.error);
  CHECK(table.status == 0);
  std::vector<std::string> with_json = eval;
  with_json.push_back("--json");
  const json numbers = json::parse(run_program(with_json).output);
  CHECK(numbers.at("texts") == 40);
  CHECK(numbers.at("samples") == 10);
  for (const char* key :
       {"nats_per_token", "bits_per_token", "perplexity", "standard_error", "floor_nats_per_token",
        "floor_nats_per_token_with_length", "nats_per_token_with_length"}) {
    const double value = numbers.at(key);
    const std::string shown = fmt::format("{:.{}f}", value, key == std::string("perplexity") ? 2 : 4);
    CHECK_MESSAGE(table.output.find(shown) != std::string::npos, key, " ", shown);
  }
  CHECK(numbers.at("unknown_share") == 0);
  CHECK(numbers.at("nats_per_token") > numbers.at("floor_nats_per_token"));
  // The floor, from the same texts: every 50th of the 2000 of the test file.
  const std::vector<std::string> lines = lines_of(read_text(trained_run() / "data" / "test.txt"));
  REQUIRE(lines.size() == 2000);
  double nats = 0, nats_of_lengths = 0, tokens = 0;
  const std::vector<double> lengths = measure(restaurant_grammar()).length_distribution;
  for (size_t i = 0; i < lines.size(); i += 50) {
    const std::vector<std::string> words = words_of(lines[i].substr(lines[i].find("||") + 2));
    nats -= corpus_log_probability(words).value();
    nats_of_lengths -= std::log(lengths[words.size()]);
    tokens += static_cast<double>(words.size()) + 1;
  }
  CHECK(numbers.at("tokens") == tokens);
  CHECK(numbers.at("floor_nats_per_token_with_length").get<double>() == doctest::Approx(nats / tokens));
  CHECK(numbers.at("floor_nats_per_token").get<double>() ==
        doctest::Approx((nats - nats_of_lengths) / tokens));
}

TEST_CASE("eval names no floor where words are unknown: the model does not pay for what they are") {
  const TemporaryFolder folder;
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), {"train.steps=2", "data.min_count=50"});
  REQUIRE(run_program(train_arguments(folder / "run", assignments)).status == 0);
  const std::vector<std::string> eval = {
      "eval", (folder / "run").string(), "--examples", "20", "--passes", "5", "--samples", "2"};
  const ProgramResult table = run_program(eval);
  CHECK(table.status == 0);
  CHECK(table.output.find("the floor") == std::string::npos);
  CHECK(table.output.find("no floor: ") != std::string::npos);
  std::vector<std::string> with_json = eval;
  with_json.push_back("--json");
  const json numbers = json::parse(run_program(with_json).output);
  CHECK(numbers.at("unknown_share") > 0);
  CHECK_FALSE(numbers.contains("floor_nats_per_token"));
  CHECK_FALSE(numbers.contains("floor_nats_per_token_with_length"));
  CHECK(numbers.contains("grammatical_share"));
}

TEST_CASE("only discrete time has an exact sum over its steps") {
  check_failure({"eval", run_of_tests(), "--exact", "--examples", "2"}, 2,
                "--exact adds up the terms of a bound, and this model's bound is no sum of terms");
}

TEST_CASE("eval and sample show a bar on a terminal, and Ctrl-C ends them with status 130") {
  struct Command {
    std::vector<std::string> arguments;
    std::string label;
  };
  const std::vector<Command> commands = {
      {{"eval", run_of_tests(), "--passes", "100000"}, "evaluating"},
      {{"sample", run_of_tests(), "--count", "100000", "--steps", "100000"}, "sampling"}};
  for (const Command& command : commands) {
    CAPTURE(command.label);
    int master = -1, slave = -1;
    REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
    RunningProgram program(command.arguments, -1, slave);
    close(slave);
    std::string shown;
    char buffer[4096];
    bool pressed = false;
    for (ssize_t count; (count = read(master, buffer, sizeof buffer)) > 0;) {
      shown.append(buffer, static_cast<size_t>(count));
      if (pressed || shown.find(command.label) == std::string::npos) continue;
      program.send(SIGINT);
      pressed = true;
    }
    close(master);
    CHECK(pressed);
    CHECK(program.wait() == 130);
    CHECK(program.output().empty());
    CHECK(shown.find("haze: stopped by Ctrl-C") != std::string::npos);
  }
}

TEST_CASE("eval takes a checkpoint's folder as well as a run's, and draws the run's plot") {
  const TemporaryFolder folder;
  const std::string checkpoint = (trained_run() / "step-000030").string() + "/";
  const std::vector<std::string> few = {"--examples", "5", "--passes", "5", "--samples", "1", "--json"};
  std::vector<std::string> of_run = {"eval", run_of_tests()}, of_checkpoint = {"eval", checkpoint};
  of_run.insert(of_run.end(), few.begin(), few.end());
  of_checkpoint.insert(of_checkpoint.end(), few.begin(), few.end());
  const json first = json::parse(run_program(of_run).output),
             second = json::parse(run_program(of_checkpoint).output);
  CHECK(first.at("nats_per_token") == second.at("nats_per_token"));
  for (const std::string& run : {run_of_tests(), checkpoint}) {
    const std::string plot = (folder / "plot.svg").string();
    CHECK(run_program({"eval", run, "--plot", plot}).status == 0);
    CHECK(read_text(plot).starts_with("<svg"));
    CHECK(read_text(plot) == read_text(trained_run() / "plot.svg"));
    std::filesystem::remove(plot);
  }
}

TEST_CASE("every text of the generated corpus is grammatical, and others are named") {
  const TemporaryFolder folder;
  const ProgramResult generated =
      run_program({"data", "generate", (folder / "corpus").string(), "--train", "150", "--valid", "20",
                   "--test", "20", "--seed", "4", "--json"});
  CHECK(generated.status == 0);
  CHECK(json::parse(generated.output).at("parts").at("train").at("texts") == 150);
  const std::string corpus = (folder / "corpus" / "train.txt").string();
  const ProgramResult good = run_program({"data", "check", corpus});
  CHECK(good.status == 0);
  CHECK(good.output == "150 of 150 texts are of the grammar\n");

  // Texts without field values before them, as a model writes them.
  std::string texts;
  for (const std::string& line : lines_of(read_text(corpus)))
    texts += line.substr(line.find("||") + 2) + "\n";
  const std::string file = (folder / "texts").string();
  write_text(file, texts + "pub a is .\n\nname : X||a pub\nname : X||\n");
  const ProgramResult bad = run_program({"data", "check", file});
  CHECK(bad.status == 1);
  CHECK(bad.output ==
        "line 151 is not of the grammar: pub a is .\n"
        "line 152 is not of the grammar: (a blank line)\n"
        "line 153 is not of the grammar: a pub\n"
        "line 154 is not of the grammar: name : X||\n"
        "150 of 154 texts are of the grammar\n");
  const std::vector<std::string> lines = lines_of(run_program({"data", "check", file, "--json"}).output);
  REQUIRE(lines.size() == 154);
  CHECK(json::parse(lines[0]).at("grammatical") == true);
  CHECK(json::parse(lines[0]).at("log_probability") < 0);
  CHECK(json::parse(lines[152]) == json{{"text", "a pub"}, {"grammatical", false}});

  std::string endless;
  for (int i = 0; i < 500'000; ++i) endless += "pub ";
  write_text(file, endless + "\n");
  CHECK(run_program({"data", "check", file}).output ==
        "line 1 is not of the grammar: " + endless.substr(0, 200) + "...\n0 of 1 texts are of the grammar\n");
}

TEST_CASE("what cannot be read as texts to check is one sentence and status 1") {
  const TemporaryFolder folder;
  const std::string file = (folder / "texts").string();
  write_text(file, "\xff\xfe\n");
  check_failure({"data", "check", file}, 1, file + ":1: byte 1 of the line (0xFF) is not valid UTF-8");
  write_text(file, "");
  check_failure({"data", "check", file}, 1, file + ": there is no text in it");
  check_failure({"data", "check", file, "--json"}, 1, file + ": there is no text in it");
  check_failure({"data", "check", folder.path().string()}, 1, ": it is a folder, not a file of texts");
  check_failure({"data", "check", "nowhere.txt"}, 1,
                "nowhere.txt: the file cannot be opened: No such file or directory");
  check_failure({"data", "check", "/proc/self/mem"}, 1,
                "/proc/self/mem: it cannot be read: Input/output error");
  const std::string out = (folder / "out").string(), error = (folder / "error").string();
  const std::string from_a_folder =
      fmt::format("'{}' data check < / > '{}' 2> '{}'", HAZE_PROGRAM, out, error);
  CHECK(WEXITSTATUS(std::system(from_a_folder.c_str())) == 1);
  CHECK(read_text(out).empty());
  CHECK(read_text(error) == "haze: standard input: it cannot be read: Is a directory\n");
}

TEST_CASE("a trace is in colour on a terminal only, and not where NO_COLOR is set") {
  const std::vector<std::string> traced = {"sample", run_of_tests(), "--count", "1", "--steps",
                                           "6",      "--trace"};
  const ProgramResult plain = run_program(traced);
  CHECK(plain.status == 0);
  CHECK(plain.output.find("____") != std::string::npos);
  CHECK(plain.output.find('\x1b') == std::string::npos);

  const auto on_terminal = [&] {
    const TerminalResult result = run_on_terminal(traced, TerminalStreams::output);
    CHECK(result.status == 0);
    return result.shown;
  };
  setenv("TERM", "xterm-256color", 1);
  unsetenv("NO_COLOR");
  CHECK(on_terminal().find('\x1b') != std::string::npos);
  setenv("NO_COLOR", "1", 1);
  CHECK(on_terminal().find('\x1b') == std::string::npos);
  unsetenv("NO_COLOR");
  check_failure({"sample", "run", "--trace", "--json"}, 2, "--trace");
}

TEST_CASE("a picture of a text that appears is an SVG, and output that cannot be written is a failure") {
  const TemporaryFolder folder;
  const std::string svg = (folder / "text.svg").string();
  CHECK(run_program({"sample", run_of_tests(), "--count", "1", "--svg", svg}).status == 0);
  CHECK(read_text(svg).starts_with("<svg"));
  const int full = open("/dev/full", O_WRONLY);
  if (full < 0) return;
  RunningProgram program({"sample", run_of_tests()}, full);
  CHECK(program.wait() == 1);
  CHECK(program.error().starts_with("haze: cannot write the output: "));
  close(full);
}
