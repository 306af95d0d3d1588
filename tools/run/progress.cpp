#include "haze/tools/run/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

constexpr double kSecondsBetweenRedraws = 0.1;
constexpr double kSecondsBetweenLogLines = 5.0;
constexpr double kSecondsOfRate = 15.0;
constexpr double kSecondsBeforeRate = 0.5;  // an estimate from less jumps about
constexpr int kLongestBar = 40;
constexpr int kShortestBar = 8;

/// A bar of `columns` columns, drawn to half a column with Unicode.
std::string draw_bar(double fraction, int columns, bool unicode) {
  const int halves = static_cast<int>(std::floor(fraction * columns * 2));
  std::string bar;
  if (!unicode) {
    bar.append(static_cast<std::size_t>(halves / 2), '#');
    bar.append(static_cast<std::size_t>(columns - halves / 2), '.');
    return "[" + bar + "]";
  }
  for (int i = 0; i < columns; ++i) bar += 2 * i + 1 < halves ? "━" : 2 * i < halves ? "╸" : "─";
  return bar;
}

}  // namespace

ProgressOutput ProgressOutput::standard_error() {
  const TerminalAbilities abilities = terminal_abilities(STDERR_FILENO);
  return {
      .interactive = abilities.interactive,
      .unicode = abilities.unicode,
      .write =
          [](std::string_view text) {
            while (!text.empty()) {
              const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
              // Progress that cannot be shown is no reason to stop a run.
              if (written <= 0) return;
              text.remove_prefix(static_cast<std::size_t>(written));
            }
          },
      .now =
          [] {
            return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
          },
      .width = [] { return terminal_width(STDERR_FILENO); }};
}

ProgressBar::ProgressBar(std::string label, std::int64_t total, std::int64_t start, ProgressOutput output)
    : label_(std::move(label)),
      total_(total),
      output_(std::move(output)),
      step_(start),
      started_at_(output_.now()),
      shown_at_(started_at_) {
  recent_.push_back({shown_at_, start, 0});
  if (output_.interactive) show(shown_at_);
}

ProgressBar::~ProgressBar() {
  finish();
}

void ProgressBar::update(std::int64_t step, std::int64_t tokens, std::optional<double> loss) {
  if (finished_) return;
  step_ = step;
  tokens_ += tokens;
  if (loss) loss_ = loss;
  const double seconds = output_.now();
  const double interval = output_.interactive ? kSecondsBetweenRedraws : kSecondsBetweenLogLines;
  if (seconds - shown_at_ < interval) return;
  remember(seconds);
  show(seconds);
}

void ProgressBar::print_line(std::string_view text) {
  if (!output_.interactive || finished_) {
    output_.write(fmt::format("{}\n", text));
    return;
  }
  output_.write(fmt::format("\r\x1b[K{}\n{}", text, bar_line(output_.width() - 1)));
}

void ProgressBar::finish() {
  if (finished_) return;
  const double seconds = output_.now();
  remember(seconds);
  if (output_.interactive) {
    show(seconds);
    output_.write("\n");
  } else if (shown_step_ != step_) {
    show(seconds);
  }
  finished_ = true;
}

void ProgressBar::remove() {
  if (finished_) return;
  if (output_.interactive) output_.write("\r\x1b[K");
  finished_ = true;
}

void ProgressBar::show(double seconds) {
  shown_at_ = seconds;
  shown_step_ = step_;
  if (output_.interactive) {
    // One column stays free: a full line would make some terminals go on to the next.
    output_.write(fmt::format("\r{}\x1b[K", bar_line(output_.width() - 1)));
  } else {
    output_.write(log_line() + "\n");
  }
}

void ProgressBar::remember(double seconds) {
  recent_.push_back({seconds, step_, tokens_});
  while (recent_.size() > 2 && recent_[1].seconds < seconds - kSecondsOfRate) recent_.pop_front();
}

std::optional<ProgressBar::Rates> ProgressBar::rates() const {
  const Moment& first = recent_.front();
  const Moment& last = recent_.back();
  const double seconds = last.seconds - first.seconds;
  if (seconds < kSecondsBeforeRate || last.step <= first.step) return std::nullopt;
  return Rates{static_cast<double>(last.step - first.step) / seconds,
               static_cast<double>(last.tokens - first.tokens) / seconds};
}

