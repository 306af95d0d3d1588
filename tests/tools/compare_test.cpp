#include <chrono>
#include <map>
#include <thread>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/nn/checkpoint.h"
#include "haze/tools/run/compare_runs.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/result_table.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/trainer.h"

#include "error_of.h"
#include "program.h"

using namespace haze;
using namespace haze::testing;

namespace {

namespace fs = std::filesystem;

/// A table whose runs take a second all together: a tiny network on a tiny built-in corpus.
std::string table_toml(const fs::path& folder, const std::string& steps = "8", const std::string& more = "") {
  return fmt::format(R"(title = "Two widths"
runs = "{}"
seeds = [1, 2]
set = ["model=autoregressive", "transformer.layers=1", "transformer.heads=2", "train.steps={}",
       "train.batch_size=4", "train.log_every=1", "data.corpus_size=100", "train.evaluate_examples=4"]
columns = ["nats_per_token", {{ measure = "perplexity", heading = "PPL" }}, "parameters", "loss"]
[evaluation]
examples = 6
samples = 2
[[rows]]
name = "narrow"
set = ["transformer.hidden=8"]
[[rows]]
name = "wide"
set = ["transformer.hidden=16"]
{})",
                     (folder / "runs").string(), steps, more);
}

CompareTable table_in(const TemporaryFolder& folder, const std::string& toml) {
  write_text(folder / "table.toml", toml);
  return read_compare_table(folder / "table.toml");
}

ProgressOutput written_to(std::string& lines) {
  return {.interactive = false,
          .unicode = false,
          .write = [&lines](std::string_view text) { lines += text; },
          .now = [] { return 0.0; },
          .width = [] { return 80; }};
}

/// Completes a table; what was said on the way.
std::string complete(const CompareTable& table) {
  std::string lines;
  std::vector<CompareRun> runs = find_runs(table);
  complete_runs(table, runs, written_to(lines));
  return lines;
}

/// A terminal at which somebody presses Ctrl-C when what is shown begins so.
ProgressOutput pressing_keys_at(std::string_view beginning) {
  return {.interactive = true,
          .unicode = false,
          .write =
              [beginning](std::string_view text) {
                if (text.starts_with(beginning)) raise(SIGINT);
              },
          .now = [] { return 0.0; },
          .width = [] { return 80; }};
}

/// Trains a table's run to a step and leaves it there.
void break_off(const CompareTable& table, size_t row, int64_t seed, int64_t step) {
  std::string lines;
  TrainOptions options;
  options.run_folder = table.runs / run_name(table.rows[row].name, seed);
  options.stop_at = step;
  options.progress = written_to(lines);
  Settings settings = table.rows[row].training;
  settings.set("train.seed", seed);
  Trainer::start(settings, options)->run();
}

std::string weights_of(const fs::path& run) {
  return read_text(latest_checkpoint_of(run) / "model.safetensors");
}

std::map<std::string, std::string> contents_of(const fs::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_directory()) contents[entry.path().string()] = read_text(entry.path());
  }
  return contents;
}

}  // namespace

