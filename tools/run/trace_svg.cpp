#include <algorithm>
#include <list>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/svg.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/trace.h"

namespace haze {
namespace {

// Lengths in pixels, times in seconds. A character of every common monospaced font is 0.6 of its size wide.
constexpr double kColumn = 8.4;
constexpr int kLineHeight = 22;
constexpr int kGapBetweenSteps = 8;
constexpr int kMargin = 24;
constexpr int kHeader = 62;
constexpr int kMaskHeight = 12;
constexpr double kSecondsPerStep = 0.7;
constexpr double kFadeSeconds = 0.35;
constexpr double kSecondsOfRest = 5.0;

constexpr std::string_view kStyle =
    ".card{fill:#fff;stroke:#d8dee4}\n"
    "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1f2328}\n"
    ".title{font:600 15px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}\n"
    ".key{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:#636c76}\n"
    ".label{fill:#636c76}\n"
    ".mask{fill:#d8dee4}\n"
    ".new{fill:#0a7d5a;font-weight:700}\n"
    ".given{stroke:#8250df;stroke-width:1.6}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".card{fill:#0d1117;stroke:#30363d}\n"
    "text{fill:#e6edf3}\n"
    ".key,.label{fill:#9198a1}\n"
    ".mask{fill:#30363d}\n"
    ".new{fill:#4ac9a0}\n"
    ".given{stroke:#ab7df8}\n"
    "}\n";

/// Only for traces in which a token is deleted.
constexpr std::string_view kDeletedStyle =
    ".deleted{fill:#b3261e}\n"
    ".strike{stroke:#b3261e;stroke-width:1.4}\n"
    "@media (prefers-color-scheme:dark){.deleted{fill:#f2857c}.strike{stroke:#f2857c}}\n";

/// The content of a slot in one step; no token: the slot is empty.
struct Cell {
  const std::optional<std::string>* token = nullptr;
  TokenState state = TokenState::kOld;

  bool is_live() const { return token && state != TokenState::kDeleted; }
};

/// A token and those that it becomes: a cell for each step.
using Slot = std::vector<Cell>;

/// The slots of a trace in reading order. A token takes the slot of the one that it is aligned with; an
/// inserted one takes a slot that has become free where it is inserted, or a new one.
std::list<Slot> slots_of(const Trace& trace) {
  const auto alignments = align_trace(trace);
  std::list<Slot> slots;
  for (std::size_t step = 0; step < trace.steps.size(); ++step) {
    const auto is_taken = [&](const Slot& slot) { return step > 0 && slot[step - 1].is_live(); };
    auto slot = slots.begin();
    for (const AlignedToken& token : alignments[step]) {
      const auto& text =
          token.now ? trace.steps[step].tokens[*token.now] : trace.steps[step - 1].tokens[*token.before];
      // A slot that ends as padding is left out, so padding takes none in which a token has stood.
      const bool is_padding = text && text->empty();
      if (token.before) {
        slot = std::find_if(slot, slots.end(), is_taken);
      } else if (slot == slots.end() || is_padding || is_taken(*slot)) {
        slot = slots.insert(slot, Slot(trace.steps.size()));
      }
      (*slot++)[step] = {&text, token.state};
    }
  }
  return slots;
}

bool has_state(const std::list<Slot>& slots, TokenState state) {
  return std::any_of(slots.begin(), slots.end(), [&](const Slot& slot) {
    return std::any_of(slot.begin(), slot.end(),
                       [&](const Cell& cell) { return cell.token && cell.state == state; });
  });
}

/// Where one slot stands in every step.
struct Place {
  const Slot* slot;
  int line;
  int column;
  int width;  // columns
};

struct Layout {
  std::vector<Place> places;
  int lines = 1;
  int columns = 0;
};

/// Columns that a slot takes for the widest of its texts, or 0 where it ends as padding.
int slot_width(const Slot& slot) {
  int width = 1;
  bool is_padding = true;
  for (const Cell& cell : slot) {
    if (!cell.token) continue;
    const auto& token = *cell.token;
    is_padding = token && token->empty();
    if (token) width = std::max(width, display_width(without_control_characters(*token)));
  }
  return is_padding ? 0 : width;
}

Layout lay_out(const std::list<Slot>& slots, const Trace& trace, int columns) {
  Layout layout;
  int column = 0;
  for (const Slot& slot : slots) {
    const int width = slot_width(slot);
    if (width == 0) continue;
    if (column > 0 && column + width > columns) {
      column = 0;
      ++layout.lines;
    }
    layout.places.push_back({&slot, layout.lines - 1, column, width});
    layout.columns = std::max(layout.columns, column + width);
    column += width + display_width(trace.separator);
  }
  return layout;
}

/// The style that shows step `index` of `count` when its turn comes, in a loop whose end shows all of them
/// for a while.
std::string animation_of(std::size_t index, std::size_t count) {
  if (index == 0) return "";
  const double duration = static_cast<double>(count) * kSecondsPerStep + kSecondsOfRest;
  const double begins = static_cast<double>(index) * kSecondsPerStep;
  return fmt::format(
      "@keyframes appear{0}{{0%,{1:.2f}%{{opacity:0}}{2:.2f}%,100%{{opacity:1}}}}\n"
      ".step{0}{{animation:appear{0} {3:.2f}s linear infinite}}\n",
      index, 100 * begins / duration, 100 * (begins + kFadeSeconds) / duration, duration);
}

std::string style_of(std::size_t steps, bool has_deleted) {
  std::string style(kStyle);
  if (has_deleted) style += kDeletedStyle;
  // Nothing moves for a reader who has asked the system for less motion.
  style += "@media (prefers-reduced-motion:no-preference){\n";
  for (std::size_t i = 1; i < steps; ++i) style += animation_of(i, steps);
  return style + "}\n";
}

std::string draw_text(double x, int baseline, int columns, std::string_view css_class,
                      std::string_view text) {
  // textLength keeps every font in the same columns.
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{}\" textLength=\"{:.1f}\" lengthAdjust=\"spacingAndGlyphs\"{}>{}</text>\n", x,
      baseline, columns * kColumn,
      css_class.empty() ? std::string() : fmt::format(" class=\"{}\"", css_class), escape_xml(text));
}

std::string draw_mask(double x, int baseline, double width) {
  return fmt::format("<rect class=\"mask\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" rx=\"3\"/>\n",
                     x + 0.7, baseline - kMaskHeight + 1, width - 1.4, kMaskHeight);
}

std::string draw_underline(double x, int baseline, double width) {
  return fmt::format("<line class=\"given\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>\n", x,
                     x + width, baseline + 4, baseline + 4);
}

std::string draw_strike(double x, int baseline, double width) {
  return fmt::format("<line class=\"strike\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{}\" y2=\"{}\"/>\n", x,
                     x + width, baseline - 5, baseline - 5);
}

std::string_view css_class_of(TokenState state) {
  if (state == TokenState::kDeleted) return "deleted";
  return state == TokenState::kNew ? "new" : "";
}

std::string draw_step(const Trace& trace, std::size_t index, const Layout& layout, double left, int top) {
  const TraceStep& step = trace.steps[index];
  std::string drawing = fmt::format("<g class=\"step{}\">\n", index);
  if (!step.label.empty()) {
    drawing += draw_text(kMargin, top + kLineHeight - 6, display_width(step.label), "label", step.label);
  }
  for (const Place& place : layout.places) {
    const double x = left + place.column * kColumn;
    const int baseline = top + (place.line + 1) * kLineHeight - 6;
    const auto& [token, state] = (*place.slot)[index];
    if (!token) continue;
    if (!*token) {
      if (state != TokenState::kDeleted) drawing += draw_mask(x, baseline, place.width * kColumn);
      continue;
    }
    const std::string text = without_control_characters(**token);
    if (text.find_first_not_of(' ') == std::string::npos) continue;
    const int width = display_width(text);
    drawing += draw_text(x, baseline, width, css_class_of(state), text);
    if (state == TokenState::kFixed) drawing += draw_underline(x, baseline, width * kColumn);
    if (state == TokenState::kDeleted) drawing += draw_strike(x, baseline, width * kColumn);
  }
  return drawing + "</g>\n";
}

std::string draw_key(bool has_given, bool has_deleted) {
  constexpr int kBaseline = 48;
  std::string key = draw_mask(kMargin, kBaseline, 26);
  key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">masked</text>\n", kMargin + 32, kBaseline);
  key += fmt::format("<text class=\"new\" x=\"{}\" y=\"{}\">word</text>\n", kMargin + 96, kBaseline);
  key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">new at this step</text>\n", kMargin + 136,
                     kBaseline);
  int x = kMargin + 250;
  if (has_given) {
    key += fmt::format("<text x=\"{}\" y=\"{}\">word</text>\n", x, kBaseline);
    key += draw_underline(x, kBaseline, 4 * kColumn);
    key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">given</text>\n", x + 40, kBaseline);
    x += 90;
  }
  if (has_deleted) {
    key += fmt::format("<text class=\"deleted\" x=\"{}\" y=\"{}\">word</text>\n", x, kBaseline);
    key += draw_strike(x, kBaseline, 4 * kColumn);
    key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">deleted</text>\n", x + 40, kBaseline);
  }
  return key;
}

}  // namespace

