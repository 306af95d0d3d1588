#include "haze/nn/file_io.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr std::string_view kUnfinishedPrefix = ".haze-unfinished-";

using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

// tables[k][b] is the checksum of byte b followed by k zero bytes: eight bytes are taken at once.
constexpr CrcTables make_crc_tables() {
  constexpr uint32_t kPolynomial = 0xEDB88320u;
  CrcTables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? kPolynomial : 0);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t value = tables[k - 1][byte];
      tables[k][byte] = (value >> 8) ^ tables[0][value & 0xff];
    }
  }
  return tables;
}

constexpr CrcTables kCrc = make_crc_tables();

[[noreturn]] void fail_with_reason(std::string_view action, const std::filesystem::path& path) {
  const int reason = errno;
  fail("cannot {} {}: {}", action, path.string(), std::strerror(reason));
}

[[noreturn]] void fail_to_write(const std::filesystem::path& path) {
  const int reason = errno;
  fail("cannot write {}: {}", finished_name(path).string(), std::strerror(reason));
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Waits for the lock of a file. True also where its file system has no locks.
bool lock(int descriptor) {
  int result = 0;
  do result = ::flock(descriptor, LOCK_EX);
  while (result != 0 && errno == EINTR);
  return result == 0 || errno == ENOLCK || errno == EOPNOTSUPP;
}

/// Makes a file, which must not exist, and locks it (flock), so that remove_abandoned() leaves it alone; -1
/// where the system refuses. A file system without locks is taken as it is.
int create_locked(const std::filesystem::path& path) {
  for (;;) {
    const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0) return -1;
    if (!lock(descriptor)) {
      const int reason = errno;
      ::unlink(path.c_str());
      ::close(descriptor);
      errno = reason;
      return -1;
    }
    struct stat status {};
    // Another process may have found it abandoned before it was locked.
    if (::fstat(descriptor, &status) != 0 || status.st_nlink > 0) return descriptor;
    ::close(descriptor);
  }
}

void sync_file(int descriptor, const std::filesystem::path& path) {
  if (::fsync(descriptor) != 0) fail_to_write(path);
}

/// Closes a descriptor, which is -1 then.
void close_file(int& descriptor, const std::filesystem::path& path) {
  if (::close(std::exchange(descriptor, -1)) != 0) fail_to_write(path);
}

}  // namespace

uint32_t crc32(const void* data, size_t bytes, uint32_t previous) {
  const auto* next = static_cast<const unsigned char*>(data);
  uint32_t crc = ~previous;
  for (; bytes >= 8; bytes -= 8, next += 8) {
    crc ^= static_cast<uint32_t>(next[0]) | static_cast<uint32_t>(next[1]) << 8 |
           static_cast<uint32_t>(next[2]) << 16 | static_cast<uint32_t>(next[3]) << 24;
    crc = kCrc[7][crc & 0xff] ^ kCrc[6][(crc >> 8) & 0xff] ^ kCrc[5][(crc >> 16) & 0xff] ^
          kCrc[4][crc >> 24] ^ kCrc[3][next[4]] ^ kCrc[2][next[5]] ^ kCrc[1][next[6]] ^ kCrc[0][next[7]];
  }
  for (; bytes > 0; --bytes, ++next) crc = (crc >> 8) ^ kCrc[0][(crc ^ *next) & 0xff];
  return ~crc;
}

FileWriter::FileWriter(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(create_locked(path_)) {
  if (descriptor_ < 0) fail_to_write(path_);
}

FileWriter::~FileWriter() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(path_.c_str());
}

void FileWriter::append(const void* data, size_t bytes) {
  checksum_ = crc32(data, bytes, checksum_);
  bytes_ += bytes;
  const auto* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_to_write(path_);
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

void FileWriter::finish() {
  sync_file(descriptor_, path_);
  close_file(descriptor_, path_);
}

void FileWriter::finish_as(const std::filesystem::path& path) {
  sync_file(descriptor_, path_);
  // Still locked: until it has its final name it could be taken for abandoned.
  rename_durably(path_, path);
  close_file(descriptor_, path);
}

FileReader::FileReader(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail_with_reason("open", path_);
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) {
    bytes_ = static_cast<uint64_t>(status.st_size);
    return;
  }
  ::close(descriptor_);
  if (!known) fail_with_reason("read", path_);
  fail("cannot read {}: it is not a regular file", path_.string());
}

FileReader::~FileReader() {
  ::close(descriptor_);
}

void FileReader::read_at(uint64_t offset, void* data, size_t bytes) const {
  auto* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with_reason("read", path_);
    if (got == 0) fail("cannot read {}: it ends at byte {}", path_.string(), offset);
    next += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
}

uint32_t FileReader::checksum() const {
  std::vector<char> buffer(1 << 20);
  uint32_t checksum = 0;
  for (uint64_t done = 0; done < bytes_;) {
    const size_t count = std::min<uint64_t>(buffer.size(), bytes_ - done);
    read_at(done, buffer.data(), count);
    checksum = crc32(buffer.data(), count, checksum);
    done += count;
  }
  return checksum;
}

std::string read_whole_file(const std::filesystem::path& path) {
  const FileReader file(path);
  std::string contents(file.bytes(), '\0');
  file.read_at(0, contents.data(), contents.size());
  return contents;
}

void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail_to_write(to);
  sync_folder(folder_of(to));
}

std::filesystem::path unfinished_name(const std::filesystem::path& path) {
  static std::atomic<int> count = 0;
  for (;;) {
    const std::filesystem::path name =
        path.parent_path() /
        fmt::format("{}{}-{}-{}", kUnfinishedPrefix, ::getpid(), count++, path.filename().string());
    std::error_code ignored;
    // A dead process may have had the same number.
    if (!std::filesystem::exists(std::filesystem::symlink_status(name, ignored))) return name;
  }
}

bool is_unfinished_name(const std::filesystem::path& path) {
  return path.filename().string().starts_with(kUnfinishedPrefix);
}

std::filesystem::path finished_name(const std::filesystem::path& path) {
  std::filesystem::path result;
  for (const std::filesystem::path& part : path) {
    std::string name = part.string();
    if (is_unfinished_name(part)) {
      name.erase(0, kUnfinishedPrefix.size());
      // The numbers of the process and of the name, each with a dash.
      for (int number = 0; number < 2; ++number) name.erase(0, name.find('-') + 1);
    }
    result /= name;
  }
  return result;
}

void remove_abandoned(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const bool in_use = descriptor >= 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  std::error_code ignored;
  if (!in_use) std::filesystem::remove_all(path, ignored);
  if (descriptor >= 0) ::close(descriptor);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  FileWriter file(unfinished_name(path));
  file.append(contents);
  file.finish_as(path);
}

}  // namespace haze