TEST_CASE("a table trains and evaluates what is missing, and a second call has nothing to do") {
  const TemporaryFolder folder;
  const CompareTable table = table_in(folder, table_toml(folder.path()));
  CHECK(!fs::exists(table.runs));
  const std::string said = complete(table);
  CHECK(said.find("run 1 of 4: narrow, seed 1: training in ") == 0);
  CHECK(said.find("run 4 of 4: wide, seed 2: evaluating\n") != std::string::npos);
  const auto before = contents_of(folder.path());
  CHECK(complete(table) == "");
  CHECK(contents_of(folder.path()) == before);

  const std::vector<CompareRun> runs = find_runs(table);
  REQUIRE(runs.size() == 4);
  for (const CompareRun& run : runs) {
    CHECK(run.finished);
    CHECK(run.step == 8);
    CHECK(run.find("steps")->value == 8);
    CHECK(run.find("examples_seen")->value == 32);
    CHECK(run.find("training_seconds"));
    int64_t parameters = 0;
    const SavedModel saved = load_model(run.folder);
    for (const NamedParameter& parameter : saved.model->parameters())
      parameters += parameter.variable->value().elements();
    CHECK(run.find("parameters")->value == static_cast<double>(parameters));
  }
  const ResultTable result = result_table(table, runs);
  const double first = runs[0].report->at("perplexity").value;
  const double second = runs[1].report->at("perplexity").value;
  CHECK(result.rows[0].cells[1]->mean == doctest::Approx((first + second) / 2).epsilon(1e-14));
  CHECK(*result.rows[0].cells[1]->error == doctest::Approx(std::abs(first - second) / 2).epsilon(1e-12));
  CHECK(!result.rows[0].cells[3]);
}

TEST_CASE("an evaluation that is kept comes back as it was made, and others are made anew") {
  const TemporaryFolder folder;
  const std::string toml = table_toml(folder.path(), "2");
  const CompareTable table = table_in(folder, toml);
  complete(table);
  const CompareRun before = find_runs(table)[0];
  const ProgramResult alone = run_program(
      {"eval", before.folder.string(), "--examples", "6", "--samples", "2", "--seed", "2", "--json"});
  REQUIRE(alone.status == 0);
  const auto json = nlohmann::json::parse(alone.output);
  for (const Measure& measure : before.report->measures)
    CHECK(json[measure.name] == doctest::Approx(measure.value).epsilon(1e-6));

  const CompareTable other = table_in(folder, toml + "eval_set = [\"sample.temperature=0.5\"]\n");
  CHECK(find_runs(other)[0].report);
  CHECK(find_runs(other)[2].finished);
  CHECK(!find_runs(other)[2].report);
  const std::string said = complete(other);
  CHECK(said.find("run 3 of 4: wide, seed 1: evaluating\nrun 4 of 4: wide, seed 2: evaluating\n") == 0);
  CHECK(said.find("training") == std::string::npos);
  CHECK(complete(table) == "");
}

TEST_CASE("runs of one row are evaluated with different random numbers, those of one seed with the same") {
  const TemporaryFolder folder;
  const std::string toml = fmt::format(R"(runs = "{}"
seeds = [1, 2]
set = ["model=mdlm", "transformer.layers=1", "transformer.heads=2", "transformer.hidden=8", "train.steps=1",
       "optimizer.learning_rate=1e-12", "train.batch_size=4", "data.corpus_size=100",
       "train.evaluate_examples=4"]
[evaluation]
examples = 6
samples = 0
seed = 5
[[rows]]
name = "a"
[[rows]]
name = "b"
)",
                                       (folder / "runs").string());
  const CompareTable table = table_in(folder, toml);
  CHECK(evaluation_of(table, 2).seed == 7);
  CHECK(evaluation_of(table, 2).examples == 6);
  complete(table);
  const std::vector<CompareRun> runs = find_runs(table);
  const auto of_seed = [&](const fs::path& run, const std::string& seed) {
    const ProgramResult alone =
        run_program({"eval", run.string(), "--examples", "6", "--samples", "0", "--seed", seed, "--json"});
    return nlohmann::json::parse(alone.output).at("nats_per_token").get<double>();
  };
  REQUIRE(of_seed(runs[0].folder, "6") != of_seed(runs[0].folder, "7"));
  for (const size_t i : {0, 1}) {
    const double expected = of_seed(runs[i].folder, fmt::format("{}", 6 + i));
    CHECK(runs[i].report->at("nats_per_token").value == doctest::Approx(expected).epsilon(1e-6));
    CHECK(runs[i + 2].report->at("nats_per_token").value == runs[i].report->at("nats_per_token").value);
  }
}

