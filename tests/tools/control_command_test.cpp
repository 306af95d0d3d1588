#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/tools/corpus/corpus.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

constexpr const char* kTags[] = {"ADJ",  "ADP",  "ADV",   "AUX",   "CCONJ", "DET", "NOUN", "NUM",
                                 "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB"};

// A run of diffusion_lm, and its three classifiers, all but untrained: what is tested is how they are asked.
struct ControlRuns {
  TemporaryFolder folder;
  std::string model, classifier, tagger, parser;

  ControlRuns()
      : model(
            train("diffusion_lm", {"diffusion_lm.padding=none", "diffusion_lm.steps=20", "sample.steps=5"})),
        classifier(train("word_classifier", {"word_classifier.run=" + model, "data.label=food"})),
        tagger(train("word_tagger", {"word_tagger.run=" + model})),
        parser(train("word_parser", {"word_parser.run=" + model})) {}

  std::string train(const std::string& name, const std::vector<std::string>& more) {
    const std::string run = (folder / name).string();
    std::vector<std::string> assignments = {"model=" + name, "train.steps=2", "data.max_length=48",
                                            "data.corpus_size=2000"};
    assignments.insert(assignments.end(), more.begin(), more.end());
    Trainer::start(tiny_settings(assignments), quiet(run))->run();
    return run;
  }

  std::vector<std::string> with_classifiers(std::vector<std::string> arguments) const {
    for (const std::string& more :
         {std::string("--classifier"), classifier, std::string("--tagger"), tagger, std::string("--parser"),
          parser, std::string("--threads"), std::string("1")})
      arguments.push_back(more);
    return arguments;
  }
};

const ControlRuns& runs() {
  static const ControlRuns instance;
  return instance;
}

void check_refused(const std::vector<std::string>& arguments, int status, const std::string& sentence) {
  const ProgramResult result = run_program(arguments);
  CHECK(result.status == status);
  CHECK(result.error.find(sentence) != std::string::npos);
  if (result.error.find(sentence) == std::string::npos) MESSAGE(result.error);
}

}  // namespace

TEST_CASE("control asks for every property, alone and together, and prints success") {
  const auto control = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"control", runs().model, "--count", "2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = run_program(runs().with_classifiers(arguments));
    INFO(result.error);
    REQUIRE(result.status == 0);
    return result.output;
  };
  CHECK(control({"--semantic", "food: French"}).find("semantic food : French: ") != std::string::npos);
  CHECK(control({"--pos", "PRON AUX DET NOUN PUNCT"}).find("pos PRON AUX DET NOUN PUNCT: ") !=
        std::string::npos);
  CHECK(control({"--tree", "(S (NP it) (VP is (NP * *)) .)"})
            .find("tree ( S ( NP * ) ( VP * ( NP * * ) ) * ): ") != std::string::npos);
  const std::string both = control({"--span", "0,1,NP", "--length", "8"});
  CHECK(both.find("span 0 1 NP: ") != std::string::npos);
  CHECK(both.find("length 8: 1.000") != std::string::npos);
  CHECK(control({"--left", "It is", "--right", "pub .", "--length", "7"}).find("It is ") == 0);
}

TEST_CASE("a word of --tree stands where the tree has it, and a tree of words alone is refused") {
  const auto control = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"control", runs().model, "--count", "3"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(runs().with_classifiers(arguments));
  };
  const ProgramResult result = control({"--tree", "(S (NP It) (VP is (NP * pub)) *)"});
  INFO(result.error);
  REQUIRE(result.status == 0);
  const std::vector<std::string> lines = lines_of(result.output);
  REQUIRE(lines.size() == 4);
  for (size_t i = 0; i < 3; ++i) {
    const std::vector<std::string> words = words_of(lines[i].substr(0, lines[i].find("  [")));
    REQUIRE(words.size() == 5);
    CHECK((words[0] == "It" && words[1] == "is" && words[3] == "pub"));
  }
  const auto refused = [&](std::vector<std::string> more, int status, const std::string& sentence) {
    const ProgramResult no = control(std::move(more));
    CHECK(no.status == status);
    CHECK_MESSAGE(no.error.find(sentence) != std::string::npos, no.error);
  };
  refused({"--tree", "(S (NP It) (VP is))"}, 2, "--tree gives every word of the text");
  refused({"--tree", "(S (NP Zork) (VP *))"}, 1, "--tree: the model does not know the word 'Zork'");
  refused({"--left", "Zork", "--semantic", "food: French"}, 1,
          "--left: the model does not know the word 'Zork'");
  refused({"--tree", "(S (NP It) (VP *))", "--left", "It"}, 2, "do not go together with --left and --right");
}

