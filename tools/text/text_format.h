#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// How a line of a text file is laid out.
enum class TextFormat {
  lines,  ///< the line is the text
  jsonl,  ///< {"src": "...", "trg": "..."}
  e2e,    ///< name : Blue Spice | Type : pub||A sentence .
};

/// The format called "lines", "jsonl" or "e2e". Throws Error for any other name.
TextFormat text_format(std::string_view name);

/// The format that the lines of a file's beginning have: e2e or jsonl where at least half of them look like
/// it, otherwise lines. Of no lines it is e2e.
TextFormat guess_format(const std::vector<std::string>& beginning);

/// The name that text_format() takes.
std::string_view format_name(TextFormat format);

/// Whether lines look like a table with columns: all have the same number, at least one, of commas,
/// semicolons or tabs, and there are several lines.
bool looks_like_table(const std::vector<std::string>& beginning);

/// The first lines of a file, up to `most` that are not blank; none where it cannot be read.
std::vector<std::string> beginning_of(const std::filesystem::path& path, size_t most = 20);

/// One property that a text expresses, such as area = riverside.
struct Field {
  std::string name, value;
  friend bool operator==(const Field&, const Field&) = default;
};

/// One training example: a text and what it answers to.
struct Record {
  std::string source;         ///< empty for lines, "src" for jsonl, the part before || for e2e
  std::string target;         ///< the text; never blank
  std::vector<Field> fields;  ///< the parts of `source` for e2e, in their order; empty otherwise
};

/// Reads one line, without its line end. Throws Error, without file or line number, where it is not valid
/// UTF-8 or not in the format, or where its text is blank.
Record parse_record(TextFormat format, std::string_view line);

/// The words of a text, which blanks separate.
std::vector<std::string> split_words(const std::string& text);

/// `text` without the blanks at both its ends.
std::string_view trim(std::string_view text);

}  // namespace haze