TEST_CASE("an evaluation is made anew where its data file has changed") {
  const TemporaryFolder folder;
  const fs::path data = folder / "data.txt";
  write_text(data, "one text\nanother one\n");
  const CompareTable table = table_in(
      folder, table_toml(folder.path(), "2",
                         fmt::format("data = \"{}\"\neval_set = [\"data.format=lines\"]\n", data.string())));
  complete(table);
  CHECK(find_runs(table)[2].report->subject == data.string());
  write_text(data, "one text\nanother one\na third\n");
  CHECK(find_runs(table)[0].report);
  CHECK(!find_runs(table)[2].report);
  complete(table);
  CHECK(find_runs(table)[2].report->at("texts").value == 3);
}

TEST_CASE("a run that was broken off goes on, and ends with the bits of one in one go") {
  const TemporaryFolder whole, broken;
  const CompareTable whole_table = table_in(whole, table_toml(whole.path()));
  complete(whole_table);
  const CompareTable table = table_in(broken, table_toml(broken.path()));
  break_off(table, 0, 2, 3);
  CHECK(find_runs(table)[1].step == 3);
  const std::string plan = describe_plan(table, find_runs(table));
  CHECK(plan.find("run 1 of 4: narrow, seed 1: to be trained, 8 steps (") == 0);
  CHECK(plan.find("run 2 of 4: narrow, seed 2: to be trained on from step 3 of 8 (") != std::string::npos);
  complete(table);
  for (const char* run : {"narrow-seed-1", "narrow-seed-2", "wide-seed-1", "wide-seed-2"})
    CHECK(weights_of(table.runs / run) == weights_of(whole_table.runs / run));
  // Nobody measured the first three steps of this one.
  CHECK(!find_runs(table)[1].find("training_seconds"));
  CHECK(find_runs(table)[0].find("training_seconds"));
}

TEST_CASE("rows that differ in their evaluation alone share their runs") {
  const TemporaryFolder folder;
  const CompareTable table =
      table_in(folder, table_toml(folder.path(), "2",
                                  "[[rows]]\nname = \"wide, beam\"\nset = [\"transformer.hidden=16\", "
                                  "\"sample.sampler=beam\"]\nseeds = [2, 3]\n"));
  CHECK(describe_plan(table, find_runs(table))
            .find("run 5 of 6: wide, beam, seed 2: to be evaluated; it shares the run of wide (") !=
        std::string::npos);
  complete(table);
  const std::vector<CompareRun> runs = find_runs(table);
  CHECK(runs[4].folder == runs[3].folder);
  CHECK(runs[5].folder == table.runs / "wide--beam-seed-3");
  CHECK(!fs::exists(table.runs / "wide--beam-seed-2"));
  CHECK(complete(table) == "");
}

TEST_CASE("a run of other settings is refused, and never touched") {
  const TemporaryFolder folder;
  complete(table_in(folder, table_toml(folder.path(), "2")));
  const auto before = contents_of(folder / "runs");
  const CompareTable changed = table_in(folder, table_toml(folder.path(), "3"));
  CHECK(error_of([&] { find_runs(changed); }) ==
        fmt::format("{0}/table.toml:11: the run in {0}/runs/narrow-seed-1 has train.steps = 2, and the row "
                    "'narrow' asks for 3; rename the row or 'runs' to keep that run, or remove its folder to "
                    "train it anew",
                    folder.path().string()));
  CHECK(contents_of(folder / "runs") == before);
}