TEST_CASE("--left and --right are given as they are, an underscore too, and lengths count words") {
  const ProgramResult result = run_program(runs().with_classifiers(
      {"control", runs().model, "--count", "2", "--left", "It is", "--right", "pub .", "--length", "6"}));
  INFO(result.error);
  REQUIRE(result.status == 0);
  CHECK(words_of(lines_of(result.output)[0]).size() == 6);
  CHECK(result.output.find("\nlength 6: 1.000") != std::string::npos);
  check_refused({"control", runs().model, "--left", "It is", "--right", "pub .", "--length", "4"}, 2,
                "--left and --right are 4 words, which leaves no gap in 4");
  check_refused({"control", runs().model, "--left", "_", "--right", "pub .", "--length", "6"}, 1,
                "--left: the model does not know the word '_'");
}

TEST_CASE("control refuses wrong usage before it loads a model") {
  check_refused({"control", "no-run", "--tree", "(S (NP It) (VP is))"}, 2,
                "--tree gives every word of the text");
  check_refused({"control", "no-run", "--right", "pub ."}, 2, "--right needs --length");
}

TEST_CASE("texts of control depend on their seed and number alone, and those of the next seed are others") {
  const auto texts = [](const std::string& seed, const std::string& count) {
    std::vector<std::string> lines =
        lines_of(run_program(runs().with_classifiers(
                                 {"control", runs().model, "--left", "It", "--seed", seed, "--count", count}))
                     .output);
    return lines;
  };
  const auto lengths = [](const std::vector<std::string>& lines, size_t first, size_t count) {
    std::vector<size_t> result;
    for (size_t i = first; i < first + count; ++i) result.push_back(words_of(lines.at(i)).size());
    return result;
  };
  const std::vector<std::string> six = texts("5", "6");
  CHECK(lengths(texts("5", "3"), 0, 3) == lengths(six, 0, 3));
  CHECK(lengths(six, 1, 5) != lengths(texts("6", "6"), 0, 5));
}

TEST_CASE("control refuses what no run can be led to, naming the nearest") {
  const auto led = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"control", runs().model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return runs().with_classifiers(arguments);
  };
  check_refused(led({"--pos", "PRON AUXX"}), 1, "part of speech: there is no 'AUXX'; did you mean 'AUX'?");
  check_refused(led({"--span", "0,2,NPP"}), 1, "phrase: there is no 'NPP'; did you mean 'NP'?");
  check_refused(led({"--span", "0,9223372036854775807,NP"}), 2, "--span takes the first and last word");
  check_refused(led({"--span", "2,0,NP"}), 2, "--span takes the first and last word of a phrase");
  check_refused(led({"--span", "40,60,NP"}), 1,
                "a text of 62 tokens is outside 1..48, what this model writes");
  check_refused(led({"--tree", "(S (NPP it) (VP is))"}), 1,
                "constituent: there is no 'NPP'; did you mean 'NP'?");
  check_refused(led({"--pos", "none NOUN"}), 1, "part of speech: there is no 'none'");
  check_refused(led({"--tree", "(S (NP it)"}), 1, "the tree (S (NP it): 1 of its brackets do not close");
  check_refused(led({"--pos", "PRON AUX", "--length", "9"}), 1,
                "the pos is of 2 words and the length of 9: no text has both");
  check_refused(led({"--right", "pub ."}), 2, "--right needs --length");
  check_refused({"control", runs().model, "--tree", "(S *)"}, 1,
                "the control tree needs a classifier of the run, which --parser names; haze train --config "
                "configs/word-parser.toml --set word_parser.run=RUN trains one");
  check_refused({"control", runs().model, "--pos", "PRON", "--tagger", runs().parser}, 1,
                "sample.tagger names a run of the model word_parser");
}