std::string ProgressBar::bar_line(int columns) const {
  const double fraction =
      total_ > 0 ? std::clamp(static_cast<double>(step_) / static_cast<double>(total_), 0.0, 1.0) : 1.0;
  const std::string beginning = fmt::format("{} {:3.0f}% ", label_, std::floor(100 * fraction));
  // The parts after the bar, and which of them goes first where there is no room for all.
  struct Part {
    std::string text;
    int importance;
  };
  // Numbers that change at every redraw have places of fixed width, so that the bar keeps its own.
  const auto digits = fmt::formatted_size("{}", total_);
  std::vector<Part> parts = {{fmt::format(" {:>{}}/{}", step_, digits, total_), 3}};
  if (loss_) parts.push_back({fmt::format("  loss {:.4f}", *loss_), 4});
  if (const auto rate = rates()) {
    parts.push_back({fmt::format("  {:>5} steps/s", format_count(rate->steps_per_second)), 2});
    if (tokens_ > 0)
      parts.push_back({fmt::format("  {:>5} tokens/s", format_count(rate->tokens_per_second)), 1});
    parts.push_back({fmt::format("  {:<15}", time_left_or_taken(*rate)), 5});
  }
  const int decoration = output_.unicode ? 0 : 2;
  const auto room_for_bar = [&] {
    int room = columns - display_width(beginning) - decoration;
    for (const Part& part : parts) room -= display_width(part.text);
    return room;
  };
  while (!parts.empty() && room_for_bar() < kShortestBar) {
    parts.erase(std::min_element(parts.begin(), parts.end(),
                                 [](const Part& a, const Part& b) { return a.importance < b.importance; }));
  }
  std::string line = beginning;
  if (room_for_bar() >= kShortestBar)
    line += draw_bar(fraction, std::min(room_for_bar(), kLongestBar), output_.unicode);
  for (const Part& part : parts) line += part.text;
  line.erase(line.find_last_not_of(' ') + 1);
  return std::string(cut_to_width(line, std::max(columns, 0)));
}

std::string ProgressBar::log_line() const {
  const double percent =
      total_ > 0 ? 100.0 * static_cast<double>(step_) / static_cast<double>(total_) : 100.0;
  std::string line = fmt::format("{}: step {} of {} ({:.0f}%)", label_, step_, total_, std::floor(percent));
  if (loss_) line += fmt::format(", loss {:.4f}", *loss_);
  const auto rate = rates();
  if (!rate) return line;
  line += fmt::format(", {} steps/s", format_count(rate->steps_per_second));
  if (tokens_ > 0) line += fmt::format(", {} tokens/s", format_count(rate->tokens_per_second));
  return line + ", " + time_left_or_taken(*rate);
}

std::string ProgressBar::time_left_or_taken(const Rates& rate) const {
  if (step_ >= total_) return fmt::format("in {}", format_duration(recent_.back().seconds - started_at_));
  return fmt::format("{} left", format_duration(static_cast<double>(total_ - step_) / rate.steps_per_second));
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string format_whole(std::int64_t number) {
  std::string text = fmt::format("{}", number);
  for (std::ptrdiff_t i = std::ssize(text) - 3; i > (number < 0 ? 1 : 0); i -= 3)
    text.insert(static_cast<std::size_t>(i), ",");
  return text;
}

std::string format_count(double count) {
  struct Unit {
    double size;
    std::string_view letter;
  };
  for (const Unit unit : {Unit{1e9, "G"}, Unit{1e6, "M"}, Unit{1e3, "k"}, Unit{1, ""}}) {
    // 999.6 would be written 1000 in its own unit: it belongs to the next.
    if (count < unit.size * (1 - 5e-4) && unit.size > 1) continue;
    const double scaled = count / unit.size;
    const int decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f}{}", scaled, decimals, unit.letter);
  }
  return fmt::format("{}", count);
}

}  // namespace haze
