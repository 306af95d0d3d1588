#include "haze/tools/run/live_text.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "haze/tools/run/terminal.h"

namespace haze {

LiveText::LiveText(ProgressOutput output, TraceStyle style, std::function<void()> wait)
    : output_(std::move(output)), style_(style), wait_(std::move(wait)) {}

LiveText::~LiveText() {
  if (steps_ > 0) draw("");
}

void LiveText::show(const Trace& trace) {
  if (trace.steps.size() == steps_) return;
  steps_ = trace.steps.size();
  const TraceStep& now = trace.steps.back();
  const TraceStep* before = steps_ > 1 ? &trace.steps[steps_ - 2] : nullptr;
  // Given tokens move in a text that changes its length.
  const bool same_length = trace.fixed.size() == (before ? before : &now)->tokens.size();
  draw(render_trace_step(before, now, same_length ? trace.fixed : std::vector<bool>(), trace.separator,
                         style_));
  wait_();
}

// Redraws from the first of the rows that the text took before.
void LiveText::draw(const std::string& line) {
  const std::string up = rows_ > 1 ? fmt::format("\x1b[{}A", rows_ - 1) : "";
  output_.write(fmt::format("{}\r\x1b[J{}", up, line));
  rows_ = std::max(1, (visible_width(line) + output_.width() - 1) / output_.width());
}

int visible_width(std::string_view line) {
  int width = 0;
  while (!line.empty()) {
    const size_t text = std::min(line.find('\x1b'), line.size());
    width += display_width(line.substr(0, text));
    const size_t colour = std::min(line.find('m', text), line.size() - 1);
    line.remove_prefix(text == line.size() ? text : colour + 1);
  }
  return width;
}

}  // namespace haze
