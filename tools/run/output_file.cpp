#include "haze/tools/run/output_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to_write(const fs::path& path, int reason) {
  fail("cannot write {}: {}", path.string(), std::strerror(reason));
}

/// The path behind symbolic links, the last of which may lead to what does not exist yet.
fs::path target_of(fs::path path) {
  constexpr int kMostLinks = 40;  // as Linux counts them
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(path, error)); ++links) {
    if (links == kMostLinks) fail_to_write(path, ELOOP);
    const fs::path target = fs::read_symlink(path, error);
    if (error) fail_to_write(path, error.value());
    path = target.is_absolute() ? target : path.parent_path() / target;
  }
  return path;
}

/// The one of standard output and error that is this file; none where neither is.
std::optional<int> standard_stream(const struct stat& file) {
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat stream {};
    if (::fstat(descriptor, &stream) == 0 && stream.st_dev == file.st_dev && stream.st_ino == file.st_ino)
      return descriptor;
  }
  return {};
}

void write_all(int descriptor, std::string_view contents, const fs::path& path) {
  while (!contents.empty()) {
    const ssize_t written = ::write(descriptor, contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_to_write(path, errno);
    contents.remove_prefix(static_cast<size_t>(written));
  }
}

void write_into_stream(int descriptor, std::string_view contents, const fs::path& path) {
  // What was printed before comes before.
  if (std::fflush(stdout) != 0) fail_to_write(path, errno);
  write_all(descriptor, contents, path);
}

void write_into(const fs::path& path, std::string_view contents) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  if (descriptor < 0) fail_to_write(path, errno);
  try {
    write_all(descriptor, contents, path);
  } catch (const Error&) {
    ::close(descriptor);
    throw;
  }
  if (::close(descriptor) != 0) fail_to_write(path, errno);
}

/// Replaces a regular file, whose mode and owner the new one gets.
void replace(const fs::path& path, std::string_view contents, const struct stat& before) {
  FileWriter file(unfinished_name(path));
  // Another's file may be replaced, but not given away by everybody.
  [[maybe_unused]] const int ignored = ::chown(file.path().c_str(), before.st_uid, before.st_gid);
  if (::chmod(file.path().c_str(), before.st_mode & 07777) != 0) fail_to_write(path, errno);
  file.append(contents);
  file.finish_as(path);
}

}  // namespace

void write_output_file(const fs::path& path, std::string_view contents) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return write_file_atomically(target_of(path), contents);
  if (S_ISDIR(status.st_mode)) fail_to_write(path, EISDIR);
  if (const auto stream = standard_stream(status)) return write_into_stream(*stream, contents, path);
  if (!S_ISREG(status.st_mode)) return write_into(path, contents);
  replace(target_of(path), contents, status);
}

}  // namespace haze
