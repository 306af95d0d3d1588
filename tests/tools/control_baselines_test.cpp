#include <algorithm>
#include <tuple>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/tasks/control_corpus.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// Runs on pairs of a length and a text, a few steps each, which the tests of this file share.
struct ControlRuns {
  ControlRuns() {
    write_corpus(folder / "corpus", {.train = 400, .valid = 20, .test = 1});
    for (const std::string part : {"train", "valid"}) {
      write_text(folder / (part + ".jsonl"),
                 controlled_lines(annotated_texts(folder / "corpus", part), {ControlKind::length}, 1));
    }
    train("lm", {"model=autoregressive", "autoregressive.ignore_source=true"});
    train("prefix", {"model=prefix_classifier"});
    train("hidden", {"model=hidden_classifier", "hidden_classifier.run=" + run("lm")});
    train("other", {"model=autoregressive", "autoregressive.ignore_source=true", "train.seed=2"});
    train("tuned", {"model=autoregressive"});
  }

  std::string run(const std::string& name) const { return (folder / name).string(); }

  void train(const std::string& name, const std::vector<std::string>& settings) {
    std::vector<std::string> assignments = settings;
    for (const std::string& assignment : tiny_assignments()) {
      const bool of_network = assignment.starts_with("transformer.");
      const bool has_network = settings.front() != "model=hidden_classifier";
      if (!assignment.starts_with("data.") && (has_network || !of_network)) assignments.push_back(assignment);
    }
    for (const std::string& assignment :
         {"data.task=pairs" + std::string(), "data.format=jsonl" + std::string(),
          "data.train=" + (folder / "train.jsonl").string(),
          "data.valid=" + (folder / "valid.jsonl").string(), "data.min_count=1" + std::string(),
          "train.steps=4" + std::string()})
      assignments.push_back(assignment);
    const ProgramResult result = run_program(train_arguments(folder / name, assignments));
    INFO(result.error);
    REQUIRE(result.status == 0);
  }

  TemporaryFolder folder;
};

const ControlRuns& runs() {
  static const ControlRuns all;
  return all;
}

std::vector<std::string> sampling(const std::string& run, const std::string& sampler,
                                  const std::string& classifier) {
  std::vector<std::string> arguments = {"sample", runs().run(run), "--seed", "1",        "--count",
                                        "2",      "--sampler",     sampler,  "--source", "length 12"};
  if (!classifier.empty()) arguments.insert(arguments.end(), {"--classifier", runs().run(classifier)});
  return arguments;
}

}  // namespace

TEST_CASE("haze sample leads texts to a control by fudge and by pplm, the same ones with the same seed") {
  for (const auto& [sampler, classifier] :
       {std::pair<std::string, std::string>("fudge", "prefix"), {"pplm", "hidden"}}) {
    const ProgramResult result = run_program(sampling("lm", sampler, classifier));
    INFO(result.error);
    REQUIRE(result.status == 0);
    CHECK(std::count(result.output.begin(), result.output.end(), '\n') == 2);
    CHECK(run_program(sampling("lm", sampler, classifier)).output == result.output);
  }
  CHECK(run_program(sampling("tuned", "fudge", "prefix")).status == 0);
  CHECK(run_program(sampling("tuned", "ancestral", "")).status == 0);
}

TEST_CASE(
    "haze control writes a control as the source, for each baseline, and counts the texts that have it") {
  for (const auto& [run, sampler, classifier] :
       {std::tuple<std::string, std::string, std::string>("lm", "fudge", "prefix"),
        {"lm", "pplm", "hidden"},
        {"tuned", "ancestral", ""}}) {
    std::vector<std::string> arguments = {"control", runs().run(run), "--length", "13", "--count",
                                          "2",       "--sampler",     sampler};
    if (!classifier.empty()) arguments.insert(arguments.end(), {"--classifier", runs().run(classifier)});
    const ProgramResult result = run_program(arguments);
    INFO(result.error);
    REQUIRE(result.status == 0);
    CHECK(result.output.find("\nlength 13: ") != std::string::npos);
    CHECK(result.output.find("of 2 texts\n") != std::string::npos);
  }
}

TEST_CASE("haze sample says what stands in the way of a control") {
  const auto check_refused = [](const std::vector<std::string>& arguments, const std::string& sentence) {
    const ProgramResult result = run_program(arguments);
    CHECK(result.status == 1);
    CHECK_MESSAGE(result.error.find(sentence) != std::string::npos, result.error);
  };
  check_refused(
      sampling("lm", "fudge", "hidden"),
      "sample.sampler fudge needs a prefix_classifier, and sample.classifier names a run of another model");
  check_refused(sampling("lm", "fudge", "other"),
                "sample.classifier names a run of the model autoregressive");
  check_refused(sampling("other", "pplm", "hidden"),
                "sample.classifier was trained on hidden states of another run, or of other weights");
  check_refused(sampling("lm", "fudge", ""),
                "sample.sampler fudge needs a prefix_classifier; name its run in sample.classifier");
  check_refused({"control", runs().run("lm"), "--length", "12", "--sampler", "pplm"},
                "sample.sampler pplm needs a hidden_classifier; name its run in sample.classifier");
  check_refused(sampling("lm", "ancestral", ""),
                "the model autoregressive learned the texts of its pairs alone");
  std::vector<std::string> without_source = sampling("lm", "fudge", "prefix");
  without_source.resize(without_source.size() - 4);
  without_source.insert(without_source.end(), {"--classifier", runs().run("prefix")});
  const ProgramResult result = run_program(without_source);
  CHECK(result.status == 2);
  CHECK(result.error.find("say which one with --label, or a source with --source") != std::string::npos);
}

TEST_CASE("a model that ignores sources is sampled without one") {
  const ProgramResult result = run_program({"sample", runs().run("lm"), "--count", "2"});
  INFO(result.error);
  CHECK(result.status == 0);
}
