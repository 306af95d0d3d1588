#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// How a text file is laid out; but for `raw`, every line is a record.
enum class TextFormat {
  lines,  ///< the line is the text
  jsonl,  ///< {"src": "...", "trg": "..."}, or {"text": "..."}
  e2e,    ///< name : Blue Spice | Type : pub||A sentence .
  raw,    ///< the file is one text, every character of which is kept
};

/// The format called "lines", "jsonl", "e2e" or "raw". Throws Error for any other name.
TextFormat text_format(std::string_view name);

/// The format that the lines of a file's beginning have: e2e or jsonl where at least half of them look like
/// it, otherwise lines; never raw. Of no lines it is e2e.
TextFormat guess_format(const std::vector<std::string>& beginning);

/// Every name that text_format() takes, and those of them whose records are lines.
std::vector<std::string> format_names();
std::vector<std::string> line_format_names();

/// The name that text_format() takes.
std::string_view format_name(TextFormat format);

/// Whether lines look like a table with columns: all have the same number, at least one, of commas,
/// semicolons or tabs, and there are several lines.
bool looks_like_table(const std::vector<std::string>& beginning);

/// The first lines of a file, up to `most` that are not blank; none where it cannot be read.
std::vector<std::string> beginning_of(const std::filesystem::path& path, size_t most = 20);

/// Whether a file's lines may belong to one text, in its first MiB: there are blank lines between others, or
/// a thousand lines and more.
bool may_be_one_text(const std::filesystem::path& path);

/// One property that a text expresses, such as area = riverside.
struct Field {
  std::string name, value;
  friend bool operator==(const Field&, const Field&) = default;
};

/// One training example: a text and what it answers to.
struct Record {
  std::string source;         ///< "src" for jsonl, the part before || for e2e; otherwise empty
  std::string target;         ///< the text; never blank, but for parts of raw text
  std::vector<Field> fields;  ///< the parts of `source` for e2e, in their order; empty otherwise
};

/// Reads one line, without its line end, or all of a raw text. Throws Error, without file or line number,
/// where it is not valid UTF-8 or not in the format, or where the text of a line is blank.
Record parse_record(TextFormat format, std::string_view line);

/// The words of a text, which blanks separate.
std::vector<std::string> split_words(const std::string& text);

/// `text` without the blanks at both its ends.
std::string_view trim(std::string_view text);

}  // namespace haze
