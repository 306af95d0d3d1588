#include "haze/tools/run/trainer.h"

#include <csignal>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/masked_model.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"
#include "haze/nn/file_io.h"
#include "haze/nn/safetensors.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/configuration.h"
#include "haze/tools/run/version.h"

#include "temporary_folder.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

constexpr std::string_view kBound = "validation_nats_per_token";

/// 60 sentences of the corpus in the E2E format.
void write_sentences(const std::filesystem::path& path) {
  std::ofstream file(path);
  for (uint64_t i = 0; i < 60; ++i) file << e2e_line(generate_line(5, i)) << '\n';
}

struct ThreadsScope {
  explicit ThreadsScope(int count) : before(threads()) { set_threads(count); }
  ~ThreadsScope() { set_threads(before); }
  int before;
};

// Networks this small gain nothing from threads, and lose much on a busy machine.
TrainResult start_and_run(const Settings& settings, const TrainOptions& options) {
  const ThreadsScope one(1);
  return Trainer::start(settings, options)->run();
}

TrainResult resume_and_run(const TrainOptions& options) {
  const ThreadsScope one(1);
  return Trainer::resume(options)->run();
}

/// Options under which Ctrl-C is pressed once, as soon as the bar of an evaluation is on the terminal.
TrainOptions pressing_ctrl_c(const std::filesystem::path& run_folder) {
  TrainOptions options = quiet(run_folder);
  options.progress.interactive = true;
  options.progress.write = [pressed = std::make_shared<bool>(false)](std::string_view text) {
    if (*pressed || !text.starts_with("\revaluating")) return;
    *pressed = true;
    std::raise(SIGINT);
  };
  return options;
}

}  // namespace

TEST_CASE("20 steps, a resume and 20 more end with the bits of 40 steps in one go") {
  const std::vector<std::vector<std::string>> variants = {
      {},
      {"mdlm.draw=independent", "optimizer.schedule=linear", "mdlm.schedule=cosine"},
      {"model=d3pm", "d3pm.auxiliary=0.1", "optimizer.kind=adagrad"},
      {"transformer.time=adaptive", "transformer.positions=rotary"},
      {"optimizer.kind=sgd", "data.layout=packed", "data.max_length=30", "data.tokenizer=character"},
      {"transformer.checkpoint_activations=true", "transformer.norm=post"},
  };
#ifdef __SANITIZE_ADDRESS__  // where all of them take a minute: padded, discrete and packed
  constexpr size_t kEvery = 2;
#else
  constexpr size_t kEvery = 1;
#endif
  for (size_t i = 0; i < variants.size(); i += kEvery) {
    const auto& variant = variants[i];
    CAPTURE(variant.empty() ? "the defaults" : variant.front());
    const TemporaryFolder folder;
    const Settings settings = tiny_settings(variant);
    const TrainResult straight = start_and_run(settings, quiet(folder / "straight"));
    const TrainResult half = start_and_run(settings, quiet(folder / "resumed", 20));
    CHECK(half.step == 20);
    CHECK(half.last_step == 40);
    CHECK(latest_checkpoint(folder / "resumed").step == 20);
    const TrainResult rest = resume_and_run(quiet(folder / "resumed"));
    CHECK(rest.step == 40);
    check_same(latest_checkpoint(folder / "straight"), latest_checkpoint(folder / "resumed"));
    CHECK(read_text(folder / "straight" / "metrics.jsonl") ==
          read_text(folder / "resumed" / "metrics.jsonl"));
    REQUIRE(straight.evaluation);
    REQUIRE(rest.evaluation);
    CHECK(straight.evaluation->measures.front().value == rest.evaluation->measures.front().value);
    CHECK(straight.evaluation->measures.front().error == rest.evaluation->measures.front().error);
  }
}

TEST_CASE("training changes every parameter, and what it learns shows in the loss") {
  const TemporaryFolder folder;
  start_and_run(tiny_settings({"train.log_every=1"}), quiet(folder / "run", 1));
  const Checkpoint first = latest_checkpoint(folder / "run");
  resume_and_run(quiet(folder / "run"));
  const Checkpoint last = latest_checkpoint(folder / "run");
  for (size_t i = 0; i < first.model.size(); ++i) {
    CAPTURE(first.model[i].name);
    CHECK(first.model[i].tensor.to_vector<float>() != last.model[i].tensor.to_vector<float>());
  }
  CHECK(last.ema.size() == last.model.size() + 1);
  const std::vector<MetricsRow> rows = read_metrics(folder / "run" / "metrics.jsonl");
  CHECK(*rows.back().value(kBound) < *rows.front().value(kTrainingLoss) - 0.2);
}

