#include "haze/tools/run/run_state.h"

#include <cmath>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"
#include "haze/nn/settings.h"
#include "haze/tools/text/utf8.h"

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

[[noreturn]] void fail_damaged(const char* section, std::string_view key) {
  fail("state.toml of the checkpoint: {}.{} is damaged", section, key);
}

template <typename Value>
Value value_at(const toml::table& table, const char* section, std::string_view key) {
  const auto node = table[section][key];
  if (!node) fail("state.toml of the checkpoint: {}.{} is missing", section, key);
  const auto found = node.template value_exact<Value>();
  if (!found) fail_damaged(section, key);
  return *found;
}

int64_t count_at(const toml::table& table, const char* section, std::string_view key) {
  const auto count = value_at<int64_t>(table, section, key);
  if (count < 0) fail_damaged(section, key);
  return count;
}

// Settings version 1 kept the loss alone, and wrote a sum that is 0 as an integer.
std::vector<LogSum> sums_of_version_1(const toml::table& table) {
  const int64_t count = count_at(table, "metrics", "loss_count");
  if (count == 0) return {};
  const auto sum = table["metrics"]["loss_sum"].value<double>();
  if (!sum) fail_damaged("metrics", "loss_sum");
  return {{"loss", *sum, count}};
}

std::vector<LogSum> sums_of(const toml::table& table) {
  if (table["metrics"]["loss_sum"]) return sums_of_version_1(table);
  std::vector<LogSum> sums;
  const toml::array* rows = table["metrics"]["sums"].as_array();
  if (!rows) fail("state.toml of the checkpoint: metrics.sums is missing");
  for (const toml::node& row : *rows) {
    const toml::array* parts = row.as_array();
    const auto name = parts && parts->size() == 3 ? (*parts)[0].value_exact<std::string>() : std::nullopt;
    const auto sum = name ? (*parts)[1].value_exact<double>() : std::nullopt;
    const auto count = sum ? (*parts)[2].value_exact<int64_t>() : std::nullopt;
    if (!count || *count < 1) fail_damaged("metrics", "sums");
    sums.push_back({*name, *sum, *count});
  }
  return sums;
}

}  // namespace

const std::string& RunState::fingerprint(std::string_view name) const {
  for (const auto& [origin, value] : origins) {
    if (origin == name) return value;
  }
  fail("state.toml of the checkpoint: files.{} is missing", name);
}

std::string print_state(const RunState& state) {
  std::string text = fmt::format(
      "[generator]\nseed = {}\nstream = {}\ncounter = {}\n\n[data]\nepoch = {}\nposition = {}\n\n"
      "[metrics]\nevaluation_due = {}\n",
      as_signed(state.generator.seed), as_signed(state.generator.stream), as_signed(state.generator.counter),
      state.data.epoch, state.data.position, state.evaluation_due);
  if (state.metrics_rows) text += fmt::format("rows = {}\n", *state.metrics_rows);
  std::vector<std::string> sums;
  for (const LogSum& sum : state.sums)
    sums.push_back(fmt::format("[{}, {}, {}]", print_value(sum.name), print_real(sum.sum), sum.count));
  text += fmt::format("sums = [{}]\n", fmt::join(sums, ", "));
  if (state.best)
    text += fmt::format("\n[best]\nvalue = {}\nstep = {}\n", print_real(state.best->value), state.best->step);
  // TOML holds UTF-8 alone.
  if (!state.working_folder.empty() && !first_invalid_utf8(state.working_folder))
    text += fmt::format("\n[run]\nworking_folder = {}\n", print_value(state.working_folder));
  text += "\n[files]\n";
  for (const auto& [name, fingerprint] : state.origins)
    text += fmt::format("{} = {}\n", print_value(name), print_value(fingerprint));
  return text;
}

RunState parse_state(const std::string& text) {
  require_shallow(text, "state.toml of the checkpoint");
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
  state.data = {count_at(table, "data", "epoch"), count_at(table, "data", "position")};
  state.sums = sums_of(table);
  if (table["metrics"]["rows"]) state.metrics_rows = count_at(table, "metrics", "rows");
  state.evaluation_due = value_at<bool>(table, "metrics", "evaluation_due");
  if (table["best"]) {
    state.best = {value_at<double>(table, "best", "value"), count_at(table, "best", "step")};
    // Nothing is better than NaN: no evaluation would be the best again.
    if (!std::isfinite(state.best->value)) fail_damaged("best", "value");
  }
  if (table["run"]) state.working_folder = value_at<std::string>(table, "run", "working_folder");
  for (const char* name : {"train", "valid"})
    state.origins.emplace_back(name, value_at<std::string>(table, "files", name));
  for (const auto& [name, fingerprint] : *table["files"].as_table()) {
    if (name.str() == "train" || name.str() == "valid") continue;
    const auto value = fingerprint.value_exact<std::string>();
    if (!value) fail_damaged("files", name.str());
    state.origins.emplace_back(name.str(), *value);
  }
  return state;
}

}  // namespace haze
