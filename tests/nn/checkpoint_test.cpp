#include "haze/nn/checkpoint.h"

#include <chrono>
#include <cmath>
#include <csignal>
#include <random>
#include <thread>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haze/engine/cpu/parallel.h"
#include "haze/nn/file_io.h"
#include "haze/nn/safetensors.h"

#include "nn/temporary_folder.h"

namespace haze {
namespace {

namespace fs = std::filesystem;
using nn_test::error_of;
using nn_test::read_bytes;
using nn_test::sorted_names;
using nn_test::TemporaryFolder;
using nn_test::write_bytes;

Tensor numbers(int64_t value, int64_t count) {
  return Tensor::from(std::vector<float>(static_cast<size_t>(count), static_cast<float>(value)), {count});
}

/// A checkpoint in which every tensor and every text holds the step.
Checkpoint checkpoint_of(int64_t step, int64_t elements = 5) {
  const std::string text = std::to_string(step);
  return {.step = step,
          .model = {{"a", numbers(step, elements)}, {"b", numbers(step, 1)}},
          .optimizer = {{"a.first_moment", numbers(step, elements)}},
          .ema = {{"a", numbers(step, 2)}},
          .texts = {{"config.toml", text}, {"state.toml", text}}};
}

/// Whether all parts of a checkpoint hold its step.
bool is_consistent(const Checkpoint& checkpoint) {
  const auto holds_step = [&](const NamedTensors& tensors, size_t count) {
    if (tensors.size() != count) return false;
    for (const auto& [name, tensor] : tensors) {
      for (const double value : tensor.to_vector<double>()) {
        if (value != static_cast<double>(checkpoint.step)) return false;
      }
    }
    return true;
  };
  const std::string text = std::to_string(checkpoint.step);
  return holds_step(checkpoint.model, 2) && holds_step(checkpoint.optimizer, 1) &&
         holds_step(checkpoint.ema, 1) && checkpoint.text("config.toml") == text &&
         checkpoint.text("state.toml") == text;
}

/// The step of the newest whole checkpoint; -1 where there is none or its parts are of different steps.
int64_t latest_step(const fs::path& run) {
  const auto folder = find_latest_checkpoint(run);
  if (!folder) return -1;
  const Checkpoint checkpoint = read_checkpoint(*folder);
  return is_consistent(checkpoint) ? checkpoint.step : -1;
}

/// The step of the best checkpoint; -1 where there is none, -2 where its parts are of different steps.
int64_t best_step(const fs::path& run) {
  const auto folder = find_best_checkpoint(run);
  if (!folder) return -1;
  const Checkpoint checkpoint = read_checkpoint(*folder);
  return is_consistent(checkpoint) ? checkpoint.step : -2;
}

void flip_byte(const fs::path& path, size_t at) {
  std::string bytes = read_bytes(path);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  write_bytes(path, bytes);
}

/// Runs `action` in a child process and returns its process number. The threads of OpenMP that earlier tests
/// have started are not there in the child, which would wait for them for ever: it computes with one.
template <typename Action>
pid_t in_child(Action action) {
  const pid_t child = fork();
  if (child != 0) return child;
  int status = 1;
  try {
    set_threads(1);
    status = action();
  } catch (...) {
  }
  _exit(status);
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("crc32 gives the published check values, whole and in parts") {
  const std::string_view text = "123456789";
  CHECK(crc32(text.data(), text.size()) == 0xCBF43926u);
  CHECK(crc32(nullptr, 0) == 0);
  const std::string long_text = "The quick brown fox jumps over the lazy dog";
  CHECK(crc32(long_text.data(), long_text.size()) == 0x414FA339u);
  for (size_t cut = 0; cut <= long_text.size(); ++cut) {
    const uint32_t first = crc32(long_text.data(), cut);
    CHECK(crc32(long_text.data() + cut, long_text.size() - cut, first) == 0x414FA339u);
  }
}

TEST_CASE("a checkpoint is read as it was saved, into the folder of its step") {
  const TemporaryFolder run;
  const fs::path folder = save_checkpoint(run / "deep/run", checkpoint_of(500));
  CHECK(folder == run / "deep/run/step-000500");
  CHECK(sorted_names(folder) == std::vector<std::string>{"config.toml", "ema.safetensors", "manifest.json",
                                                         "model.safetensors", "optimizer.safetensors",
                                                         "state.toml"});
  CHECK(sorted_names(run / "deep/run") == std::vector<std::string>{"latest", "step-000500"});
  CHECK(find_latest_checkpoint(run / "deep/run") == folder);
  const Checkpoint read = read_checkpoint(folder);
  CHECK(read.step == 500);
  CHECK(read.model[0].name == "a");
  CHECK(read.model[0].tensor.shape() == Shape{5});
  CHECK(is_consistent(read));
  CHECK(error_of([&] { read.text("tokenizer.json"); }) == "the checkpoint of step 500 has no tokenizer.json");
}

TEST_CASE("a checkpoint without averages and texts has no files of them") {
  const TemporaryFolder run;
  const fs::path folder =
      save_checkpoint(run.path(), {.step = 0, .model = {}, .optimizer = {}, .ema = {}, .texts = {}});
  CHECK(sorted_names(folder) ==
        std::vector<std::string>{"manifest.json", "model.safetensors", "optimizer.safetensors"});
  CHECK(read_checkpoint(folder).ema.empty());
}

TEST_CASE("the newest checkpoints are kept, as many as asked for, and other files are left alone") {
  const TemporaryFolder run;
  write_bytes(run / "metrics.jsonl", "{}");
  for (const int64_t step : {100, 200, 300, 1234567}) save_checkpoint(run.path(), checkpoint_of(step));
  CHECK(sorted_names(run.path()) ==
        std::vector<std::string>{"latest", "metrics.jsonl", "step-000300", "step-1234567"});
  CHECK(latest_step(run.path()) == 1234567);
  save_checkpoint(run.path(), checkpoint_of(1234568), {.keep = 1});
  CHECK(sorted_names(run.path()) == std::vector<std::string>{"latest", "metrics.jsonl", "step-1234568"});
}

TEST_CASE("a checkpoint of a step that is there already replaces it") {
  const TemporaryFolder run;
  save_checkpoint(run.path(), checkpoint_of(7, 5));
  save_checkpoint(run.path(), checkpoint_of(7, 9));
  CHECK(sorted_names(run.path()) == std::vector<std::string>{"latest", "step-000007"});
  CHECK(read_checkpoint(run / "step-000007").model[0].tensor.elements() == 9);
}

TEST_CASE("going on from an earlier checkpoint removes the later ones of the abandoned run") {
  const TemporaryFolder run;
  for (const int64_t step : {100, 200}) save_checkpoint(run.path(), checkpoint_of(step));
  save_checkpoint(run.path(), checkpoint_of(150));
  CHECK(sorted_names(run.path()) == std::vector<std::string>{"latest", "step-000100", "step-000150"});
  CHECK(latest_step(run.path()) == 150);
}

TEST_CASE("the best checkpoint is kept beside the newest ones until a better one is saved") {
  const TemporaryFolder run;
  using Names = std::vector<std::string>;
  save_checkpoint(run.path(), checkpoint_of(100));
  CHECK(sorted_names(run.path()) == Names{"latest", "step-000100"});
  CHECK_FALSE(find_best_checkpoint(run.path()));
  CHECK(save_checkpoint(run.path(), checkpoint_of(200), {.best = true}) == run / "step-000200");
  CHECK(read_bytes(run / "best") == "step-000200\n");
  CHECK(find_best_checkpoint(run.path()) == run / "step-000200");
  for (const int64_t step : {300, 400, 500}) save_checkpoint(run.path(), checkpoint_of(step));
  CHECK(sorted_names(run.path()) == Names{"best", "latest", "step-000200", "step-000400", "step-000500"});
  CHECK(best_step(run.path()) == 200);
  CHECK(latest_step(run.path()) == 500);
  save_checkpoint(run.path(), checkpoint_of(600), {.keep = 1, .best = true});
  CHECK(sorted_names(run.path()) == Names{"best", "latest", "step-000600"});
  CHECK(best_step(run.path()) == 600);
}

TEST_CASE("a best checkpoint of the same step is replaced, and the new one is the best") {
  const TemporaryFolder run;
  save_checkpoint(run.path(), checkpoint_of(7, 5), {.best = true});
  save_checkpoint(run.path(), checkpoint_of(7, 9));
  CHECK(read_checkpoint(*find_best_checkpoint(run.path())).model[0].tensor.elements() == 9);
  CHECK(sorted_names(run.path()) == std::vector<std::string>{"best", "latest", "step-000007"});
}

TEST_CASE("going on from before the best checkpoint removes it and its name") {
  const TemporaryFolder run;
  for (const int64_t step : {100, 200}) save_checkpoint(run.path(), checkpoint_of(step), {.best = true});
  save_checkpoint(run.path(), checkpoint_of(150));
  CHECK(sorted_names(run.path()) == std::vector<std::string>{"latest", "step-000100", "step-000150"});
  CHECK_FALSE(find_best_checkpoint(run.path()));
  save_checkpoint(run.path(), checkpoint_of(120), {.best = true});
  CHECK(best_step(run.path()) == 120);
}

TEST_CASE("the best checkpoint is found at every moment between the steps of a save") {
  const TemporaryFolder run;
  save_checkpoint(run.path(), checkpoint_of(100), {.best = true});
  for (const int64_t step : {200, 300}) save_checkpoint(run.path(), checkpoint_of(step));
  const fs::path old = run / "step-000100";
  const TemporaryFolder other;
  const fs::path next = save_checkpoint(other.path(), checkpoint_of(400));

  SUBCASE("renamed, not yet named as the best and the latest") {
    fs::rename(next, run / "step-000400");
    CHECK(best_step(run.path()) == 100);
  }
  SUBCASE("named as the best, not yet as the latest") {
    fs::rename(next, run / "step-000400");
    write_bytes(run / "best", "step-000400\n");
    CHECK(best_step(run.path()) == 400);
    CHECK(latest_step(run.path()) == 300);
    // The run goes on from 300, comes to 400 again, and finds it the best again.
    save_checkpoint(run.path(), checkpoint_of(350));
    CHECK_FALSE(find_best_checkpoint(run.path()));
  }
  SUBCASE("set aside, its replacement not yet in place") {
    fs::rename(old, run / "step-000100.replaced-1");
    CHECK(best_step(run.path()) == 100);
    save_checkpoint(run.path(), checkpoint_of(350));
    CHECK(find_best_checkpoint(run.path())->filename() == "step-000100.replaced-1");
  }
  SUBCASE("replaced, the one set aside not yet removed") {
    fs::copy(old, run / "step-000100.replaced-1");
    CHECK(find_best_checkpoint(run.path()) == old);
    save_checkpoint(run.path(), checkpoint_of(350));
    CHECK_FALSE(fs::exists(run / "step-000100.replaced-1"));
    CHECK(find_best_checkpoint(run.path()) == old);
  }
  SUBCASE("no longer named as the best, not yet removed") {
    fs::remove(run / "best");
    CHECK_FALSE(find_best_checkpoint(run.path()));
    save_checkpoint(run.path(), checkpoint_of(350));
    CHECK_FALSE(fs::exists(old));
  }
  save_checkpoint(run.path(), checkpoint_of(400), {.best = true});
  CHECK(best_step(run.path()) == 400);
  CHECK(latest_step(run.path()) == 400);
}

TEST_CASE("a name in `best` that no checkpoint has names nothing and is removed by the next save") {
  const TemporaryFolder run;
  for (const char* text : {"", "step-1", "../step-000001", "step-000050\n"}) {
    CAPTURE(text);
    save_checkpoint(run.path(), checkpoint_of(1));
    write_bytes(run / "best", text);
    CHECK_FALSE(find_best_checkpoint(run.path()));
    save_checkpoint(run.path(), checkpoint_of(2));
    CHECK_FALSE(fs::exists(run / "best"));
  }
}

TEST_CASE("a damaged best checkpoint is not passed off as the best, and the damage is said") {
  const TemporaryFolder run;
  const fs::path part = save_checkpoint(run.path(), checkpoint_of(3), {.best = true}) / "state.toml";
  save_checkpoint(run.path(), checkpoint_of(4));
  write_bytes(part, "34");
  std::vector<std::string> damage;
  CHECK_FALSE(find_best_checkpoint(run.path(), &damage));
  CHECK(damage == std::vector<std::string>{part.string() + " is damaged: it has 2 bytes, not 1"});
}

TEST_CASE("a checkpoint with a number that is not finite is refused before anything is written") {
  const TemporaryFolder parent;
  const fs::path run = parent / "run";
  const auto refusal = [&](auto spoil) {
    Checkpoint checkpoint = checkpoint_of(500);
    spoil(checkpoint);
    return error_of([&] { save_checkpoint(run, checkpoint, {.best = true}); });
  };
  const auto spoil_model = [](Checkpoint& checkpoint) { fill(checkpoint.model[1].tensor, NAN); };
  CHECK(refusal(spoil_model) ==
        "step 500 is not saved, because b of the model holds a number that is not finite");
  CHECK_FALSE(fs::exists(run));
  for (const int64_t step : {300, 400}) save_checkpoint(run, checkpoint_of(step));
  const std::vector<std::string> before = sorted_names(run);
  const std::string advice = " holds a number that is not finite; step-000400 is the latest whole checkpoint";
  CHECK(refusal(spoil_model) == "step 500 is not saved, because b of the model" + advice);
  CHECK(refusal([](Checkpoint& c) {
          c.optimizer[0].tensor = Tensor::from<float>({0, -INFINITY}, {2});
        }) == "step 500 is not saved, because a.first_moment of the optimizer's state" + advice);
  CHECK(refusal([](Checkpoint& c) {
          c.ema.push_back({"x", full({3}, INFINITY, Dtype::float64)});
        }) == "step 500 is not saved, because x of the averages" + advice);
  CHECK(refusal([](Checkpoint& c) {
          c.model.push_back({"x", full({3}, NAN, Dtype::bfloat16)});
        }) == "step 500 is not saved, because x of the model" + advice);
  CHECK(sorted_names(run) == before);
  CHECK(latest_step(run) == 400);
}

TEST_CASE("reading a checkpoint that holds NaN or infinity names the tensor") {
  const TemporaryFolder run;
  for (const char* part : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"}) {
    for (const float value : {NAN, INFINITY}) {
      const fs::path folder = save_checkpoint(run.path(), checkpoint_of(3));
      // A whole checkpoint to all appearances: the manifest has the size and checksum of what is there.
      write_safetensors(folder / part, {{"good", numbers(1, 2)}, {"bad", full({2}, value)}});
      const std::string bytes = read_bytes(folder / part);
      const std::string entry =
          fmt::format(R"({{"bytes":{},"crc32":"{:08x}"}})", bytes.size(), crc32(bytes.data(), bytes.size()));
      std::string manifest = read_bytes(folder / "manifest.json");
      const size_t start = manifest.find('{', manifest.find(part));
      manifest.replace(start, manifest.find('}', start) + 1 - start, entry);
      write_bytes(folder / "manifest.json", manifest);
      CHECK(error_of([&] { read_checkpoint(folder); }) ==
            (folder / part).string() + ": tensor \"bad\" holds a number that is not finite");
    }
  }
}

TEST_CASE("a whole checkpoint is found at every moment between the steps of a save") {
  const TemporaryFolder run;
  save_checkpoint(run.path(), checkpoint_of(100));
  const fs::path old = run / "step-000100";

  SUBCASE("half-written, under its temporary name") {
    fs::create_directory(unfinished_name(run / "step-000200"));
    CHECK(latest_step(run.path()) == 100);
  }
  SUBCASE("renamed, not yet named as the latest") {
    const TemporaryFolder other;
    fs::rename(save_checkpoint(other.path(), checkpoint_of(200)), run / "step-000200");
    CHECK(latest_step(run.path()) == 100);
  }
  SUBCASE("set aside, its replacement not yet in place") {
    fs::rename(old, run / "step-000100.replaced-1");
    CHECK(latest_step(run.path()) == 100);
    CHECK(find_latest_checkpoint(run.path())->filename() == "step-000100.replaced-1");
  }
  SUBCASE("replaced, the one set aside not yet removed") {
    fs::copy(old, run / "step-000100.replaced-1");
    CHECK(find_latest_checkpoint(run.path()) == old);
  }
  SUBCASE("no file names the latest") {
    fs::remove(run / "latest");
    CHECK(latest_step(run.path()) == 100);
  }
  save_checkpoint(run.path(), checkpoint_of(100));
  CHECK(latest_step(run.path()) == 100);
  save_checkpoint(run.path(), checkpoint_of(300));
  CHECK(sorted_names(run.path()) == std::vector<std::string>{"latest", "step-000100", "step-000300"});
}

TEST_CASE("a damaged checkpoint is passed over for an older whole one") {
  const char* const kParts[] = {"model.safetensors", "optimizer.safetensors", "ema.safetensors",
                                "config.toml", "manifest.json"};
  for (const char* part : kParts) {
    for (const bool remove : {true, false}) {
      CAPTURE(part);
      CAPTURE(remove);
      const TemporaryFolder run;
      save_checkpoint(run.path(), checkpoint_of(10));
      const fs::path damaged = save_checkpoint(run.path(), checkpoint_of(20)) / part;
      if (remove) {
        fs::remove(damaged);
      } else {
        flip_byte(damaged, fs::file_size(damaged) / 2);
      }
      CHECK(latest_step(run.path()) == 10);
      CHECK(error_of([&] { read_checkpoint(run / "step-000020"); }) != "");
    }
  }
}

TEST_CASE("no byte of a checkpoint's parts can change unnoticed") {
  const TemporaryFolder run;
  const fs::path folder = save_checkpoint(run.path(), checkpoint_of(3));
  for (const char* part : {"model.safetensors", "state.toml"}) {
    const std::string good = read_bytes(folder / part);
    for (size_t at = 0; at < good.size(); ++at) {
      flip_byte(folder / part, at);
      CHECK(error_of([&] { read_checkpoint(folder); }) ==
            (folder / part).string() + " is damaged: its checksum is not that of what was written");
      write_bytes(folder / part, good);
    }
  }
  CHECK(latest_step(run.path()) == 3);
}

TEST_CASE("reading a checkpoint with a missing or damaged part says which") {
  const TemporaryFolder run;
  const fs::path folder = save_checkpoint(run.path(), checkpoint_of(3));
  const std::string name = folder.string();
  CHECK(error_of([&] { read_checkpoint(run / "absent"); }) ==
        "cannot open " + (run / "absent/manifest.json").string() + ": No such file or directory");
  write_bytes(folder / "state.toml", "34");
  CHECK(error_of([&] { read_checkpoint(folder); }) == name + "/state.toml is damaged: it has 2 bytes, not 1");
  fs::remove(folder / "model.safetensors");
  CHECK(error_of([&] { read_checkpoint(folder); }) ==
        "cannot open " + name + "/model.safetensors: No such file or directory");
  for (const char* manifest :
       {"", "[]", "{}", R"({"format":1,"step":"x","files":{}})", R"({"format":1,"step":1,"files":[1]})",
        R"({"format":1,"step":1,"files":{"model.safetensors":{}}})"}) {
    write_bytes(folder / "manifest.json", manifest);
    CHECK(error_of([&] { read_checkpoint(folder); }) ==
          name + "/manifest.json is damaged: it does not list a checkpoint's files");
  }
  write_bytes(folder / "manifest.json", R"({"format":1,"step":1,"files":{}})");
  CHECK(error_of([&] { read_checkpoint(folder); }) ==
        name + "/manifest.json is damaged: it does not list model.safetensors");
  write_bytes(folder / "manifest.json", R"({"format":2})");
  CHECK(error_of([&] { read_checkpoint(folder); }) ==
        name + "/manifest.json: checkpoints of format 2 are not known here");
}

TEST_CASE("no checkpoint is found where there is none") {
  const TemporaryFolder run;
  CHECK_FALSE(find_latest_checkpoint(run.path()));
  CHECK_FALSE(find_latest_checkpoint(run / "absent"));
  write_bytes(run / "latest", "../../step-000001");
  fs::create_directory(run / "step-000001");
  fs::create_directory(run / "step-1");
  write_bytes(run / "step-000002", "a file");
  CHECK_FALSE(find_latest_checkpoint(run.path()));
}

TEST_CASE("a checkpoint with names of parts that cannot be is refused before anything is written") {
  const TemporaryFolder run;
  for (const char* name : {"", ".hidden", "..", "a/b", "model.safetensors", "manifest.json"}) {
    Checkpoint checkpoint = checkpoint_of(1);
    checkpoint.texts.emplace_back(name, "x");
    CHECK_THROWS_AS(save_checkpoint(run.path(), checkpoint), Error);
  }
  Checkpoint twice = checkpoint_of(1);
  twice.texts.push_back(twice.texts[0]);
  CHECK_THROWS_WITH_AS(save_checkpoint(run.path(), twice),
                       "checkpoint: two parts have the file name config.toml", Error);
  CHECK_THROWS_AS(save_checkpoint(run.path(), checkpoint_of(-1)), Error);
  CHECK_THROWS_AS(save_checkpoint(run.path(), checkpoint_of(1), {.keep = 0}), Error);
  CHECK(sorted_names(run.path()).empty());
  write_bytes(run / "file", "x");
  CHECK_THROWS_WITH_AS(save_checkpoint(run / "file", checkpoint_of(1)), doctest::Contains("cannot make"),
                       Error);
}

TEST_CASE("a save that fails for want of space throws, leaves nothing behind and the earlier one whole") {
  const TemporaryFolder run;
  for (const int64_t step : {10, 11}) {  // 10 replaces a checkpoint of its own step
    save_checkpoint(run.path(), checkpoint_of(10));
    const std::vector<std::string> before = sorted_names(run.path());
    const Checkpoint large = checkpoint_of(step, 100000);
    const pid_t child = in_child([&] {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{100000, 100000};
      setrlimit(RLIMIT_FSIZE, &limit);
      const std::string sentence = error_of([&] { save_checkpoint(run.path(), large); });
      return sentence.starts_with("cannot write ") && sentence.ends_with(": File too large") ? 0 : 1;
    });
    CHECK(wait_for(child) == 0);
    CHECK(sorted_names(run.path()) == before);
    CHECK(latest_step(run.path()) == 10);
  }
}

TEST_CASE("SIGKILL at 50 random moments of saving always leaves a whole latest and a whole best checkpoint") {
  using Clock = std::chrono::steady_clock;
  const TemporaryFolder run;
  const Clock::time_point start = Clock::now();
  for (int time = 0; time < 4; ++time) save_checkpoint(run.path(), checkpoint_of(1, 20000));
  const Clock::duration a_few_saves = Clock::now() - start;
  std::mt19937 random(7);
  int64_t newest = 1, best = -1;
  int killed_while_saving = 0;
  // More rounds where a busy machine lets the child get nowhere.
  const auto enough = [&] { return newest > 5 && best > 0 && killed_while_saving > 5; };
  for (int round = 0; round < 50 || !enough(); ++round) {
    const int64_t first = newest;
    const pid_t child = in_child([&]() -> int {
      for (int64_t step = first;; ++step) {
        // Twice each, so that replacing is interrupted too.
        for (int time = 0; time < 2; ++time) {
          save_checkpoint(run.path(), checkpoint_of(step, 20000), {.best = step % 3 == 0});
        }
      }
    });
    std::this_thread::sleep_for(a_few_saves * (random() % 1000) / 500);
    kill(child, SIGKILL);
    const int status = wait_for(child);
    REQUIRE(WIFSIGNALED(status));
    for (const auto& name : sorted_names(run.path())) killed_while_saving += is_unfinished_name(name);
    const int64_t step = latest_step(run.path());
    REQUIRE(step >= newest);
    const int64_t found_best = best_step(run.path());
    // The best one is lost only where it is later than the latest, from which the run has gone on.
    if (best <= newest) REQUIRE(found_best >= best);
    if (found_best != -1) REQUIRE(found_best % 3 == 0);
    REQUIRE(found_best <= step + 1);
    newest = step;
    best = found_best;
  }
  CHECK(newest > 5);
  CHECK(best > 0);
  CHECK(killed_while_saving > 5);
  save_checkpoint(run.path(), checkpoint_of(newest + 1));
  for (const auto& name : sorted_names(run.path())) CHECK_FALSE(is_unfinished_name(name));
}

TEST_CASE(
    "a reader beside a process that saves all the time always finds a whole checkpoint, latest and best") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  save_checkpoint(run, checkpoint_of(1), {.best = true});
  const pid_t child = in_child([&]() -> int {
    for (int64_t step = 2;; ++step) {
      save_checkpoint(run, checkpoint_of(step % 200 + 1), {.keep = 1, .best = true});
      // As long as the quickest of steps: without a pause a slow reader loses the race a hundred times.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  const auto found = [](const std::optional<fs::path>& checkpoint) {
    if (!checkpoint) fail("there is no checkpoint");
    return *checkpoint;
  };
  for (int i = 0; i < 100; ++i) {
    std::vector<std::string> damage;
    const Checkpoint latest = read_checkpoint([&] { return found(find_latest_checkpoint(run, &damage)); });
    CHECK(is_consistent(latest));
    CHECK(is_consistent(read_checkpoint([&] { return found(find_best_checkpoint(run, &damage)); })));
    CHECK(damage.empty());
  }
  kill(child, SIGKILL);
  wait_for(child);
}

TEST_CASE("a save leaves a file alone that another process is writing, and removes what a dead one left") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  save_checkpoint(run, checkpoint_of(1));
  FileWriter plot(unfinished_name(run / "plot.svg"));
  plot.append("<svg/>");
  write_bytes(run / ".haze-unfinished-1-0-plot.svg", "<sv");
  save_checkpoint(run, checkpoint_of(2));
  CHECK_FALSE(fs::exists(run / ".haze-unfinished-1-0-plot.svg"));
  plot.finish_as(run / "plot.svg");
  CHECK(read_bytes(run / "plot.svg") == "<svg/>");
}

TEST_CASE("a save asks before it changes anything, and changes nothing where it is refused") {
  TemporaryFolder folder;
  const fs::path run = folder / "run";
  int asked = 0;
  save_checkpoint(run, checkpoint_of(1), {.before_change = [&] { ++asked; }});
  REQUIRE(asked > 1);
  for (int allowed = 0; allowed < asked; ++allowed) {
    CAPTURE(allowed);
    int times = 0;
    std::vector<std::string> names;
    const auto refuse = [&] {
      names = sorted_names(run);
      if (times++ == allowed) fail("no longer mine");
    };
    CHECK(error_of([&] { save_checkpoint(run, checkpoint_of(1), {.before_change = refuse}); }) ==
          "no longer mine");
    std::erase_if(names, [](const std::string& name) { return is_unfinished_name(name); });
    CHECK(sorted_names(run) == names);
  }
}

TEST_CASE("a manifest of another step than its weights, or with an impossible number, is refused") {
  TemporaryFolder folder;
  const fs::path checkpoint = save_checkpoint(folder / "run", checkpoint_of(40));
  const fs::path path = checkpoint / "manifest.json";
  const std::string manifest = read_bytes(path);
  const auto error_with = [&](const std::string& part, const std::string& by) {
    std::string changed = manifest;
    const size_t at = changed.find(part);
    REQUIRE(at != std::string::npos);
    write_bytes(path, changed.replace(at, part.size(), by));
    return error_of([&] { read_checkpoint(checkpoint); });
  };
  CHECK(error_with("\"step\": 40", "\"step\": 36") ==
        path.string() + " is damaged: it says step 36, and model.safetensors is of step \"40\"");
  CHECK_FALSE(find_latest_checkpoint(folder / "run"));
  for (const char* number : {"-5", "1e300", "40.0", "18446744073709551615"}) {
    CAPTURE(number);
    CHECK(error_with("\"step\": 40", std::string("\"step\": ") + number)
              .starts_with(path.string() + " is damaged: its step is "));
    CHECK(error_with("\"format\": 1", std::string("\"format\": ") + number).find("format") !=
          std::string::npos);
  }
  CHECK(
      error_with("\"step\": 40", "\"step\": 9223372036854775807").find("it says step 9223372036854775807") !=
      std::string::npos);
  CHECK(error_with("\"bytes\": ", "\"bytes\": -").find("its number of bytes is") != std::string::npos);
  for (const char* number : {"-5", "4294967296", "1e300"}) {  // a checksum is a text of eight digits
    CAPTURE(number);
    CHECK(error_with("\"crc32\": ", std::string("\"crc32\": ") + number + ", \"other\": ") ==
          path.string() + " is damaged: it does not list a checkpoint's files");
  }
  CHECK(error_with("\"step\": 40", "\"step\": 40") == "");
}

}  // namespace haze