TEST_CASE("folders that cannot be a run's are refused before anything is trained") {
  const TemporaryFolder folder;
  const CompareTable table = table_in(folder, table_toml(folder.path(), "2"));
  const fs::path run = table.runs / "wide-seed-1";
  fs::create_directories(run);
  write_text(run / "thesis.txt", "all my work");
  CHECK(error_of([&] { complete(table); }) ==
        fmt::format("{}/table.toml:14: {} is not the folder of a run; rename the row or 'runs'",
                    folder.path().string(), run.string()));
  CHECK(!fs::exists(table.runs / "narrow-seed-1"));
  fs::remove_all(run);
  break_off(table, 1, 1, 1);
  write_text(latest_checkpoint_of(run) / "model.safetensors", "damaged");
  CHECK(error_of([&] { complete(table); }).find("has no whole checkpoint (") != std::string::npos);
  fs::remove_all(table.runs);
  write_text(table.runs, "a file");
  CHECK(error_of([&] { complete(table); }) == table.runs.string() + " is no folder that runs could be in");
}

TEST_CASE("haze compare prints a table in every format, or writes it to a file") {
  const TemporaryFolder folder;
  write_text(folder / "table.toml", table_toml(folder.path(), "2"));
  const std::string file = (folder / "table.toml").string();
  const ProgramResult plan = run_program({"compare", file, "--dry-run"});
  CHECK(plan.status == 0);
  CHECK(plan.output.find("run 4 of 4: wide, seed 2: to be trained, 2 steps (") != std::string::npos);
  CHECK(!fs::exists(folder / "runs"));
  const ProgramResult first = run_program({"compare", file, "--threads", "1"});
  CHECK(first.status == 1);  // one of its columns, "loss", is empty
  CHECK(first.output.find("Two widths\n") == 0);
  CHECK(first.error.find("haze: no row has the measure 'loss'; there are bits_per_token, ") !=
        std::string::npos);
  const ProgramResult second = run_program({"compare", file});
  CHECK(second.output == first.output);
  CHECK(second.error.find("training") == second.error.find("training_seconds"));
  CHECK(run_program({"compare", file, "--format", "markdown"}).output.find("| narrow | 2 | ") !=
        std::string::npos);
  const ProgramResult json = run_program({"compare", file, "--json"});
  CHECK(nlohmann::json::parse(json.output)["rows"].size() == 2);
  const std::string out = (folder / "table.svg").string();
  const ProgramResult svg = run_program({"compare", file, "--format", "svg", "--out", out});
  CHECK(svg.status == 1);
  CHECK(svg.output == "");
  CHECK(read_text(out).ends_with("</svg>\n"));
}

TEST_CASE("haze compare refuses a misspelt measure before it trains") {
  const TemporaryFolder folder;
  std::string toml = table_toml(folder.path(), "2");
  toml.replace(toml.find("nats_per_token"), 14, "nats_per_tokne");
  write_text(folder / "table.toml", toml);
  const std::string file = (folder / "table.toml").string();
  const ProgramResult misspelt = run_program({"compare", file});
  CHECK(misspelt.status == 1);
  CHECK(misspelt.error ==
        "haze: " + file + ":6: there is no measure 'nats_per_tokne'; did you mean 'nats_per_token'?\n");
  toml.replace(toml.find("nats_per_tokne"), 14, "modes_covered");
  write_text(folder / "table.toml", toml);
  // It is a measure of tensors, and the rows are of texts.
  CHECK(run_program({"compare", file})
            .error.find("there is no measure 'modes_covered'; there are bits_per_token, ") !=
        std::string::npos);
  CHECK(!fs::exists(folder / "runs"));
}

TEST_CASE("every measure that an evaluation or a run's costs hold is known before training") {
  const TemporaryFolder folder;
  const std::string texts = table_toml(folder.path(), "2");
  const std::string masked =
      "[[rows]]\nname = \"masked\"\nset = [\"transformer.hidden=8\", \"model=mdlm\"]\n";
  const std::string points = fmt::format(R"(
runs = "{}"
seeds = [1]
set = ["train.steps=2", "mlp.hidden=8", "data.train_size=40", "data.valid_size=20", "model=ddpm", "ddpm.steps=3"]
[[rows]]
name = "points"
)",
                                         (folder / "points").string());
  for (const std::string& toml : {texts + masked, points}) {
    CompareTable table = table_in(folder, toml);
    complete(table);
    table.columns.clear();
    for (const CompareRun& run : find_runs(table)) {
      for (const Measure& measure : run.report->measures) table.columns.push_back({measure.name, "", {}});
      for (const Measure& measure : run.costs) table.columns.push_back({measure.name, "", {}});
    }
    CHECK(table.columns.size() > 10);
    check_columns(table);
  }
}