TEST_CASE("metrics have each step's line once, after any number of resumes") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings({"train.log_every=1", "train.checkpoint_every=7"});
  start_and_run(settings, quiet(folder / "run", 9));
  for (int64_t stop : {10, 11, 25, 40, 40}) resume_and_run(quiet(folder / "run", stop));
  std::multiset<int64_t> losses, bounds;
  for (const MetricsRow& row : read_metrics(folder / "run" / "metrics.jsonl")) {
    if (row.value(kTrainingLoss)) losses.insert(row.step);
    if (row.value(kBound)) bounds.insert(row.step);
  }
  std::multiset<int64_t> every_step;
  for (int64_t step = 1; step <= 40; ++step) every_step.insert(step);
  CHECK(losses == every_step);
  CHECK(bounds == std::multiset<int64_t>{16, 32, 40});
  CHECK(std::filesystem::exists(folder / "run" / "plot.svg"));
}

TEST_CASE("one thread and two give the same bits") {
  const TemporaryFolder folder;
  const Settings settings =
      tiny_settings({"train.batch_size=32", "train.steps=3", "train.evaluate_examples=2"});
  for (int count : {1, 2}) {
    const ThreadsScope scope(count);
    Trainer::start(settings, quiet(folder / std::to_string(count)))->run();
  }
  check_same(latest_checkpoint(folder / "1"), latest_checkpoint(folder / "2"));
  CHECK(read_text(folder / "1" / "metrics.jsonl") == read_text(folder / "2" / "metrics.jsonl"));
}

TEST_CASE("a folder that holds a run is left as it is by a new one") {
  const TemporaryFolder folder;
  start_and_run(tiny_settings(), quiet(folder / "run", 2));
  const auto before = contents_of(folder.path());
  const std::string sentence = error_of([&] { Trainer::start(tiny_settings(), quiet(folder / "run")); });
  CHECK(sentence == (folder / "run").string() +
                        ": the folder holds a run already; go on with it by --resume, or choose another");
  CHECK(contents_of(folder.path()) == before);
}

TEST_CASE("going on with a run, a finished one too, clears away what a killed process left") {
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  start_and_run(tiny_settings(), quiet(run));
  std::filesystem::create_directory(unfinished_name(run / "step-000032"));
  std::ofstream(unfinished_name(run / "plot.svg")) << "<svg";
  resume_and_run(quiet(run));
  for (const auto& entry : std::filesystem::directory_iterator(run)) {
    CHECK_FALSE(is_unfinished_name(entry.path()));
  }
}

TEST_CASE("there is nothing to resume where there is no checkpoint") {
  const TemporaryFolder folder;
  const std::string sentence = error_of([&] { Trainer::resume(quiet(folder / "run")); });
  CHECK(sentence == (folder / "run").string() + ": there is no run to go on with");
  CHECK(contents_of(folder.path()).empty());
}

TEST_CASE("a run that was given up before its first checkpoint leaves no corpus to one of other settings") {
  const TemporaryFolder folder;
  Trainer::start(tiny_settings({"data.corpus_size=100"}), quiet(folder / "run"));
  start_and_run(tiny_settings({"train.seed=9"}), quiet(folder / "run", 2));
  start_and_run(tiny_settings({"train.seed=9"}), quiet(folder / "fresh", 2));
  check_same(latest_checkpoint(folder / "run"), latest_checkpoint(folder / "fresh"));
}

TEST_CASE("numbers that are not finite stop a run with one sentence and spoil no checkpoint") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings({"optimizer.learning_rate=1e30", "optimizer.warmup_steps=0"});
  const std::string sentence = error_of([&] { start_and_run(settings, quiet(folder / "run")); });
  CAPTURE(sentence);
  CHECK(sentence.starts_with("step 2: "));
  CHECK((sentence.find("nan") != std::string::npos || sentence.find("inf") != std::string::npos));
  CHECK(sentence.find('\n') == std::string::npos);
  CHECK_FALSE(find_latest_checkpoint(folder / "run"));
}

