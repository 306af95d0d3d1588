#include "haze/tools/run/run_folder.h"

#include <doctest/doctest.h>

#include "temporary_folder.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;

TEST_CASE("a run's folder is trained by one at a time, and is free again when that one has ended") {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  {
    RunFolder first = RunFolder::start(run);
    first.keep();
    const std::string taken = run.string() + ": another process is training this run";
    CHECK(error_of([&] { RunFolder::start(run); }) == taken);
    CHECK(error_of([&] { RunFolder::resume(run); }) == taken);
    const RunFolder moved = std::move(first);
    CHECK(error_of([&] { RunFolder::resume(run); }) == taken);
  }
  CHECK(error_of([&] { RunFolder::resume(run); }) == "no error");
  CHECK(error_of([&] { RunFolder::start(run).keep(); }) == "no error");
}

TEST_CASE("a new run takes no folder that holds something else, and leaves it as it was") {
  const TemporaryFolder folder;
  for (const char* name : {"config.toml", "data/train.txt", "thesis.tex"}) {
    CAPTURE(name);
    const fs::path mine = folder.path() / fs::path(name).stem();
    fs::create_directories((mine / name).parent_path());
    write_text(mine / name, "mine");
    CHECK(error_of([&] { Trainer::start(tiny_settings(), quiet(mine)); }) ==
          mine.string() + ": the folder is not empty, and what it holds is not of a run; choose another");
    CHECK(read_text(mine / name) == "mine");
    CHECK_FALSE(fs::exists(mine / "run.lock"));
  }
  write_text(folder / "file", "mine");
  CHECK(error_of([&] { RunFolder::start(folder / "file"); }).find("cannot make the folder") !=
        std::string::npos);
}

TEST_CASE("a run that is refused leaves nothing behind, and an empty folder empty") {
  const TemporaryFolder folder;
  // The corpus is written before it shows that none of its words is that frequent.
  const Settings impossible = tiny_settings({"data.min_count=1000000"});
  const auto refused = [&](const fs::path& run) {
    return error_of([&] { Trainer::start(impossible, quiet(run)); });
  };
  CHECK(refused(folder / "new") != "no error");
  CHECK_FALSE(fs::exists(folder / "new"));
  fs::create_directory(folder / "empty");
  CHECK(refused(folder / "empty") != "no error");
  CHECK(fs::is_empty(folder / "empty"));
  // What an earlier run left is not this one's to remove.
  Trainer::start(tiny_settings(), quiet(folder / "earlier"));
  const std::string settings = read_text(folder / "earlier" / "config.toml");
  CHECK(refused(folder / "earlier") != "no error");
  CHECK(read_text(folder / "earlier" / "config.toml") == settings);
}

TEST_CASE("a new run is refused where checkpoints are, whole or damaged, and leaves all as it was") {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  Trainer::start(tiny_settings(), quiet(run, 2))->run();
  for (const char* sentence : {"holds a run already", "whose checkpoints are damaged"}) {
    const auto before = contents_of(run);
    CHECK(error_of([&] { Trainer::start(tiny_settings(), quiet(run)); }).find(sentence) != std::string::npos);
    CHECK(contents_of(run) == before);
    write_text(run / "step-000002" / "optimizer.safetensors", "damaged");
  }
}

TEST_CASE("a folder without a run is not gone on with, and gets no lock") {
  const TemporaryFolder folder;
  CHECK(error_of([&] { RunFolder::resume(folder / "none"); }).find("there is no run to go on with") !=
        std::string::npos);
  CHECK(error_of([&] { RunFolder::resume(folder.path()); }).find("there is no run") != std::string::npos);
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a run that ended before its first checkpoint is begun anew in its folder") {
  const TemporaryFolder folder;
  Trainer::start(tiny_settings(), quiet(folder / "run"));
  CHECK(fs::exists(folder / "run" / "config.toml"));
  CHECK(Trainer::start(tiny_settings(), quiet(folder / "run", 1))->run().step == 1);
}
