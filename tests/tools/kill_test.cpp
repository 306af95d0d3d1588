#include <chrono>
#include <thread>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/engine/generator.h"
#include "haze/nn/checkpoint.h"
#include "haze/nn/file_io.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

// Under sanitizers a run takes many times as long, and the fiftieth kill shows them nothing that ten did not.
#ifdef __SANITIZE_ADDRESS__
constexpr int kKills = 10;
#else
constexpr int kKills = 50;
#endif
// A run of eleven saves, one of which an evaluation alone asks for: the disk takes most of its time.
constexpr int kSteps = 30;

std::vector<std::string> start_or_resume(const std::filesystem::path& run) {
  if (find_latest_checkpoint(run)) return {"train", "--threads", "1", "--resume", "--out", run.string()};
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), {fmt::format("train.steps={}", kSteps), "train.checkpoint_every=3",
                                         "data.corpus_size=100"});
  return train_arguments(run, assignments);
}

bool is_unfinished_save(const std::filesystem::path& run) {
  if (!std::filesystem::exists(run)) return false;
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    if (is_unfinished_name(entry.path())) return true;
  }
  return false;
}

/// Returns when a save has begun, or after `patience`.
void wait_for_save(const std::filesystem::path& run, std::chrono::microseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!is_unfinished_save(run) && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

/// The step of the run's latest checkpoint, which is read whole; -1 where there is none.
int64_t step_of(const std::filesystem::path& run) {
  const auto folder = find_latest_checkpoint(run);
  return folder ? read_checkpoint(*folder).step : -1;
}

}  // namespace

TEST_CASE("a run killed at 50 random moments, 10 under sanitizers, ends with the bits of one that was not") {
  const TemporaryFolder folder;
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(RunningProgram(start_or_resume(folder / "whole")).wait() == 0);
  const auto duration =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
  const Checkpoint whole = latest_checkpoint(folder / "whole");
  const std::string metrics = read_text(folder / "whole" / "metrics.jsonl");

  Generator generator(2024);
  int kills = 0, in_saving = 0, in_training = 0, completed = 0;
  // Moments anywhere in a run; every other kill waits from there for a save to begin. A run that completes
  // before it has been killed often enough, at moments of both kinds, is followed by another.
  const auto enough = [&] { return kills >= kKills && in_saving > 0 && in_training > 0; };
  for (int number = 0; !enough() || completed == 0; ++number) {
    const std::filesystem::path run = folder / std::to_string(number);
    for (bool done = false; !done;) {
      const int64_t before = step_of(run);
      RunningProgram program(start_or_resume(run));
      if (!enough()) {
        std::this_thread::sleep_for(
            std::chrono::microseconds(generator.below(static_cast<uint64_t>(duration.count()))));
        if (kills % 2 == 0) wait_for_save(run, duration);
        program.send(SIGKILL);
      }
      const int status = program.wait();
      done = status == 0;
      if (done) break;
      INFO(program.error());
      REQUIRE(status == -SIGKILL);
      ++kills;
      in_saving += is_unfinished_save(run);
      const int64_t after = step_of(run);
      REQUIRE(after >= before);
      in_training += after > before;
    }
    ++completed;
    check_same(whole, latest_checkpoint(run));
    CHECK(read_text(run / "metrics.jsonl") == metrics);
    CHECK_FALSE(is_unfinished_save(run));
  }
  MESSAGE(kills, " kills, ", in_saving, " of them while saving, ", in_training, " after a new checkpoint, ",
          completed, " runs");
  CHECK(in_saving > 0);
  CHECK(in_training > 0);
}
