#pragma once

#include <functional>

#include "haze/tools/run/progress.h"
#include "haze/tools/run/trace.h"

namespace haze {

/// A text that appears in place: the lines that it takes on a terminal are redrawn at each step.
class LiveText {
 public:
  /// `output` must be interactive. `wait` sleeps after each step; both can be a test's.
  LiveText(ProgressOutput output, TraceStyle style, std::function<void()> wait);
  /// Takes the text away.
  ~LiveText();
  LiveText(const LiveText&) = delete;
  LiveText& operator=(const LiveText&) = delete;

  /// Draws the last step of a trace, what is new in it marked, if it has not been drawn.
  void show(const Trace& trace);

 private:
  void draw(const std::string& line);

  ProgressOutput output_;
  TraceStyle style_;
  std::function<void()> wait_;
  size_t steps_ = 0;  // of the trace when it was drawn
  int rows_ = 1;      // that the text takes on the terminal
};

/// Columns that a line with colours takes.
int visible_width(std::string_view line);

}  // namespace haze
