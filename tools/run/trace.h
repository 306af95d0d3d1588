#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// The tokens of one text at one moment; nothing stands for a masked token. Padding is an empty text: it is
/// not shown.
using TraceTokens = std::vector<std::optional<std::string>>;

/// One moment of a text that appears.
struct TraceStep {
  std::string label;  // such as "t = 0.75"
  TraceTokens tokens;
};

/// The way of one text out of the masks, first moment first. All steps have the same number of tokens.
struct Trace {
  std::vector<TraceStep> steps;
  std::vector<bool> fixed = {};  // tokens that were given, as in infilling; empty: none
  std::string separator = " ";   // between two tokens: a space between words, nothing between characters
};

/// How a trace looks: in colour on a terminal, or with marks in plain text.
struct TraceStyle {
  bool colour = false;
  bool unicode = false;

  /// The style that suits the stream of a file descriptor: plain where it is no terminal or NO_COLOR is set.
  static TraceStyle for_stream(int file_descriptor);
};

/// One line for the moment `now`. Tokens that differ from `before` (all that are not masked, where it is
/// null) are new. In colour, new tokens are green, fixed ones underlined and masks dim; in plain text they
/// are [new], <fixed> and ____. Control characters in tokens are shown as pictures. Throws where the numbers
/// of tokens differ.
std::string render_trace_step(const TraceStep* before, const TraceStep& now, const std::vector<bool>& fixed,
                              std::string_view separator, TraceStyle style);

/// Every step on a line of its own, labels aligned.
std::string render_trace(const Trace& trace, TraceStyle style);

/// At most `count` of the steps, first and last among them, so chosen that about as many tokens appear from
/// each to the next. Throws where count is below 2.
Trace choose_steps(const Trace& trace, std::size_t count);

/// An SVG of the steps, one below the other, that appear one by one in a loop; a viewer without animation
/// shows all of them. Each token has its own place through all steps; masks are bars; what is padding in the
/// end is left out. Light or dark as the viewer is. A text is wrapped at `columns` characters. Throws where
/// there is no step.
std::string trace_svg(const Trace& trace, std::string_view title, int columns = 88);

}  // namespace haze
