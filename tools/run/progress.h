#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace haze {

/// Where progress is shown. The functions stand for the clock and the terminal, so that tests can be both.
struct ProgressOutput {
  bool interactive = false;                     // redraw one line, or write lines of a log
  bool unicode = false;                         // whether the bar may be drawn with box-drawing characters
  std::function<void(std::string_view)> write;  // takes a whole line at once, so that nothing flickers
  std::function<double()> now;                  // seconds since any fixed moment
  std::function<int()> width;                   // columns, asked at every redraw: windows change size

  /// Standard error and the steady clock.
  static ProgressOutput standard_error();
};

/// How far a run of many steps is. A terminal has one line that is redrawn at most ten times a second.
/// Elsewhere a log gets a line at most every five seconds, and at the end.
class ProgressBar {
 public:
  /// Steps are counted from 0 to `total`; a resumed run starts at `start`.
  ProgressBar(std::string label, std::int64_t total, std::int64_t start = 0,
              ProgressOutput output = ProgressOutput::standard_error());
  /// Leaves the last state on a line of its own, as finish() does.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Tells that `step` steps are done, `tokens` tokens more than at the last call, and, where there is one,
  /// the loss now.
  void update(std::int64_t step, std::int64_t tokens = 0, std::optional<double> loss = std::nullopt);
  /// Writes a line of text that stays, above the bar.
  void print_line(std::string_view text);
  /// Shows the last state and ends the line; later calls do nothing.
  void finish();
  /// Takes the line away instead, for work of which only the result matters; lines of a log stay.
  void remove();

 private:
  struct Moment {
    double seconds;
    std::int64_t step;
    std::int64_t tokens;
  };
  struct Rates {
    double steps_per_second;
    double tokens_per_second;
  };

  void show(double seconds);
  void remember(double seconds);
  std::optional<Rates> rates() const;
  std::string bar_line(int columns) const;
  std::string log_line() const;
  std::string time_left_or_taken(const Rates& rate) const;

  std::string label_;
  std::int64_t total_;
  ProgressOutput output_;
  std::int64_t step_;
  std::int64_t tokens_ = 0;
  std::optional<double> loss_;
  std::deque<Moment> recent_;  // the last seconds, from which the rates come
  double started_at_;
  double shown_at_;
  std::int64_t shown_step_ = -1;
  bool finished_ = false;
};

/// A duration in the form "45 s", "3 min 05 s" or "2 h 07 min".
std::string format_duration(double seconds);

/// A whole number with a comma before every three digits: "1,003,854".
std::string format_whole(std::int64_t number);

/// A count in at most five characters: "950", "21.4k", "3.20M".
std::string format_count(double count);

}  // namespace haze
