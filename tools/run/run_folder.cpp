#include "haze/tools/run/run_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/nn/checkpoint.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLockFile = "run.lock";

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  return names;
}

/// Whether the folder is marked as a run's, or holds checkpoints of a version that did not mark it.
bool is_run(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name == kLockFile || name.starts_with("step-"); });
}

void require_no_checkpoint(const fs::path& folder) {
  std::vector<std::string> damage;
  if (find_latest_checkpoint(folder, &damage))
    fail("{}: the folder holds a run already; go on with it by --resume, or choose another", folder.string());
  if (!damage.empty())
    fail("{}: the folder holds a run whose checkpoints are damaged ({}); choose another", folder.string(),
         damage.front());
}

/// Makes the folder; whether it was missing.
bool make_folder(const fs::path& folder) {
  std::error_code error;
  const bool made = fs::create_directories(folder, error);
  if (error) fail("cannot make the folder {}: {}", folder.string(), error.message());
  return made;
}

/// Whether the open file still has this name: its last owner may have removed it meanwhile.
bool is_called(int descriptor, const fs::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(descriptor, &opened) == 0 && ::stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// Opens and locks the lock file of a folder. Throws Error where another process has it locked.
int lock(const fs::path& folder) {
  const fs::path path = folder / kLockFile;
  while (true) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) fail("cannot write {}: {}", path.string(), std::strerror(errno));
    const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
    const int reason = errno;
    if (locked && is_called(descriptor, path)) return descriptor;
    ::close(descriptor);
    if (locked) continue;
    if (reason == EWOULDBLOCK) fail("{}: another process is training this run", folder.string());
    fail("cannot lock {}: {}", path.string(), std::strerror(reason));
  }
}

}  // namespace

RunFolder RunFolder::start(const fs::path& folder) {
  const std::vector<std::string> before = names_in(folder);
  if (!before.empty() && !is_run(before)) {
    fail("{}: the folder is not empty, and what it holds is not of a run; choose another", folder.string());
  }
  RunFolder run(folder, make_folder(folder));
  // Now that no other process can change it any more.
  require_no_checkpoint(folder);
  run.remove_ = before.empty() && names_in(folder) == std::vector<std::string>{kLockFile};
  return run;
}

RunFolder RunFolder::resume(const fs::path& folder) {
  if (!is_run(names_in(folder))) fail("{}: there is no run to go on with", folder.string());
  return RunFolder(folder, false);
}

RunFolder::RunFolder(const fs::path& folder, bool made)
    : folder_(folder), made_(made), descriptor_(lock(folder)) {}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : folder_(std::move(other.folder_)),
      made_(other.made_),
      remove_(other.remove_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

void RunFolder::require_held() const {
  if (!is_called(descriptor_, folder_ / kLockFile))
    fail("{}: the folder was removed, moved or replaced while the run trained in it; the run has ended",
         folder_.string());
}

RunFolder::~RunFolder() {
  if (descriptor_ < 0) return;
  std::error_code ignored;
  if (remove_ && is_called(descriptor_, folder_ / kLockFile)) {
    for (const char* name : {"data", "recorded", "metrics.jsonl", "config.toml", kLockFile})
      fs::remove_all(folder_ / name, ignored);
    if (made_) fs::remove(folder_, ignored);
  }
  ::close(descriptor_);
}

}  // namespace haze
