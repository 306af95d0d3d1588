#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace haze {

/// The CRC-32 of zlib and PNG (ISO 3309) of `bytes` bytes; `previous` is the checksum of what came before
/// them.
uint32_t crc32(const void* data, size_t bytes, uint32_t previous = 0);

/// A file that is being written, and locked until it is finished. All functions throw Error with the file's
/// finished_name() and the system's reason.
class FileWriter {
 public:
  /// Makes the file, which must not exist.
  explicit FileWriter(std::filesystem::path path);
  /// Removes the file again where it was not finished.
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void append(const void* data, size_t bytes);
  void append(std::string_view text) { append(text.data(), text.size()); }
  /// Closes the file once its contents are on the disk.
  void finish();
  /// As finish(), and gives the file its final name, replacing a file of that name in one step.
  void finish_as(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  /// CRC-32 of everything appended.
  uint32_t checksum() const { return checksum_; }

 private:
  std::filesystem::path path_;
  int descriptor_;
  uint64_t bytes_ = 0;
  uint32_t checksum_ = 0;
};

/// A file that is being read. All functions throw Error with the file's name and the system's reason.
class FileReader {
 public:
  explicit FileReader(std::filesystem::path path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Size in bytes when it was opened.
  uint64_t bytes() const { return bytes_; }
  /// Reads `bytes` bytes from `offset` on.
  void read_at(uint64_t offset, void* data, size_t bytes) const;
  /// CRC-32 of the whole file, which is read piece by piece.
  uint32_t checksum() const;

 private:
  std::filesystem::path path_;
  int descriptor_;
  uint64_t bytes_ = 0;
};

/// The whole contents of a file.
std::string read_whole_file(const std::filesystem::path& path);

/// Waits until the names in `folder` are on the disk. A file system that cannot do this is left alone.
void sync_folder(const std::filesystem::path& folder);

/// Renames and waits until the new name is on the disk; a file of the new name is replaced in one step.
/// Throws Error where the system refuses.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// A name next to `path` that begins with ".haze-unfinished-" and that no file and no other caller has.
std::filesystem::path unfinished_name(const std::filesystem::path& path);

/// `path` as it is called once all is written: what unfinished_name() made of its parts, undone.
std::filesystem::path finished_name(const std::filesystem::path& path);

/// Writes a whole file so that at every moment, through crashes and power cuts, its path holds either what it
/// held before or all of `contents`. Throws Error where the system refuses, and then leaves no temporary
/// file.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

/// Removes a file or folder that unfinished_name() named, unless a FileWriter of any process is at work on
/// the file. A file that cannot be removed stays.
void remove_abandoned(const std::filesystem::path& path);

/// Whether `path` was named by unfinished_name(): what a killed process leaves behind.
bool is_unfinished_name(const std::filesystem::path& path);

}  // namespace haze
