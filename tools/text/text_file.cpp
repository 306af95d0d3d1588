#include "haze/tools/text/text_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

constexpr size_t kChunkBytes = 1 << 16;
constexpr int64_t kUncountedBytes = std::ssize(kByteOrderMark) + 1;

/// Bytes of the first nine tenths of a text's characters.
int64_t bytes_of_nine_tenths(std::string_view text) {
  const auto begins_character = [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; };
  const int64_t kept = std::count_if(text.begin(), text.end(), begins_character) * 9 / 10;
  int64_t characters = 0;
  const auto end = std::find_if(text.begin(), text.end(),
                                [&](char c) { return begins_character(c) && characters++ == kept; });
  return end - text.begin();
}

}  // namespace

TextFile::TextFile(const std::filesystem::path& path, const TextFileOptions& options)
    : path_(path), options_(options) {
  if (options.max_line_bytes < 1 || options.max_line_bytes >= std::numeric_limits<int32_t>::max()) {
    fail("data.max_line_bytes must be at least 1 and below 2147483647, but is {}", options.max_line_bytes);
  }
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    fail("{} is not a regular file", path.string());
  }
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) fail("{} cannot be opened: {}", path.string(), std::strerror(errno));
  // A constructor that throws runs no destructor of its own.
  try {
    const int64_t bytes = is_one_text() ? index_text() : index_lines();
    if (bytes == 0) fail("{}: the file is empty", location_of_line(1));
    if (lines_.empty()) fail("{}: the file has only blank lines", location_of_line(1));
    keep_part();
    lines_.shrink_to_fit();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

TextFile::~TextFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

TextFile::TextFile(TextFile&& other) noexcept
    : path_(std::move(other.path_)),
      options_(other.options_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      lines_(std::move(other.lines_)) {}

TextFile& TextFile::operator=(TextFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(options_, other.options_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(lines_, other.lines_);
  return *this;
}

int64_t TextFile::index_lines() {
  std::vector<char> chunk(kChunkBytes);
  std::string line;
  int64_t line_offset = 0, chunk_offset = 0, number = 1;
  while (const size_t bytes = read_at(chunk_offset, chunk.data(), chunk.size())) {
    std::string_view rest(chunk.data(), bytes);
    while (!rest.empty()) {
      const size_t line_end = rest.find('\n');
      const auto part = rest.substr(0, line_end);
      // The mark and the CR do not count, but whether this is a CR shows only when the line ends.
      if (std::ssize(line) + std::ssize(part) > options_.max_line_bytes + kUncountedBytes)
        fail_over_long(number);
      line.append(part);
      rest.remove_prefix(part.size());
      if (rest.empty()) break;
      rest.remove_prefix(1);
      index_line(line, line_offset, number);
      line_offset += std::ssize(line) + 1;
      ++number;
      line.clear();
    }
    chunk_offset += static_cast<int64_t>(bytes);
  }
  if (!line.empty()) index_line(line, line_offset, number);
  return chunk_offset;
}

int64_t TextFile::index_text() {
  std::string content;
  std::vector<char> chunk(kChunkBytes);
  while (const size_t bytes = read_at(std::ssize(content), chunk.data(), chunk.size()))
    content.append(chunk.data(), bytes);
  const std::string_view text = without_byte_order_mark(content);
  require_utf8_lines(text);
  if (!trim(text).empty()) lines_.push_back({std::ssize(content) - std::ssize(text), 1, std::ssize(text)});
  return std::ssize(content);
}

void TextFile::require_utf8_lines(std::string_view text) const {
  const std::optional<size_t> invalid = first_invalid_utf8(text);
  if (!invalid) return;
  const std::string_view before = text.substr(0, *invalid);
  const size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0
  try {
    require_utf8(text.substr(line_begin), "the line");
  } catch (const Error& error) {
    fail("{}: {}", location_of_line(1 + std::count(before.begin(), before.end(), '\n')), error.what());
  }
}

void TextFile::keep_part() {
  if (options_.part == FilePart::all) return;
  if (is_one_text()) {
    keep_part_of_text();
  } else {
    keep_part_of_lines();
  }
}

void TextFile::keep_part_of_text() {
  const std::string text = record(0).target;
  const int64_t kept = bytes_of_nine_tenths(text);
  if (kept == 0)
    fail("{}: of one character none can be held out; name a file to evaluate on (data.valid)",
         path_.string());
  Line& line = lines_.front();
  if (options_.part == FilePart::tenth) {
    line.offset += kept;
    line.number += std::count(text.begin(), text.begin() + kept, '\n');
    line.bytes -= kept;
  } else {
    line.bytes = kept;
  }
}

void TextFile::keep_part_of_lines() {
  const size_t all = lines_.size();
  if (all < 2)
    fail(
        "{}: of one text none can be held out; name a file to evaluate on (data.valid), or, if the file is "
        "one "
        "long text, set data.format=raw",
        path_.string());
  size_t number = 0;
  std::erase_if(lines_, [&](const Line&) {
    const size_t index = number++;
    const bool is_held_out = all < 10 ? index == all - 1 : index % 10 == 9;
    return is_held_out != (options_.part == FilePart::tenth);
  });
}

void TextFile::index_line(std::string_view line, int64_t offset, int64_t number) {
  if (offset == 0) {
    offset = std::ssize(line);
    line = without_byte_order_mark(line);
    offset -= std::ssize(line);
  }
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (std::ssize(line) > options_.max_line_bytes) fail_over_long(number);
  if (trim(line).empty()) return;
  try {
    parse_record(options_.format, line);
  } catch (const Error& error) {
    fail("{}: {}", location_of_line(number), error.what());
  }
  lines_.push_back({offset, number, std::ssize(line)});
}

void TextFile::fail_over_long(int64_t number) const {
  fail("{}: the line is longer than {} bytes; break it up or raise data.max_line_bytes",
       location_of_line(number), options_.max_line_bytes);
}

size_t TextFile::read_at(int64_t offset, char* destination, size_t bytes) const {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(descriptor_, destination + done, bytes - done,
                                static_cast<off_t>(offset + static_cast<int64_t>(done)));
    if (got == 0) break;
    if (got < 0 && errno != EINTR) fail("{} cannot be read: {}", path_.string(), std::strerror(errno));
    if (got > 0) done += static_cast<size_t>(got);
  }
  return done;
}

Record TextFile::record(int64_t index) const {
  const Line& where = line(index);
  std::string text(static_cast<size_t>(where.bytes), '\0');
  if (read_at(where.offset, text.data(), text.size()) < text.size()) {
    fail("{}: the file has become shorter since it was opened", location_of_line(where.number));
  }
  try {
    return parse_record(options_.format, text);
  } catch (const Error& error) {
    fail("{}: the file has changed since it was opened: {}", location_of_line(where.number), error.what());
  }
}

std::string TextFile::location(int64_t index) const {
  return location_of_line(line(index).number);
}

const TextFile::Line& TextFile::line(int64_t index) const {
  if (index < 0 || index >= size()) {
    fail("{} has {} records, so there is no record {}", path_.string(), size(), index);
  }
  return lines_[static_cast<size_t>(index)];
}

std::string TextFile::location_of_line(int64_t number) const {
  return fmt::format("{}:{}", path_.string(), number);
}

TokenCounter count_tokens(TokenizerKind kind, const TextFile& file, bool with_sources) {
  TokenCounter counter(kind);
  for (int64_t i = 0; i < file.size(); ++i) {
    const Record record = file.record(i);
    counter.add(record.target);
    if (with_sources) counter.add(record.source, TextSide::source);
  }
  return counter;
}

Tokenizer build_tokenizer(TokenizerKind kind, const TextFile& file, int64_t min_count, bool with_sources) {
  return count_tokens(kind, file, with_sources).build(min_count);
}

}  // namespace haze
