#pragma once

#include <string>
#include <string_view>

namespace haze {

/// What a stream can show. A stream that is no terminal (a file, a pipe) shows plain text.
struct TerminalAbilities {
  bool interactive = false;  // a terminal whose line can be redrawn
  bool colour = false;       // interactive, and neither NO_COLOR nor TERM=dumb is set
  bool unicode = false;      // the locale's encoding is UTF-8
};

/// What the stream of a file descriptor (1 standard output, 2 standard error) can show.
TerminalAbilities terminal_abilities(int file_descriptor);

/// Columns of the terminal behind a file descriptor; 80 where it has none.
int terminal_width(int file_descriptor);

/// Columns that a UTF-8 text takes on a terminal: two for Chinese, Japanese and Korean characters and emoji,
/// none for combining marks. Bytes that are not UTF-8 take one each.
int display_width(std::string_view text);

/// The longest beginning of a UTF-8 text, whole characters only, that takes at most `columns` columns.
std::string_view cut_to_width(std::string_view text, int columns);

/// The text with control characters replaced by their pictures (U+2400 and on; U+FFFD for those from U+0080
/// on), so that no text moves the cursor.
std::string without_control_characters(std::string_view text);

/// The same with line feeds and tabs left as they are.
std::string without_escape_sequences(std::string_view text);

/// Writes a line to standard error, without escape sequences. Where it cannot be written there is nobody to
/// tell.
void say(std::string_view line);

/// The text as a stream gets it: without escape sequences where it is a terminal, byte for byte otherwise.
std::string for_stream(std::string text, int file_descriptor);

}  // namespace haze
