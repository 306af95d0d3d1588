#include "haze/tools/run/trace.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

const std::optional<std::string>& token_of(const AlignedToken& token, const TraceStep* before,
                                           const TraceStep& now) {
  return token.now ? now.tokens[*token.now] : before->tokens[*token.before];
}

struct Marks {
  std::string_view before, after;
};

Marks marks_of(TokenState state, bool colour) {
  switch (state) {
    case TokenState::kMasked:
      return colour ? Marks{"\x1b[2m", "\x1b[0m"} : Marks{"", ""};
    case TokenState::kNew:
      return colour ? Marks{"\x1b[1;32m", "\x1b[0m"} : Marks{"[", "]"};
    case TokenState::kFixed:
      return colour ? Marks{"\x1b[4m", "\x1b[0m"} : Marks{"<", ">"};
    case TokenState::kDeleted:
      return colour ? Marks{"\x1b[9;31m", "\x1b[0m"} : Marks{"-", "-"};
    case TokenState::kOld:
      break;
  }
  return {"", ""};
}

/// A mask as wide as a short word, or as one character where tokens are characters.
std::string mask_text(bool between_words, bool unicode) {
  std::string mask;
  for (int i = 0; i < (between_words ? 4 : 1); ++i) mask += unicode ? "░" : "_";
  return mask;
}

std::string render_line(const std::vector<AlignedToken>& tokens, const TraceStep* before,
                        const TraceStep& now, std::string_view separator, TraceStyle style) {
  const std::string mask = mask_text(!separator.empty(), style.unicode);
  std::string line;
  Marks open{"", ""};
  std::optional<TokenState> last;
  for (const AlignedToken& aligned : tokens) {
    const std::optional<std::string>& token = token_of(aligned, before, now);
    if (token ? token->empty() : !aligned.now) continue;
    // Neighbours in the same state share their marks, the separator between them included.
    if (aligned.state != last) line += open.after;
    if (last) line += separator;
    if (aligned.state != last) {
      open = marks_of(aligned.state, style.colour);
      line += open.before;
    }
    line += token ? without_control_characters(*token) : mask;
    last = aligned.state;
  }
  line += open.after;
  return line;
}

std::size_t count_changes(const std::vector<AlignedToken>& tokens, const TraceStep& before,
                          const TraceStep& now) {
  std::size_t changes = 0;
  for (const AlignedToken& token : tokens) {
    const bool kept = token.before && token.now && before.tokens[*token.before] == now.tokens[*token.now];
    changes += kept ? 0 : 1;
  }
  return changes;
}

}  // namespace

TraceStyle TraceStyle::for_stream(int file_descriptor) {
  const TerminalAbilities abilities = terminal_abilities(file_descriptor);
  // Shaded blocks say nothing more than underscores where a program reads the text.
  return {.colour = abilities.colour, .unicode = abilities.interactive && abilities.unicode};
}

std::string render_trace_step(const TraceStep* before, const TraceStep& now, const std::vector<bool>& fixed,
                              std::string_view separator, TraceStyle style) {
  const std::string line = render_line(align_steps(before, now, fixed), before, now, separator, style);
  return now.label.empty() ? line : fmt::format("{}  {}", now.label, line);
}

std::string render_trace(const Trace& trace, TraceStyle style) {
  int label_width = 0;
  for (const TraceStep& step : trace.steps) label_width = std::max(label_width, display_width(step.label));
  const auto alignments = align_trace(trace);
  std::string text;
  const TraceStep* before = nullptr;
  for (std::size_t i = 0; i < trace.steps.size(); ++i) {
    const TraceStep& step = trace.steps[i];
    std::string label = step.label;
    label.append(static_cast<std::size_t>(label_width - display_width(label)), ' ');
    if (!label.empty()) label += "  ";
    text += label + render_line(alignments[i], before, step, trace.separator, style) + "\n";
    before = &step;
  }
  return text;
}

Trace choose_steps(const Trace& trace, std::size_t count) {
  if (count < 2) fail("a trace is cut down to two steps at least, not {}", count);
  if (trace.steps.size() <= count) return trace;
  const auto alignments = align_trace(trace);
  std::vector<double> changes = {0.0};  // since the first step
  for (std::size_t i = 1; i < trace.steps.size(); ++i) {
    changes.push_back(changes.back() +
                      static_cast<double>(count_changes(alignments[i], trace.steps[i - 1], trace.steps[i])));
  }
  Trace chosen{.steps = {trace.steps.front()}, .fixed = trace.fixed, .separator = trace.separator};
  std::size_t last = 0;
  for (std::size_t k = 1; k + 1 < count; ++k) {
    const double wanted = changes.back() * static_cast<double>(k) / static_cast<double>(count - 1);
    std::size_t nearest = last;
    for (std::size_t i = last + 1; i + 1 < trace.steps.size(); ++i) {
      if (std::abs(changes[i] - wanted) < std::abs(changes[nearest] - wanted)) nearest = i;
    }
    if (nearest == last) continue;
    chosen.steps.push_back(trace.steps[nearest]);
    last = nearest;
  }
  chosen.steps.push_back(trace.steps.back());
  return chosen;
}

}  // namespace haze
