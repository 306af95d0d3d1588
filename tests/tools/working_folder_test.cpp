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
