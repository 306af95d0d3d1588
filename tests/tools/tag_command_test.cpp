#include <cmath>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/run/data_files.h"
#include "haze/tools/tasks/tagging.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

// A treebank in which the tag of a word is its last letter's, and a tagger of it.
struct TaggedRun {
  TemporaryFolder folder;
  std::string run = (folder / "run").string();

  TaggedRun() {
    const std::vector<std::string> stems = {"ba", "ke", "lo", "mi", "nu"};
    std::string treebank;
    for (size_t i = 0; i < stems.size(); ++i) {
      for (const char* last : {"s", "t"}) {
        const std::string tag = *last == 's' ? "NOUN" : "VERB";
        const std::string rest = "\t_\t_\t0\troot\t_\t_\n";
        treebank += "1\t" + stems[i] + last + "\t_\t" + tag + rest;
        treebank += "2\t" + stems[(i + 1) % 5] + "s\t_\tNOUN" + rest + "\n";
      }
    }
    write("bank.conllu", treebank);
    const ProgramResult conllu = run_program({"data", "conllu", path("bank.conllu"), path("train.txt")});
    REQUIRE(conllu.status == 0);
    CHECK(conllu.error == "haze: the sentences are written to " + path("train.txt") +
                              ", their parts of speech to " + path("train.tags") + "\n");
    const Settings settings =
        tiny_settings({"model=spelling_tagger", "data.train=" + path("train.txt"),
                       "data.valid=" + path("train.txt"), "data.format=lines", "train.steps=60",
                       "data.max_length=8", "optimizer.learning_rate=5e-3", "optimizer.ema=0"});
    Trainer::start(settings, quiet(run))->run();
  }

  std::string path(const std::string& name) const { return (folder / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder / name) << text;
    return path(name);
  }
};

const TaggedRun& tagged() {
  static const TaggedRun instance;
  return instance;
}

}  // namespace

TEST_CASE("a treebank becomes texts and tags, line by line, and nothing is replaced") {
  CHECK(read_text(tagged().folder / "train.txt").starts_with("bas kes\nbat kes\nkes los\n"));
  CHECK(read_text(tagged().folder / "train.tags").starts_with("NOUN NOUN\nVERB NOUN\nNOUN NOUN\n"));
  check_failure({"data", "conllu", tagged().path("bank.conllu"), tagged().path("train.txt")}, 1,
                "train.txt is there already");
  check_failure({"data", "conllu", tagged().path("bank.conllu"), tagged().path("new.tags")}, 1,
                "new.tags: the texts cannot have the name of their tags");
  check_failure({"data", "conllu", tagged().path("train.txt"), tagged().path("new.txt")}, 1,
                "train.txt:1: a word has 10 columns");
}

TEST_CASE("tag writes the tags of a file of any format, of unknown words too, and checks them") {
  const std::string lines = tagged().write("lines.txt", "bas\n\nzat kes\n");
  const ProgramResult written = run_program({"tag", tagged().run, lines});
  REQUIRE(written.status == 0);
  CHECK(written.error == "haze: " + lines + " is read as data.format=lines; --format says otherwise\n" +
                             "haze: the tags of 2 texts are written to " + tagged().path("lines.tags") +
                             "\n");
  CHECK(read_text(tagged().folder / "lines.tags") == "NOUN\nVERB NOUN\n");
  const std::string e2e = tagged().write("e2e.txt", "name : X||zit\nname : Y||bat nus\n");
  REQUIRE(run_program({"tag", tagged().run, e2e, "--format", "e2e"}).status == 0);
  CHECK(read_text(tagged().folder / "e2e.tags") == "VERB\nVERB NOUN\n");
  const std::string guessed = tagged().write("guessed.txt", "name : X||zit\nname : Y||bat nus\n");
  CHECK(run_program({"tag", tagged().run, guessed}).error.find("data.format=e2e") != std::string::npos);
  CHECK(read_text(tagged().folder / "guessed.tags") == "VERB\nVERB NOUN\n");
  const ProgramResult same = run_program({"tag", tagged().run, lines, "--check"});
  CHECK(same.output.starts_with("1.0000 +- 0.0000 of 3 words in 2 texts have the tag of "));
  const std::string other = tagged().write("other.txt", "bas\nbat kes\n");
  tagged().write("other.tags", "NOUN\nVERB X\n");
  // Residuals 1/3 and -1/3 of texts of 1 and 2 words.
  CHECK(run_program({"tag", tagged().run, other, "--check"})
            .output.starts_with("0.6667 +- 0.1571 of 3 words in 2 texts"));
}

TEST_CASE("eval reports the accuracy of tags with its standard error") {
  const ProgramResult result =
      run_program({"eval", tagged().run, "--data", tagged().path("train.txt"), "--json"});
  REQUIRE(result.status == 0);
  const auto json = nlohmann::json::parse(result.output);
  CHECK(json.at("tag_accuracy") == 1.0);
  CHECK(json.at("tag_accuracy_error") == 0.0);
  TagAccuracy accuracy;
  accuracy.add(1, 1);
  accuracy.add(1, 2);
  CHECK(accuracy.value() == doctest::Approx(2.0 / 3));
  CHECK(accuracy.error() == doctest::Approx(std::sqrt(2.0 / 9) / 3));
}

TEST_CASE("tag refuses what it cannot tag") {
  const std::string lines = tagged().write("long.txt", "bas\na b c d e f g h\n");
  check_failure({"tag", tagged().run, lines}, 1,
                "long.txt:2: the text has 8 words, and the run reads at most 7");
  check_failure({"tag", tagged().run, tagged().path("train.txt")}, 1,
                "train.tags is there already; --check compares with it");
  check_failure({"tag", tagged().run, tagged().write("untagged.txt", "bas\n"), "--check"}, 1,
                "untagged.tags: cannot be read");
  const std::string wrong = tagged().write("wrong.txt", "bas\nbat\n");
  tagged().write("wrong.tags", "NOUN\nNOUN VERB\n");
  check_failure({"tag", tagged().run, wrong, "--check"}, 1, "wrong.txt:2: the text has 1 words, and 2 tags");
  check_failure({"tag", tagged().run, tagged().path("missing.txt")}, 1, "missing.txt");
  check_failure({"tag", tagged().run, tagged().write("a.tags", "bas\n")}, 1,
                "a.tags: its tags would replace the texts");
  const TemporaryFolder folder;
  Trainer::start(tiny_settings({"train.steps=1"}), quiet(folder / "mdlm"))->run();
  check_failure({"tag", (folder / "mdlm").string(), wrong, "--check"}, 1,
                "the model mdlm tags no texts; haze models lists those of the task tagged");
}