TEST_CASE("haze compare says what is wrong with its arguments") {
  const TemporaryFolder folder;
  write_text(folder / "table.toml", table_toml(folder.path(), "2"));
  const std::string file = (folder / "table.toml").string();
  const ProgramResult format = run_program({"compare", file, "--format", "pdf"});
  CHECK(format.status == 2);
  CHECK(format.error == "haze compare: --format takes text, markdown, json or svg, not 'pdf'\n");
  CHECK(run_program({"compare"}).error == "haze compare: the argument 'file' is missing\n");
  const std::string out = (folder / "none" / "table.md").string();
  const ProgramResult nowhere = run_program({"compare", file, "--out", out});
  CHECK(nowhere.status == 1);
  CHECK(nowhere.error ==
        fmt::format("haze: --out {}: there is no folder {}\n", out, (folder / "none").string()));
  CHECK(run_program({"compare", file, "--out", folder.path().string()}).error ==
        fmt::format("haze: --out {}: this is a folder, not a file\n", folder.path().string()));
}

TEST_CASE("Ctrl-C before a run's first step is no obstacle to the next call") {
  const TemporaryFolder folder;
  const CompareTable table = table_in(folder, table_toml(folder.path(), "2"));
  std::vector<CompareRun> runs = find_runs(table);
  CHECK_THROWS_AS(complete_runs(table, runs, pressing_keys_at("\rtraining")), Interrupted);
  CHECK(read_checkpoint(latest_checkpoint_of(runs[0].folder)).step == 0);
  CHECK(complete(table).find("run 1 of 4: narrow, seed 1: training in ") == 0);
  CHECK(find_runs(table)[0].report);
}

TEST_CASE("Ctrl-C breaks an evaluation off, and the next call makes it anew") {
  const TemporaryFolder folder;
  const std::string toml = table_toml(folder.path(), "2");
  complete(table_in(folder, toml));
  const CompareTable table = table_in(folder, toml + "eval_set = [\"sample.temperature=0.5\"]\n");
  std::vector<CompareRun> runs = find_runs(table);
  CHECK_THROWS_AS(complete_runs(table, runs, pressing_keys_at("\revaluating")), Interrupted);
  CHECK(!find_runs(table)[2].report);
  CHECK(complete(table).find("run 3 of 4: wide, seed 1: evaluating\n") == 0);
}

TEST_CASE("Ctrl-C stops a table with a checkpoint and status 130, and the next call goes on") {
  const TemporaryFolder folder;
  const CompareTable table = table_in(folder, table_toml(folder.path(), "400"));
  const fs::path run = table.runs / "narrow-seed-1";
  RunningProgram program({"compare", (folder / "table.toml").string(), "--threads", "1"});
  while (!fs::exists(run / "metrics.jsonl") || read_text(run / "metrics.jsonl").empty())
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  program.send(SIGINT);
  CHECK(program.wait() == 130);
  CHECK(program.output() == "");
  CHECK(program.error().ends_with("haze: stopped by Ctrl-C\n"));
  const CompareRun broken = find_runs(table)[0];
  CHECK(broken.step > 0);
  CHECK(broken.step < 400);
  CHECK(run_program({"compare", (folder / "table.toml").string(), "--threads", "1"}).status == 1);
  const CompareRun finished = find_runs(table)[0];
  CHECK(finished.step == 400);
  // Both sessions were measured.
  CHECK(finished.find("training_seconds")->value > 0);
}
