#pragma once

#include <cstddef>
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

/// How one text appears, first moment first. Its length may change from step to step.
struct Trace {
  std::vector<TraceStep> steps;
  std::vector<bool> fixed = {};  // tokens of the first step that were given, as in infilling; empty: none
  std::string separator = " ";   // between two tokens: a space between words, nothing between characters
};

/// The states of a token in a step. A new token differs from that of the step before; a fixed one was given;
/// a deleted one stood in the step before.
enum class TokenState { kMasked, kNew, kOld, kFixed, kDeleted };

/// A token of two neighbouring steps.
struct AlignedToken {
  std::optional<std::size_t> before;  // its position in the step before; nothing: inserted
  std::optional<std::size_t> now;     // its position in this step; nothing: deleted
  TokenState state = TokenState::kOld;
};

/// The tokens of `now` in order, and the deleted ones of `before` among them; all are inserted where `before`
/// is null. `fixed` says which tokens of `before`, or else of `now`, were given; empty: none.
///
/// Steps of the same length are aligned position by position, others at the least cost (Wagner and Fischer
/// 1974, The String-to-String Correction Problem). An insertion and a deletion cost 2 each, a substitution 3,
/// or 2 if one of its tokens is a mask. Padding is substituted for masks only. Given tokens are never
/// substituted, and as few as possible are deleted. Throws where `fixed` has another length.
std::vector<AlignedToken> align_steps(const TraceStep* before, const TraceStep& now,
                                      const std::vector<bool>& fixed);

/// The alignment of each step with the one before. If all steps have the same length, they are aligned
/// position by position, otherwise all at the least cost. Given tokens stay given where their positions
/// change.
std::vector<std::vector<AlignedToken>> align_trace(const Trace& trace);

/// How a trace looks: in colour on a terminal, or with marks in plain text.
struct TraceStyle {
  bool colour = false;
  bool unicode = false;

  /// The style that suits the stream of a file descriptor: plain where it is no terminal or NO_COLOR is set.
  static TraceStyle for_stream(int file_descriptor);
};

/// One line for the moment `now`, with align_steps(before, now, fixed). In colour, new tokens are green,
/// fixed ones underlined, masks dim, and deleted ones red and struck through. In plain text, masks are ____
/// and the others [new], <fixed> and -deleted-. Deleted masks are not shown. Control characters in tokens are
/// shown as pictures. Throws where `fixed` has another length.
std::string render_trace_step(const TraceStep* before, const TraceStep& now, const std::vector<bool>& fixed,
                              std::string_view separator, TraceStyle style);

/// Every step on a line of its own, labels aligned.
std::string render_trace(const Trace& trace, TraceStyle style);

/// At most `count` of the steps, first and last among them, so chosen that about as many tokens change from
/// each to the next. Throws where count is below 2.
Trace choose_steps(const Trace& trace, std::size_t count);

/// An SVG of the steps, one below the other, that appear one by one in a loop; a viewer without animation
/// shows all of them. Each token keeps its column through all steps, and room is left for tokens that are
/// inserted later. Masks are bars; a deleted token is struck through in the step that deletes it; columns
/// that end as padding are left out. Light or dark as the viewer is. A text is wrapped at `columns`
/// characters. Throws where there is no step.
std::string trace_svg(const Trace& trace, std::string_view title, int columns = 88);

}  // namespace haze
