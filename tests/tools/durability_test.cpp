#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// The names of the files that were synced while this lives, in their order.
struct SyncedFiles {
  SyncedFiles() { current = &names; }
  ~SyncedFiles() { current = nullptr; }
  std::vector<std::string> names;
  static inline std::vector<std::string>* current = nullptr;
};

}  // namespace

/// Stands for the C library's in this program.
extern "C" int fsync(int descriptor) {
  if (SyncedFiles::current) {
    const auto link = "/proc/self/fd/" + std::to_string(descriptor);
    SyncedFiles::current->push_back(std::filesystem::read_symlink(link).filename().string());
  }
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

TEST_CASE("the lines of metrics are on the disk before a checkpoint that counts on them") {
  const TemporaryFolder folder;
  const SyncedFiles synced;
  Trainer::start(tiny_settings({"train.steps=4"}), quiet(folder / "run"))->run();
  const auto at = [&](std::string_view name) {
    const auto found = std::find_if(synced.names.begin(), synced.names.end(),
                                    [&](const std::string& candidate) { return candidate.ends_with(name); });
    REQUIRE_MESSAGE(found != synced.names.end(), name);
    return found - synced.names.begin();
  };
  CHECK(at("metrics.jsonl") < at("manifest.json"));
  CHECK(at("metrics.jsonl") < at("latest"));
}
