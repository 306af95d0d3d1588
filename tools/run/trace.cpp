#include "haze/tools/run/trace.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

enum class TokenState { kMasked, kNew, kOld, kFixed };

TokenState state_of(const TraceStep* before, const TraceStep& now, const std::vector<bool>& fixed,
                    std::size_t i) {
  if (!fixed.empty() && fixed[i]) return TokenState::kFixed;
  if (!now.tokens[i]) return TokenState::kMasked;
  return before && before->tokens[i] == now.tokens[i] ? TokenState::kOld : TokenState::kNew;
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

void check_lengths(const TraceStep* before, const TraceStep& now, const std::vector<bool>& fixed) {
  if (before && before->tokens.size() != now.tokens.size()) {
    fail("a step of a trace has {} tokens and the next has {}", before->tokens.size(), now.tokens.size());
  }
  if (!fixed.empty() && fixed.size() != now.tokens.size()) {
    fail("a trace has {} tokens and says of {} whether they are fixed", now.tokens.size(), fixed.size());
  }
}

std::size_t count_changes(const TraceStep& before, const TraceStep& now) {
  std::size_t changes = 0;
  for (std::size_t i = 0; i < now.tokens.size(); ++i) changes += before.tokens[i] != now.tokens[i] ? 1 : 0;
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
  check_lengths(before, now, fixed);
  const std::string mask = mask_text(!separator.empty(), style.unicode);
  std::string line;
  Marks open{"", ""};
  std::optional<TokenState> last;
  for (std::size_t i = 0; i < now.tokens.size(); ++i) {
    if (now.tokens[i] && now.tokens[i]->empty()) continue;
    const TokenState state = state_of(before, now, fixed, i);
    // Neighbours in the same state share their marks, the separator between them included.
    if (state != last) line += open.after;
    if (last) line += separator;
    if (state != last) {
      open = marks_of(state, style.colour);
      line += open.before;
    }
    line += now.tokens[i] ? without_control_characters(*now.tokens[i]) : mask;
    last = state;
  }
  line += open.after;
  return now.label.empty() ? line : fmt::format("{}  {}", now.label, line);
}

std::string render_trace(const Trace& trace, TraceStyle style) {
  int label_width = 0;
  for (const TraceStep& step : trace.steps) label_width = std::max(label_width, display_width(step.label));
  std::string text;
  const TraceStep* before = nullptr;
  for (const TraceStep& step : trace.steps) {
    TraceStep aligned = step;
    aligned.label.append(static_cast<std::size_t>(label_width - display_width(step.label)), ' ');
    text += render_trace_step(before, aligned, trace.fixed, trace.separator, style) + "\n";
    before = &step;
  }
  return text;
}

Trace choose_steps(const Trace& trace, std::size_t count) {
  if (count < 2) fail("a trace is cut down to two steps at least, not {}", count);
  if (trace.steps.size() <= count) return trace;
  std::vector<double> changes = {0.0};  // since the first step
  for (std::size_t i = 1; i < trace.steps.size(); ++i) {
    check_lengths(&trace.steps[i - 1], trace.steps[i], trace.fixed);
    changes.push_back(changes.back() +
                      static_cast<double>(count_changes(trace.steps[i - 1], trace.steps[i])));
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