TEST_CASE("train.detect_nonfinite names the operation that first gave a number that is not finite") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings(
      {"optimizer.learning_rate=1e30", "optimizer.warmup_steps=0", "train.detect_nonfinite=true"});
  const std::string sentence = error_of([&] { start_and_run(settings, quiet(folder / "run")); });
  CAPTURE(sentence);
  // The first step makes weights of 1e30; squaring them is the first thing that float32 cannot hold.
  CHECK(sentence.find("the forward pass produced the first non-finite number, in a tensor of shape [") !=
        std::string::npos);
  CHECK(sentence.find('\n') == std::string::npos);
}

TEST_CASE("an evaluation that Ctrl-C breaks off is made up for on resuming, to the last bit") {
  const TemporaryFolder folder;
  start_and_run(tiny_settings(), quiet(folder / "straight"));
  const TrainResult stopped = start_and_run(tiny_settings(), pressing_ctrl_c(folder / "run"));
  CHECK(stopped.interrupted_by == SIGINT);
  CHECK(stopped.step == 16);
  CHECK_FALSE(stopped.evaluation);
  CHECK(latest_checkpoint(folder / "run").step == 16);
  const TrainResult rest = resume_and_run(quiet(folder / "run"));
  CHECK(rest.interrupted_by == 0);
  check_same(latest_checkpoint(folder / "straight"), latest_checkpoint(folder / "run"));
  CHECK(read_text(folder / "straight" / "metrics.jsonl") == read_text(folder / "run" / "metrics.jsonl"));
}

TEST_CASE("Ctrl-C in the evaluation after the last step leaves it to do, and resuming does it") {
  const TemporaryFolder folder;
  start_and_run(tiny_settings(), quiet(folder / "run", 39));
  CHECK(resume_and_run(pressing_ctrl_c(folder / "run")).interrupted_by == SIGINT);
  const TrainResult rest = resume_and_run(quiet(folder / "run"));
  CHECK(rest.step == 40);
  CHECK(rest.evaluation);
  CHECK(rest.interrupted_by == 0);
}

TEST_CASE("a run says which version of the program wrote its settings") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings();
  start_and_run(settings, quiet(folder / "run", 1));
  const std::string expected = fmt::format("# haze {}\n{}", program_version(), print_configuration(settings));
  CHECK(read_text(folder / "run" / "config.toml") == expected);
  CHECK(latest_checkpoint(folder / "run").text("config.toml") == expected);
}

TEST_CASE("the recorder keeps what a step saw, so that its loss can be computed again") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings({"transformer.dropout=0", "optimizer.ema=0"});
  TrainOptions options = quiet(folder / "run", 5);
  options.record_steps = 3;
  start_and_run(settings, options);
  const std::filesystem::path recorded = folder / "run" / "recorded";
  CHECK(read_text(recorded / "config.toml") == print_configuration(settings));
  const SafetensorsContents batches = read_safetensors(recorded / "batches.safetensors");
  CHECK(batches.tensors.size() == 3 * 8);

  const SavedModel saved = load_model(folder / "run");
  load_parameters(*saved.model, recorded / "initial.safetensors");
  const Denoiser& denoiser = dynamic_cast<const MaskedModel&>(*saved.model).denoiser();
  const std::vector<int32_t> offsets = batches.at("1.offsets").to_vector<int32_t>();
  std::vector<int64_t> lengths;
  for (size_t i = 1; i < offsets.size(); ++i) lengths.push_back(offsets[i] - offsets[i - 1]);
  CHECK(lengths.size() == 8);
  // The recorded weights times -log p, from the logits: another way than the fused loss that was trained on.
  const Tensor masked = batches.at("1.masked");
  const Variable logits = denoiser.logits(
      {batches.at("1.x_t"), Sequences::of_lengths(lengths), batches.at("1.time"), masked}, {});
  const std::vector<float> values = logits.value().to_vector<float>();
  const std::vector<int32_t> targets = batches.at("1.targets").to_vector<int32_t>();
  const std::vector<float> weights = batches.at("1.row_weights").to_vector<float>();
  const auto vocabulary = static_cast<size_t>(denoiser.vocabulary());
  double loss = 0;
  for (size_t row = 0; row < targets.size(); ++row) {
    double total = 0;
    for (size_t k = 0; k < vocabulary; ++k)
      total += std::exp(static_cast<double>(values[row * vocabulary + k]));
    const double logit = values[row * vocabulary + static_cast<size_t>(targets[row])];
    loss += weights[row] * (std::log(total) - logit);
  }
  CHECK(loss == doctest::Approx(batches.at("1.loss").item()).epsilon(1e-5));
  CHECK(batches.at("1.learning_rate").item() == doctest::Approx(1e-4));
  CHECK(batches.at("3.learning_rate").item() == doctest::Approx(3e-4));
}

