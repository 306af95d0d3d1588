#include "haze/tools/run/run_state.h"

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "error_of.h"

using namespace haze;
using namespace haze::testing;

namespace {

RunState full_state() {
  RunState state;
  state.generator = {std::numeric_limits<uint64_t>::max(), 2, uint64_t{1} << 63};
  state.data = {3, 17};
  // A third, a sum that looks like an integer, and names that TOML has to escape.
  state.sums = {{"loss", 1.0 / 3, 2}, {"gradient_norm", 4, 2}, {"a \"quoted\" \\ name", -1e300, 1}};
  state.metrics_rows = 12;
  state.evaluation_due = true;
  state.best = BestEvaluation{2.5, 40};
  state.origins = {{"train", "10 bytes, CRC-32 00c0ffee"},
                   {"valid", "\"two-moons\", 20 points, seed 1"},
                   {"toy.run", "18088 bytes, CRC-32 a9ed290b"}};
  return state;
}

/// The state as it is written, with one line replaced.
std::string with_line(const std::string& line, const std::string& replacement) {
  std::string text = print_state(full_state());
  const size_t at = text.find("\n" + line);
  REQUIRE(at != std::string::npos);
  const size_t end = text.find('\n', at + 1);
  return text.replace(at + 1, end - at - 1, replacement);
}

}  // namespace

TEST_CASE("a run's state reads back as what was written, bit for bit") {
  const RunState state = full_state();
  const RunState read = parse_state(print_state(state));
  CHECK(read.generator.seed == state.generator.seed);
  CHECK(read.generator.stream == state.generator.stream);
  CHECK(read.generator.counter == state.generator.counter);
  CHECK(read.data == state.data);
  REQUIRE(read.sums.size() == state.sums.size());
  for (size_t i = 0; i < state.sums.size(); ++i) {
    CHECK(read.sums[i].name == state.sums[i].name);
    CHECK(read.sums[i].sum == state.sums[i].sum);
    CHECK(read.sums[i].count == state.sums[i].count);
  }
  CHECK(read.metrics_rows == state.metrics_rows);
  CHECK(read.evaluation_due);
  REQUIRE(read.best);
  CHECK(read.best->value == 2.5);
  CHECK(read.best->step == 40);
  for (const auto& [name, fingerprint] : state.origins) CHECK(read.fingerprint(name) == fingerprint);
  CHECK(print_state(read) == print_state(state));
}

TEST_CASE("a run's state reads back where nothing has been logged or evaluated") {
  RunState state;
  state.origins = {{"train", "a"}, {"valid", "b"}};
  const RunState read = parse_state(print_state(state));
  CHECK(read.sums.empty());
  CHECK_FALSE(read.metrics_rows);
  CHECK_FALSE(read.evaluation_due);
  CHECK_FALSE(read.best);
  CHECK(print_state(read) == print_state(state));
}

TEST_CASE("a logged sum that is not finite reads back as it is") {
  RunState state = full_state();
  state.sums = {{"weight", std::numeric_limits<double>::infinity(), 1},
                {"share", -std::numeric_limits<double>::infinity(), 1},
                {"other", std::nan(""), 1}};
  const RunState read = parse_state(print_state(state));
  CHECK(read.sums[0].sum == std::numeric_limits<double>::infinity());
  CHECK(read.sums[1].sum == -std::numeric_limits<double>::infinity());
  CHECK(std::isnan(read.sums[2].sum));
}

TEST_CASE("the state of settings version 1 holds the loss alone, and nothing of it where none was logged") {
  const std::string rest =
      "evaluation_due = false\n[generator]\nseed = 1\nstream = 2\ncounter = 579\n[data]\nepoch = 0\nposition "
      "= "
      "24\n[files]\ntrain = \"a\"\nvalid = \"b\"\n";
  const RunState logged = parse_state("[metrics]\nloss_sum = 7\nloss_count = 2\n" + rest);
  REQUIRE(logged.sums.size() == 1);
  CHECK(logged.sums[0].name == "loss");
  CHECK(logged.sums[0].sum == 7);
  CHECK(logged.sums[0].count == 2);
  CHECK_FALSE(logged.metrics_rows);
  CHECK(parse_state("[metrics]\nloss_sum = 0\nloss_count = 0\n" + rest).sums.empty());
}

TEST_CASE("a state that lacks a value or has an impossible one is refused in one sentence that names it") {
  struct Change {
    const char *line, *replacement, *what;
  };
  const std::vector<Change> changes = {
      {"seed = ", "", "generator.seed is missing"},
      {"counter = ", "counter = \"9\"", "generator.counter is damaged"},
      {"stream = ", "stream = 2.0", "generator.stream is damaged"},
      {"epoch = ", "epoch = -1", "data.epoch is damaged"},
      {"position = ", "position = -3", "data.position is damaged"},
      {"position = ", "", "data.position is missing"},
      {"evaluation_due = ", "evaluation_due = 1", "metrics.evaluation_due is damaged"},
      {"rows = ", "rows = -1", "metrics.rows is damaged"},
      {"rows = ", "rows = \"12\"", "metrics.rows is damaged"},
      {"sums = ", "", "metrics.sums is missing"},
      {"sums = ", "sums = 4", "metrics.sums is missing"},
      {"sums = ", "sums = [[\"loss\", 1.0]]", "metrics.sums is damaged"},
      {"sums = ", "sums = [[\"loss\", \"1.0\", 1]]", "metrics.sums is damaged"},
      {"sums = ", "sums = [[\"loss\", 1.0, 0]]", "metrics.sums is damaged"},
      {"sums = ", "sums = [[\"loss\", 1.0, -2]]", "metrics.sums is damaged"},
      {"sums = ", "sums = [\"loss\"]", "metrics.sums is damaged"},
      {"value = ", "", "best.value is missing"},
      {"value = ", "value = nan", "best.value is damaged"},
      {"value = ", "value = -inf", "best.value is damaged"},
      {"step = ", "step = -4", "best.step is damaged"},
      {"\"train\" = ", "", "files.train is missing"},
      {"\"valid\" = ", "valid = 3", "files.valid is damaged"},
      {"\"toy.run\" = ", "\"toy.run\" = [1]", "files.toy.run is damaged"},
      {"[files]", "", "files.train is missing"},
  };
  for (const Change& change : changes) {
    const std::string text = with_line(change.line, change.replacement);
    CAPTURE(text);
    CHECK(error_of([&] { parse_state(text); }) ==
          std::string("state.toml of the checkpoint: ") + change.what);
  }
}

TEST_CASE("a state that is not TOML, or no table of sections, is refused in one sentence") {
  for (const char* text : {"[generator", "seed = = 1", "\"", "[a]\nb = 1\nb = 2\n", "\xff\xfe"}) {
    CAPTURE(text);
    const std::string sentence = error_of([&] { parse_state(text); });
    CHECK(sentence.starts_with("state.toml of the checkpoint: "));
    CHECK(sentence.find('\n') == std::string::npos);
  }
  RunState state = full_state();
  state.best.reset();
  CHECK(error_of([&] { parse_state("best = 3\n" + print_state(state)); }) ==
        "state.toml of the checkpoint: best.value is missing");
  CHECK(error_of([] { parse_state(""); }) == "state.toml of the checkpoint: generator.seed is missing");
}

TEST_CASE("a run does not stand on what its state does not name") {
  CHECK(error_of([] { full_state().fingerprint("other.run"); }) ==
        "state.toml of the checkpoint: files.other.run is missing");
}
