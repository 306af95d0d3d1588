#include "haze/tools/run/run_state.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

// TOML's integers are signed: the 64 bits of a seed or counter are kept, whatever they are as a number.
int64_t as_signed(uint64_t bits) {
  return static_cast<int64_t>(bits);
}

/// A real as TOML reads it.
std::string print_real(double value) {
  const std::string digits = fmt::format("{}", value);
  return digits.find_first_of(".enf") == std::string::npos ? digits + ".0" : digits;
}

template <typename Value>
Value value_at(const toml::table& table, const char* section, std::string_view key) {
  const auto found = table[section][key].value<Value>();
  if (!found) fail("state.toml of the checkpoint: {}.{} is missing", section, key);
  return *found;
}

// Settings version 1 kept the loss alone.
std::vector<LogSum> sums_of(const toml::table& table) {
  if (table["metrics"]["loss_sum"]) {
    return {{"loss", value_at<double>(table, "metrics", "loss_sum"),
             value_at<int64_t>(table, "metrics", "loss_count")}};
  }
  std::vector<LogSum> sums;
  const toml::array* rows = table["metrics"]["sums"].as_array();
  if (!rows) fail("state.toml of the checkpoint: metrics.sums is missing");
  for (const toml::node& row : *rows) {
    const toml::array* parts = row.as_array();
    const auto name = parts && parts->size() == 3 ? (*parts)[0].value<std::string>() : std::nullopt;
    const auto sum = name ? (*parts)[1].value<double>() : std::nullopt;
    const auto count = sum ? (*parts)[2].value<int64_t>() : std::nullopt;
    if (!count) fail("state.toml of the checkpoint: metrics.sums is damaged");
    sums.push_back({*name, *sum, *count});
  }
  return sums;
}

}  // namespace

std::string print_state(const RunState& state) {
  std::string text = fmt::format(
      "[generator]\nseed = {}\nstream = {}\ncounter = {}\n\n[data]\nepoch = {}\nposition = {}\n\n"
      "[metrics]\nevaluation_due = {}\n",
      as_signed(state.generator.seed), as_signed(state.generator.stream), as_signed(state.generator.counter),
      state.data.epoch, state.data.position, state.evaluation_due);
  if (state.metrics_rows) text += fmt::format("rows = {}\n", *state.metrics_rows);
  std::vector<std::string> sums;
  for (const LogSum& sum : state.sums)
    sums.push_back(fmt::format("[\"{}\", {}, {}]", sum.name, print_real(sum.sum), sum.count));
  text += fmt::format("sums = [{}]\n", fmt::join(sums, ", "));
  if (state.best)
    text += fmt::format("\n[best]\nvalue = {}\nstep = {}\n", print_real(state.best->value), state.best->step);
  text += "\n[files]\n";
  for (const auto& [name, fingerprint] : state.origins)
    text += fmt::format("{} = \"{}\"\n", name, fingerprint);
  return text;
}

RunState parse_state(const std::string& text) {
  toml::table table;
  try {
    table = toml::parse(std::string_view(text));
  } catch (const toml::parse_error& error) {
    fail("state.toml of the checkpoint: {}", error.description());
  }
  const auto bits = [&](const char* key) {
    return static_cast<uint64_t>(value_at<int64_t>(table, "generator", key));
  };
  RunState state;
  state.generator = {bits("seed"), bits("stream"), bits("counter")};
  state.data = {value_at<int64_t>(table, "data", "epoch"), value_at<int64_t>(table, "data", "position")};
  state.sums = sums_of(table);
  state.metrics_rows = table["metrics"]["rows"].value<int64_t>();
  state.evaluation_due = value_at<bool>(table, "metrics", "evaluation_due");
  if (table["best"])
    state.best = {value_at<double>(table, "best", "value"), value_at<int64_t>(table, "best", "step")};
  for (const char* name : {"train", "valid"})
    state.origins.emplace_back(name, value_at<std::string>(table, "files", name));
  for (const auto& [name, fingerprint] : *table["files"].as_table()) {
    if (name.str() == "train" || name.str() == "valid") continue;
    state.origins.emplace_back(name.str(), fingerprint.value_or(std::string()));
  }
  return state;
}

}  // namespace haze
