#include <doctest/doctest.h>

#include "haze/tools/corpus/corpus.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;

namespace {

void write_texts(const fs::path& path) {
  fs::create_directories(path.parent_path());
  std::string texts;
  for (uint64_t i = 0; i < 60; ++i) texts += e2e_line(generate_line(5, i)) + "\n";
  write_text(path, texts);
}

/// Runs haze in a working folder.
ProgramResult in_folder(const fs::path& folder, const std::vector<std::string>& arguments) {
  fs::create_directories(folder);
  return run_script("cd " + in_script({folder.string()}) + " && \"$HAZE\" " + in_script(arguments));
}

std::vector<std::string> training(const char* run, const std::vector<std::string>& more) {
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(),
                     {"data.train=texts/a.txt", "data.valid=texts/a.txt", "train.steps=8"});
  std::vector<std::string> arguments = train_arguments(run, assignments);
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("a run goes on and is measured from another working folder, with the same bits") {
  const TemporaryFolder folder;
  const fs::path home = folder / "home", elsewhere = folder / "elsewhere";
  write_texts(home / "texts/a.txt");
  REQUIRE(in_folder(home, training("whole", {})).status == 0);
  REQUIRE(in_folder(home, training("run", {"--stop-at", "4"})).status == 0);
  const std::string run = (home / "run").string();
  // What has the same name elsewhere is not what the run was begun with.
  fs::create_directories(elsewhere / "texts");
  write_text(elsewhere / "texts/a.txt", "name : x || another text\n");
  const ProgramResult measured = in_folder(elsewhere, {"eval", run, "--samples", "0", "--examples", "4"});
  CAPTURE(measured.error);
  CHECK(measured.status == 0);
  const ProgramResult resumed = in_folder(elsewhere, {"train", "--threads", "1", "--resume", "--out", run});
  CAPTURE(resumed.error);
  CHECK(resumed.status == 0);
  check_same_bits(latest_checkpoint(home / "run").model, latest_checkpoint(home / "whole").model);
  check_same_bits(latest_checkpoint(home / "run").optimizer, latest_checkpoint(home / "whole").optimizer);
}

TEST_CASE(
    "a run whose texts are gone says how their new place is given, and takes it from any working folder") {
  const TemporaryFolder folder;
  const fs::path home = folder / "home", elsewhere = folder / "elsewhere";
  write_texts(home / "texts/a.txt");
  REQUIRE(in_folder(home, training("run", {"--stop-at", "4"})).status == 0);
  fs::rename(home / "texts", home / "moved");
  const std::string run = (home / "run").string();
  const ProgramResult refused = in_folder(home, {"train", "--resume", "--out", "run"});
  CHECK(refused.status == 1);
  CHECK(refused.error ==
        "haze: data.train texts/a.txt: there is no such file; where the texts are now, haze train --resume "
        "--out run "
        "--set data.train=FILE --set data.valid=FILE says\n");
  fs::create_directories(elsewhere);
  fs::copy(home / "moved/a.txt", elsewhere / "b.txt");
  const ProgramResult resumed =
      in_folder(elsewhere, {"train", "--resume", "--out", run, "--stop-at", "6", "--set", "data.train=b.txt",
                            "--set", "data.valid=b.txt"});
  CAPTURE(resumed.error);
  CHECK(resumed.status == 0);
  // And the next one needs to be told nothing.
  CHECK(in_folder(home, {"train", "--resume", "--out", "run"}).status == 0);
}

TEST_CASE("a run that goes on takes the new place of its test texts, and only one that is there") {
  const TemporaryFolder folder;
  write_texts(folder / "texts/a.txt");
  write_texts(folder / "texts/b.txt");
  REQUIRE(
      in_folder(folder / ".", training("run", {"--set", "data.test=texts/b.txt", "--stop-at", "4"})).status ==
      0);
  fs::rename(folder / "texts/b.txt", folder / "c.txt");
  const std::vector<std::string> resume = {"train", "--resume", "--out", "run", "--set"};
  const auto resumed_with = [&](const std::string& assignment) {
    std::vector<std::string> arguments = resume;
    arguments.push_back(assignment);
    return in_folder(folder / ".", arguments);
  };
  const ProgramResult missing = resumed_with("data.test=nowhere.txt");
  CHECK(missing.status == 2);
  CHECK(missing.error == "haze: data.test nowhere.txt: there is no such file or folder\n");
  const ProgramResult unknown = resumed_with("data.folder=texts");
  CHECK(unknown.status == 2);
  CHECK(unknown.error == "haze: data.folder names nothing in this run, so nothing of it has moved\n");
  const ProgramResult resumed = resumed_with("data.test=c.txt");
  CAPTURE(resumed.error);
  CHECK(resumed.status == 0);
  const ProgramResult measured =
      in_folder(folder / ".", {"eval", "run", "--samples", "0", "--examples", "4", "--json"});
  CHECK(measured.status == 0);
  CHECK(measured.output.find("c.txt") != std::string::npos);
}

TEST_CASE("a run whose frozen run is gone says how its new place is given, and takes no other weights") {
  const TemporaryFolder folder;
  const fs::path home = folder / "home";
  fs::create_directories(home);
  const auto train = [&](const char* run, std::vector<std::string> assignments) {
    std::vector<std::string> all = tiny_assignments();
    assignments.insert(assignments.end(), {"data.max_length=48", "data.corpus_size=2000"});
    all.insert(all.end(), assignments.begin(), assignments.end());
    std::vector<std::string> arguments = train_arguments(run, all);
    if (assignments.front() == "model=word_classifier") arguments.insert(arguments.end(), {"--stop-at", "1"});
    return in_folder(home, arguments).status;
  };
  REQUIRE(train("words", {"model=diffusion_lm", "train.steps=1"}) == 0);
  REQUIRE(train("others", {"model=diffusion_lm", "train.steps=1", "train.seed=2"}) == 0);
  REQUIRE(train("run", {"model=word_classifier", "word_classifier.run=words", "data.label=food",
                        "train.steps=2"}) == 0);
  fs::rename(home / "words", home / "moved");
  const ProgramResult refused = in_folder(home, {"train", "--resume", "--out", "run"});
  CHECK(refused.status == 1);
  CHECK(
      refused.error ==
      "haze: word_classifier.run words: there is no such run; where it is now, haze train --resume --out run "
      "--set word_classifier.run=RUN says\n");
  const auto resumed_with = [&](const std::string& assignment) {
    return in_folder(home, {"train", "--resume", "--out", "run", "--set", assignment});
  };
  const ProgramResult other = resumed_with("word_classifier.run=others");
  CHECK(other.status == 1);
  CHECK(other.error.find("the run can only go on with the same weights") != std::string::npos);
  const ProgramResult resumed = resumed_with("word_classifier.run=moved");
  CAPTURE(resumed.error);
  CHECK(resumed.status == 0);
  CHECK(latest_checkpoint(home / "run").step == 2);
}
