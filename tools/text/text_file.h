#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "haze/tools/text/text_format.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// Which records of a file count. Where one file serves for training and evaluation, every tenth record is
/// held out, and of fewer than ten, the last. In a raw text the last tenth of the characters is held out, as
/// in nanoGPT.
enum class FilePart { all, all_but_tenth, tenth };

struct TextFileOptions {
  TextFormat format = TextFormat::lines;
  int64_t max_line_bytes = 1 << 20;  ///< at least 1, below 2^31, without the line end; raw has no limit
  FilePart part = FilePart::all;
};

/// A file of records, one a line. Opening it reads it once from end to end, checks every line, and keeps only
/// where each record lies (24 bytes a record); the text stays on disk. Blank lines are skipped, and CRLF line
/// ends are accepted. A raw file is one record, with all its line ends. A byte order mark at the beginning is
/// never part of the text.
class TextFile {
 public:
  /// Throws Error where the file cannot be read or has no records, or where a line is longer than
  /// `options.max_line_bytes`, not valid UTF-8 or not in the format. The sentence begins with "file:line: ".
  explicit TextFile(const std::filesystem::path& path, const TextFileOptions& options = {});
  ~TextFile();
  TextFile(TextFile&& other) noexcept;
  TextFile& operator=(TextFile&& other) noexcept;

  /// Number of records, at least 1.
  int64_t size() const { return static_cast<int64_t>(lines_.size()); }

  /// Record `index` of [0, size()), read from disk; may be called from several threads at once. Throws Error
  /// where the file has changed so that the record is no longer there, or `index` is out of range.
  Record record(int64_t index) const;

  /// "file:line" of record `index` of [0, size()), for messages; lines count from 1. Throws Error out of
  /// range.
  std::string location(int64_t index) const;

  const std::filesystem::path& path() const { return path_; }

  FilePart part() const { return options_.part; }
  /// Whether the file is read as one text.
  bool is_one_text() const { return options_.format == TextFormat::raw; }

 private:
  struct Line {
    int64_t offset, number, bytes;
  };

  void index_lines();
  void index_line(std::string_view line, int64_t offset, int64_t number);
  void keep_part();
  // The same for a raw text.
  void index_text();
  [[noreturn]] void fail_over_long(int64_t number) const;
  // Reads up to `bytes` bytes, fewer only at the end of the file.
  size_t read_at(int64_t offset, char* destination, size_t bytes) const;
  const Line& line(int64_t index) const;
  std::string location_of_line(int64_t number) const;

  std::filesystem::path path_;
  TextFileOptions options_;
  int descriptor_ = -1;
  std::vector<Line> lines_;
};

/// The tokens of the file's targets, and of its sources where these are `with_sources`.
TokenCounter count_tokens(TokenizerKind kind, const TextFile& file, bool with_sources = false);

/// A tokeniser of the tokens that occur at least `min_count` times in the file's targets, and in its sources
/// where these are `with_sources` (TokenCounter::build).
Tokenizer build_tokenizer(TokenizerKind kind, const TextFile& file, int64_t min_count,
                          bool with_sources = false);

}  // namespace haze
