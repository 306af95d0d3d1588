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

TEST_CASE("a folder that was removed, moved or replaced is held no longer, and is left alone") {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  const std::string lost =
      run.string() +
      ": the folder was removed, moved or replaced while the run trained in it; the run has ended";
  const auto hold = [&] { return RunFolder::start(run); };
  {
    const RunFolder held = hold();
    CHECK(error_of([&] { held.require_held(); }) == "no error");
    fs::remove_all(run);
    CHECK(error_of([&] { held.require_held(); }) == lost);
    RunFolder other = hold();
    write_text(run / "config.toml", "the other's");
    CHECK(error_of([&] { held.require_held(); }) == lost);
    other.keep();
  }
  CHECK(read_text(run / "config.toml") == "the other's");
  const RunFolder held = hold();
  fs::rename(run, folder / "moved");
  CHECK(error_of([&] { held.require_held(); }) == lost);
}

TEST_CASE("a run whose folder another one takes while it trains ends, and changes nothing of the other's") {
  for (const bool is_replaced : {false, true}) {
    CAPTURE(is_replaced);
    const TemporaryFolder folder;
    const fs::path run = folder / "run";
    TrainOptions options = quiet(run);
    options.progress.now = [&, calls = std::make_shared<int>(0)] {
      if (++*calls == 10) {
        fs::remove_all(run);
        if (is_replaced) {
          fs::create_directory(run);
          for (const char* name : {"run.lock", "metrics.jsonl", ".haze-unfinished-1-0-step-000001"})
            write_text(run / name, "the other's");
          fs::create_directory(run / "step-000900");
        }
      }
      return 0.0;
    };
    const std::string error = error_of([&] { Trainer::start(tiny_settings(), options)->run(); });
    CHECK(error == run.string() +
                       ": the folder was removed, moved or replaced while the run trained in it; "
                       "the run has ended");
    CHECK(fs::exists(run) == is_replaced);
    if (!is_replaced) continue;
    CHECK(contents_of(run).size() == 4);
    CHECK(read_text(run / "metrics.jsonl") == "the other's");
    CHECK(read_text(run / ".haze-unfinished-1-0-step-000001") == "the other's");
  }
}
