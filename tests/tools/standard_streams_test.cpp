#include "haze/tools/run/standard_streams.h"

#include <csignal>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/run/metrics.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;

namespace {

constexpr int kNobodyReads = 128 + SIGPIPE;

std::vector<std::string> short_training(const fs::path& run, const std::string& more = "train.steps=20") {
  std::vector<std::string> assignments = tiny_assignments();
  assignments.push_back(more);
  return train_arguments(run, assignments);
}

int64_t latest_step(const fs::path& run) {
  return latest_checkpoint(run).step;
}

}  // namespace

TEST_CASE("a training whose output nobody reads goes on to its last step") {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_script("\"$HAZE\" " + in_script(short_training(folder / "run")) + " 2>&1 | true");
  CHECK(result.status == kNobodyReads);
  CHECK(result.output.empty());
  CHECK(result.error.empty());
  CHECK(latest_step(folder / "run") == 20);
  CHECK(fs::exists(folder / "run" / "plot.svg"));
}

TEST_CASE("Ctrl-C that ends the reader of the output too leaves a checkpoint, and the status is 130") {
  const TemporaryFolder folder;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  RunningProgram program(short_training(folder / "run", "train.steps=100000"), ends[1], ends[1]);
  close(ends[1]);
  close(ends[0]);
  program.wait_until([&] { return !read_text(folder / "run" / "metrics.jsonl").empty(); });
  program.send(SIGINT);
  CHECK(program.wait() == 130);
  CHECK(latest_step(folder / "run") > 0);
}

TEST_CASE("a program whose standard streams are closed writes nothing of them into its files") {
  const TemporaryFolder folder;
  const std::string train = "\"$HAZE\" " + in_script(short_training(folder / "run"));
  const ProgramResult result =
      run_script(train + " --stop-at 10 <&- >&- 2>&-\n\"$HAZE\" train --resume --out " +
                 in_script({(folder / "run").string()}) + " <&- >&- 2>&-");
  CHECK(result.status == 0);
  CHECK(read_text(folder / "run" / "run.lock").empty());
  CHECK(latest_step(folder / "run") == 20);
  const std::vector<MetricsRow> rows = read_metrics(folder / "run" / "metrics.jsonl");
  CHECK(rows.size() == 20 / 3 + 2);  // a line each train.log_every, and two evaluations
}

TEST_CASE("output of which only the beginning is read ends quietly") {
  const TemporaryFolder folder;
  write_text(folder / "texts", [] {
    std::string texts;
    for (int i = 0; i < 5000; ++i) texts += "A line that no grammar makes, and it is long enough .\n";
    return texts;
  }());
  const ProgramResult result =
      run_script("\"$HAZE\" data check --json " + in_script({(folder / "texts").string()}) + " | head -n 1");
  CHECK(result.status == kNobodyReads);
  CHECK(lines_of(result.output).size() == 1);
  CHECK(result.error.empty());
}

TEST_CASE("every command says so where its output cannot be written") {
  for (const char* command : {"--version", "--help", "help", "help sample", "train --help", "models",
                              "models --json", "lecture", "train --print-config", "data", "lab"}) {
    CAPTURE(command);
    const ProgramResult result = run_script(fmt::format("\"$HAZE\" {} >/dev/full", command));
    CHECK(result.status == 1);
    CHECK(result.error == "haze: cannot write the output: No space left on device\n");
  }
}

TEST_CASE("a limit of file sizes is one sentence, not a signal, and the checkpoint before stays whole") {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  const std::string train = "\"$HAZE\" " + in_script(short_training(run));
  const ProgramResult result = run_script(
      train + " --stop-at 10 && ulimit -f 64 && \"$HAZE\" train --resume --out " + in_script({run.string()}));
  CHECK(result.status == 1);
  const std::string sentence = lines_of(result.error).back();
  CHECK(sentence.starts_with("haze: cannot write " + (run / "step-0000").string()));
  CHECK(sentence.ends_with("/model.safetensors: File too large"));
  CHECK(latest_step(run) == 10);
}

TEST_CASE("metrics that cannot be written end a run with a checkpoint of the last step") {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  fs::create_directory(run);
  write_text(run / "run.lock", "");
  fs::create_symlink("/dev/full", run / "metrics.jsonl");
  const std::string error = error_of([&] { Trainer::start(tiny_settings(), quiet(run))->run(); });
  CHECK(error == "step 3: cannot write the metrics " + (run / "metrics.jsonl").string() +
                     ": No space left on device; step-000003 is the checkpoint to go back to");
  CHECK(latest_step(run) == 3);
}
