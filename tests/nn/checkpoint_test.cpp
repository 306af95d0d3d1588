#include "haze/nn/checkpoint.h"

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haze/nn/file_io.h"

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

void flip_byte(const fs::path& path, size_t at) {
  std::string bytes = read_bytes(path);
  bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
  write_bytes(path, bytes);
}

/// Runs `action` in a child process and returns its process number. The child must not start threads.
template <typename Action>
pid_t in_child(Action action) {
  const pid_t child = fork();
  if (child != 0) return child;
  int status = 1;
  try {
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
  save_checkpoint(run.path(), checkpoint_of(1234568), 1);
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
  CHECK_THROWS_AS(save_checkpoint(run.path(), checkpoint_of(1), 0), Error);
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

TEST_CASE("SIGKILL at 50 random moments of saving always leaves a whole checkpoint that is not older") {
  using Clock = std::chrono::steady_clock;
  const TemporaryFolder run;
  const Clock::time_point start = Clock::now();
  for (int time = 0; time < 4; ++time) save_checkpoint(run.path(), checkpoint_of(1, 20000));
  const Clock::duration a_few_saves = Clock::now() - start;
  std::mt19937 random(7);
  int64_t newest = 1;
  int killed_while_saving = 0;
  // More rounds where a busy machine lets the child get nowhere.
  const auto enough = [&] { return newest > 5 && killed_while_saving > 5; };
  for (int round = 0; round < 50 || (!enough() && round < 1000); ++round) {
    const int64_t first = newest;
    const pid_t child = in_child([&]() -> int {
      for (int64_t step = first;; ++step) {
        // Twice each, so that replacing is interrupted too.
        for (int time = 0; time < 2; ++time) save_checkpoint(run.path(), checkpoint_of(step, 20000));
      }
    });
    std::this_thread::sleep_for(a_few_saves * (random() % 1000) / 500);
    kill(child, SIGKILL);
    const int status = wait_for(child);
    REQUIRE(WIFSIGNALED(status));
    for (const auto& name : sorted_names(run.path())) killed_while_saving += is_unfinished_name(name);
    const int64_t step = latest_step(run.path());
    REQUIRE(step >= newest);
    newest = step;
  }
  CHECK(newest > 5);
  CHECK(killed_while_saving > 5);
  save_checkpoint(run.path(), checkpoint_of(newest + 1));
  for (const auto& name : sorted_names(run.path())) CHECK_FALSE(is_unfinished_name(name));
}

}  // namespace haze