TEST_CASE("more steps than the run has cannot be recorded") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(folder / "run");
  options.record_steps = 41;
  CHECK(error_of([&] { Trainer::start(tiny_settings(), options); }) ==
        "41 steps cannot be recorded of a run of 40");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("a run does not go on with data files that are not what they were") {
  const TemporaryFolder folder;
  write_sentences(folder / "train.txt");
  write_sentences(folder / "valid.txt");
  const std::string text = read_text(folder / "train.txt");
  const Settings settings = tiny_settings(
      {"data.train=" + (folder / "train.txt").string(), "data.valid=" + (folder / "valid.txt").string()});
  start_and_run(settings, quiet(folder / "run", 2));
  const auto resume = [&] { return error_of([&] { resume_and_run(quiet(folder / "run", 4)); }); };
  for (const char* name : {"train.txt", "valid.txt"}) {
    // One letter more, then another letter: the size tells the first, the checksum the second.
    std::string longer = text + ".", other = text;
    other[text.size() / 2] ^= 1;
    for (const std::string& changed : {longer, other}) {
      write_text(folder / name, changed);
      const std::string sentence = resume();
      CAPTURE(sentence);
      CHECK(sentence.starts_with((folder / name).string() + " has changed since the run began, from " +
                                 std::to_string(text.size()) + " bytes, CRC-32 "));
      CHECK(sentence.ends_with(": the run can only go on with the same texts"));
    }
    write_text(folder / name, text);
  }
  CHECK(latest_checkpoint(folder / "run").step == 2);
  CHECK(resume() == "no error");
  CHECK(latest_checkpoint(folder / "run").step == 4);
}

TEST_CASE("texts of one's own are found by a relative path and say where they are wrong") {
  const TemporaryFolder folder;
  write_sentences(folder / "train.txt");
  write_sentences(folder / "valid.txt");
  const auto relative = [&](const char* name) {
    return std::filesystem::relative(folder / name, std::filesystem::current_path()).string();
  };
  const auto start = [&](const std::vector<std::string>& more) {
    std::vector<std::string> assignments = {"data.train=" + relative("train.txt"),
                                            "data.valid=" + relative("valid.txt")};
    assignments.insert(assignments.end(), more.begin(), more.end());
    return error_of([&] { start_and_run(tiny_settings(assignments), quiet(folder / "run", 1)); });
  };

  CHECK(start({"data.format=jsonl"}).starts_with(relative("train.txt") + ":1: the line is not valid JSON"));
  CHECK(start({"data.max_length=10"}).starts_with(relative("train.txt") + ":"));
  CHECK(start({"data.train=nowhere.txt"}) == "nowhere.txt cannot be opened: No such file or directory");
  CHECK(start({"data.max_line_bytes=20"}) ==
        relative("train.txt") +
            ":1: the line is longer than 20 bytes; break it up or raise data.max_line_bytes");
  CHECK(start({"data.min_count=100000"}).find("lower min_count") != std::string::npos);
  write_text(folder / "valid.txt", "name : A||Good .\nno bars here\n");
  CHECK(start({}).starts_with(relative("valid.txt") + ":2: there is no \"||\""));
  // Nothing of this has begun a run.
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  write_sentences(folder / "valid.txt");
  CHECK(start({}) == "no error");
  CHECK(latest_checkpoint(folder / "run").step == 1);
}