std::string trace_svg(const Trace& trace, std::string_view title, int columns) {
  if (trace.steps.empty()) fail("a trace without a step cannot be drawn");
  const std::list<Slot> slots = slots_of(trace);
  const bool has_given = std::find(trace.fixed.begin(), trace.fixed.end(), true) != trace.fixed.end();
  const bool has_deleted = has_state(slots, TokenState::kDeleted);
  const Layout layout = lay_out(slots, trace, columns);
  int label_columns = 0;
  for (const TraceStep& step : trace.steps)
    label_columns = std::max(label_columns, display_width(step.label));
  const double left = kMargin + (label_columns > 0 ? label_columns + 2 : 0) * kColumn;
  const int width = std::max(has_given && has_deleted ? 500 : 420,
                             static_cast<int>(left + layout.columns * kColumn) + kMargin);
  const int step_height = layout.lines * kLineHeight + kGapBetweenSteps;
  const int height = kHeader + static_cast<int>(trace.steps.size()) * step_height + kMargin / 2;

  std::string svg = begin_svg(width, height, title, style_of(trace.steps.size(), has_deleted));
  svg += fmt::format("<text class=\"title\" x=\"{}\" y=\"28\">{}</text>\n", kMargin, escape_xml(title));
  svg += draw_key(has_given, has_deleted);
  for (std::size_t i = 0; i < trace.steps.size(); ++i) {
    svg += draw_step(trace, i, layout, left, kHeader + static_cast<int>(i) * step_height);
  }
  return svg + "</svg>\n";
}

}  // namespace haze