TEST_CASE("an evaluation measures success and fluency of controlled texts, led and free") {
  TemporaryFolder folder;
  const std::string judge = (folder / "judge").string();
  Trainer::start(tiny_settings({"model=autoregressive", "train.steps=2", "data.max_length=48"}), quiet(judge))
      ->run();
  const auto eval = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"eval",
                                          runs().model,
                                          "--json",
                                          "--examples",
                                          "2",
                                          "--samples",
                                          "0",
                                          "--set",
                                          "control.kinds=span length",
                                          "--set",
                                          "control.targets=3",
                                          "--set",
                                          "control.judge=" + judge,
                                          "--set",
                                          "sample.parser=" + runs().parser};
    for (const std::string& assignment : more) {
      arguments.emplace_back("--set");
      arguments.push_back(assignment);
    }
    const ProgramResult result = run_program(arguments);
    INFO(result.error);
    REQUIRE(result.status == 0);
    return nlohmann::json::parse(result.output);
  };
  const nlohmann::json led = eval({});
  CHECK(led.at("length_success") == 1);
  CHECK(led.at("span_seconds").get<double>() > 0);
  // A judge that has learned nothing finds every word about equally likely.
  CHECK(led.at("span_nats").get<double>() > 5);
  const nlohmann::json free = eval({"control.guided=false", "control.tries=2"});
  CHECK(free.at("length_success") == 1);  // a length is given, and no class
  const nlohmann::json both = eval({"control.kinds=span+length"});
  CHECK(both.contains("span+length_seconds"));
  // No text of a model that has learned nothing has the phrase, and each has the length: the product is 0.
  CHECK(both.at("span+length_success") == 0);
  CHECK_FALSE(both.contains("span_success"));
  CHECK(run_program(
            {"eval", runs().model, "--set", "control.kinds=colour", "--examples", "2", "--samples", "0"})
            .error.find("there is no control 'colour'; there are semantic, pos, tree, span, length") !=
        std::string::npos);
}

TEST_CASE("an evaluation takes targets from a file, and a tagger of clean texts judges their tags") {
  TemporaryFolder folder;
  const std::string tagger = (folder / "judge").string(), targets = (folder / "targets.jsonl").string();
  Trainer::start(tiny_settings({"model=spelling_tagger", "train.steps=2", "data.max_length=48"}),
                 quiet(tagger))
      ->run();
  // Texts of two words that have the same tag, for each tag: a tagger that has learned nothing finds some.
  std::string lines;
  for (const char* tag : kTags)
    lines +=
        fmt::format(R"({{"words_": ["START", "It", "is", "END"], "pos": ["START", "{0}", "{0}", "END"]}})",
                    tag) +
        "\n";
  write_text(targets, lines);
  const std::string all = fmt::format("control.targets={}", std::size(kTags));
  const auto eval = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"eval", runs().model, "--json", "--examples",
                                          "2",    "--samples",  "0"};
    for (const std::string& assignment : more) arguments.insert(arguments.end(), {"--set", assignment});
    return run_program(arguments);
  };
  const std::string file = "control.target_file=" + targets, guide = "sample.tagger=" + runs().tagger;
  const ProgramResult result =
      eval({file, guide, "control.kinds=pos+length pos", all, "control.pos_judge=" + tagger});
  INFO(result.error);
  REQUIRE(result.status == 0);
  const nlohmann::json report = nlohmann::json::parse(result.output);
  CHECK(report.at("pos_success").get<double>() > 0);
  CHECK(report.at("pos_success").get<double>() < 1);
  // The tags say how many words a text has, so each has the length.
  CHECK(report.at("pos+length_success") == report.at("pos_success"));
  CHECK(eval({file, guide, "control.kinds=pos", "control.targets=20", "control.pos_judge=" + tagger})
            .error.find("it has 15 targets of the control pos, and control.targets asks for 20") !=
        std::string::npos);
  CHECK(eval({file, guide, "control.kinds=pos", "control.targets=1"})
            .error.find("needs a tagger of clean texts, which control.pos_judge names") != std::string::npos);
  CHECK(eval({file, "control.kinds=span", "control.targets=1"})
            .error.find("it has 0 targets of the control span, and control.targets asks for 1") !=
        std::string::npos);
  CHECK(eval({file, guide, "control.kinds=pos", "control.targets=1", "control.pos_judge=" + runs().tagger})
            .error.find("tags no texts") != std::string::npos);
}

TEST_CASE("a control without its classifier is refused before any text is drawn") {
  const ProgramResult result =
      run_program({"eval", runs().model, "--samples", "0", "--examples", "2", "--set",
                   "control.kinds=length tree", "--set", "control.targets=2"});
  CHECK(result.status == 1);
  CHECK(result.error.find("the control tree needs a classifier of the run, which --parser names") !=
        std::string::npos);
  CHECK(result.error.find("guiding texts") == std::string::npos);
  CHECK(run_program({"eval", runs().model, "--set", "control.kinds=length length", "--examples", "2",
                     "--samples", "0"})
            .error.find("control.kinds names length twice") != std::string::npos);
}
