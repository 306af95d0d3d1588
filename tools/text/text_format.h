#pragma once

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

/// `text` without the blanks at both its ends.
std::string_view trim(std::string_view text);

}  // namespace haze
