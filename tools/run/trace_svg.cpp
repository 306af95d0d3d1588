#include <algorithm>

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

/// Where one token stands in every step.
struct Place {
  std::size_t token;
  int line;
  int column;
  int width;  // columns
};

struct Layout {
  std::vector<Place> places;
  int lines = 1;
  int columns = 0;
};

/// Columns that a token takes in the widest of its texts, or 0 where it ends as padding.
int slot_width(const Trace& trace, std::size_t token) {
  const auto& last = trace.steps.back().tokens[token];
  if (last && last->empty()) return 0;
  int width = 1;
  for (const TraceStep& step : trace.steps) {
    if (step.tokens[token])
      width = std::max(width, display_width(without_control_characters(*step.tokens[token])));
  }
  return width;
}

Layout lay_out(const Trace& trace, int columns) {
  Layout layout;
  int column = 0;
  for (std::size_t token = 0; token < trace.steps.back().tokens.size(); ++token) {
    const int width = slot_width(trace, token);
    if (width == 0) continue;
    if (column > 0 && column + width > columns) {
      column = 0;
      ++layout.lines;
    }
    layout.places.push_back({token, layout.lines - 1, column, width});
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

std::string style_of(std::size_t steps) {
  std::string style(kStyle);
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

std::string draw_step(const Trace& trace, std::size_t index, const Layout& layout, double left, int top) {
  const TraceStep& step = trace.steps[index];
  std::string drawing = fmt::format("<g class=\"step{}\">\n", index);
  if (!step.label.empty()) {
    drawing += draw_text(kMargin, top + kLineHeight - 6, display_width(step.label), "label", step.label);
  }
  for (const Place& place : layout.places) {
    const double x = left + place.column * kColumn;
    const int baseline = top + (place.line + 1) * kLineHeight - 6;
    const auto& token = step.tokens[place.token];
    if (!token) {
      drawing += draw_mask(x, baseline, place.width * kColumn);
      continue;
    }
    const std::string text = without_control_characters(*token);
    if (text.find_first_not_of(' ') == std::string::npos) continue;
    const bool given = !trace.fixed.empty() && trace.fixed[place.token];
    const bool is_new = !given && (index == 0 || trace.steps[index - 1].tokens[place.token] != token);
    drawing += draw_text(x, baseline, display_width(text), is_new ? "new" : "", text);
    if (given) drawing += draw_underline(x, baseline, display_width(text) * kColumn);
  }
  return drawing + "</g>\n";
}

std::string draw_key(bool has_given) {
  constexpr int kBaseline = 48;
  std::string key = draw_mask(kMargin, kBaseline, 26);
  key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">masked</text>\n", kMargin + 32, kBaseline);
  key += fmt::format("<text class=\"new\" x=\"{}\" y=\"{}\">word</text>\n", kMargin + 96, kBaseline);
  key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">new at this step</text>\n", kMargin + 136,
                     kBaseline);
  if (has_given) {
    key += fmt::format("<text x=\"{}\" y=\"{}\">word</text>\n", kMargin + 250, kBaseline);
    key += draw_underline(kMargin + 250, kBaseline, 4 * kColumn);
    key += fmt::format("<text class=\"key\" x=\"{}\" y=\"{}\">given</text>\n", kMargin + 290, kBaseline);
  }
  return key;
}

}  // namespace

std::string trace_svg(const Trace& trace, std::string_view title, int columns) {
  if (trace.steps.empty()) fail("a trace without a step cannot be drawn");
  for (const TraceStep& step : trace.steps) {
    if (step.tokens.size() == trace.steps.front().tokens.size()) continue;
    fail("a step of a trace has {} tokens and another has {}", trace.steps.front().tokens.size(),
         step.tokens.size());
  }
  const std::size_t tokens = trace.steps.front().tokens.size();
  if (!trace.fixed.empty() && trace.fixed.size() != tokens) {
    fail("a trace has {} tokens and says of {} whether they are fixed", tokens, trace.fixed.size());
  }
  const Layout layout = lay_out(trace, columns);
  int label_columns = 0;
  for (const TraceStep& step : trace.steps)
    label_columns = std::max(label_columns, display_width(step.label));
  const double left = kMargin + (label_columns > 0 ? label_columns + 2 : 0) * kColumn;
  const int width = std::max(420, static_cast<int>(left + layout.columns * kColumn) + kMargin);
  const int step_height = layout.lines * kLineHeight + kGapBetweenSteps;
  const int height = kHeader + static_cast<int>(trace.steps.size()) * step_height + kMargin / 2;

  std::string svg = begin_svg(width, height, title, style_of(trace.steps.size()));
  svg += fmt::format("<text class=\"title\" x=\"{}\" y=\"28\">{}</text>\n", kMargin, escape_xml(title));
  svg += draw_key(std::find(trace.fixed.begin(), trace.fixed.end(), true) != trace.fixed.end());
  for (std::size_t i = 0; i < trace.steps.size(); ++i) {
    svg += draw_step(trace, i, layout, left, kHeader + static_cast<int>(i) * step_height);
  }
  return svg + "</svg>\n";
}

}  // namespace haze