TEST_CASE("a resumed run keeps the cut-off that it began with, given or chosen") {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 200; ++i)
    lines += fmt::format("the pub w{} is a pub or a bar near the old river .\n", i / 7);
  write_text(folder / "train.txt", lines);
  // One word in 14 is a w, and a w occurs 7 times: a cut-off of 8 would make 7% of the words unknown.
  for (const auto& [given, kept] : {std::pair{0, 7}, std::pair{9, 9}}) {
    const std::filesystem::path run = folder / fmt::format("run{}", given);
    const Settings settings = tiny_settings({"data.train=" + (folder / "train.txt").string(),
                                             "data.format=lines", fmt::format("data.min_count={}", given),
                                             "transformer.layers=1", "train.evaluate_examples=4"});
    start_and_run(settings, quiet(run, 1));
    const std::string tokens = latest_checkpoint(run).text("tokenizer.json");
    resume_and_run(quiet(run, 2));
    CHECK(latest_checkpoint(run).step == 2);
    CHECK(read_run_configuration(latest_checkpoint(run).text("config.toml"), "").integer("data.min_count") ==
          kept);
    CHECK(latest_checkpoint(run).text("tokenizer.json") == tokens);
    CHECK((tokens.find("\"w3\"") != std::string::npos) == (given == 0));
  }
}

TEST_CASE(
    "a profiled run has the bits of one that is not, and its operations take no longer than its steps") {
  const TemporaryFolder folder;
  const Settings settings = tiny_settings();
  start_and_run(settings, quiet(folder / "plain", kProfileWarmUp + 6));
  TrainOptions options = quiet(folder / "profiled");
  options.profile_steps = 6;
  const TrainResult result = start_and_run(settings, options);
  CHECK(result.step == kProfileWarmUp + 6);
  check_same(latest_checkpoint(folder / "plain"), latest_checkpoint(folder / "profiled"));

  REQUIRE(result.profile);
  const ProfileReport& report = *result.profile;
  CHECK(report.steps == 6);
  double in_operations = 0, in_phases = 0;
  for (const ProfileRow& row : report.rows) {
    in_operations += row.seconds;
    CHECK(!row.phase.empty());
  }
  std::vector<std::string> phases;
  for (const ProfilePhaseTime& phase : report.phases) {
    phases.push_back(phase.phase);
    in_phases += phase.seconds;
    CHECK(phase.outside_seconds >= 0);
  }
  CHECK(phases == std::vector<std::string>{"batch", "forward", "backward", "optimizer", "report"});
  CHECK(report.outside_seconds > 0);
  CHECK(in_operations + report.outside_seconds == doctest::Approx(report.step_seconds));
  CHECK(in_phases <= report.step_seconds);
  CHECK(std::filesystem::exists(folder / "profiled" / "profile.json"));
  CHECK(!std::filesystem::exists(folder / "plain" / "profile.json"));
}

TEST_CASE("a profile of a run without steps left for it is refused") {
  const TemporaryFolder folder;
  TrainOptions options = quiet(folder / "run");
  options.profile_steps = 20;
  CHECK(error_of([&] { start_and_run(tiny_settings({"train.steps=3"}), options); }) ==
        "a profile begins after 3 steps of warm-up, and the run has 3 left");
  CHECK(!std::filesystem::exists(folder / "run"));
}

TEST_CASE("a run whose metrics were lost says so when it goes on, and no other does") {
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  start_and_run(tiny_settings({"train.steps=20"}), quiet(run, 10));
  std::string said;
  TrainOptions options = quiet(run, 10);
  options.progress.write = [&](std::string_view text) { said += text; };
  Trainer::resume(options);
  CHECK(said.empty());
  const std::string whole = read_text(run / "metrics.jsonl");
  write_text(run / "metrics.jsonl", whole.substr(0, whole.find('\n') + 1));
  Trainer::resume(options);
  CHECK(said == "haze: metrics.jsonl has 1 of the 3 lines up to step 10; the others are lost\n");
  said.clear();
  std::filesystem::remove(run / "metrics.jsonl");
  Trainer::resume(options);
  CHECK(said == "haze: metrics.jsonl has 0 of the 3 lines up to step 10; the others are lost\n");
}
