#include <string>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/engine/memory.h"
#include "haze/nn/file_io.h"
#include "haze/tools/run/saved_model.h"

#include "pseudo_terminal.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// A run of a few steps, of its own for each test, since each damages it.
struct Victim {
  Victim() {
    Trainer::start(tiny_settings({"train.steps=2"}), quiet(folder / "run"))->run();
    checkpoint = *find_latest_checkpoint(folder / "run");
  }
  std::string text(const char* file) const { return read_text(checkpoint / file); }
  /// Replaces a file and repairs the manifest, as an attacker would.
  void replace(const char* file, const std::string& contents) const {
    write_text(checkpoint / file, contents);
    json manifest = json::parse(text("manifest.json"));
    manifest["files"][file] = {{"bytes", contents.size()},
                               {"crc32", fmt::format("{:08x}", crc32(contents.data(), contents.size()))}};
    write_text(checkpoint / "manifest.json", manifest.dump());
  }
  std::string error() const {
    return error_of([&] { load_model(folder / "run"); });
  }

  TemporaryFolder folder;
  fs::path checkpoint;
};

std::string repeated(const std::string& part, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part;
  return text;
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
  const size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return text.replace(at, part.size(), by);
}

/// What a command writes to a terminal.
std::string shown_on_terminal(const std::vector<std::string>& arguments) {
  const TerminalResult result = run_on_terminal(arguments, TerminalStreams::both);
  CHECK(result.status >= 0);
  return result.shown;
}

}  // namespace

TEST_CASE("deep nesting in any text of a checkpoint is one sentence") {
  const std::string key = repeated("a.", 31000) + "b = 1\n", brackets = repeated("[", 135000);
  const Victim victim;
  for (const char* file : {"config.toml", "state.toml", "lengths.json", "tokenizer.json"}) {
    CAPTURE(file);
    const std::string before = victim.text(file);
    for (const std::string& hostile : {key + before, before + brackets, before + "\n[x]\ny = " + brackets}) {
      victim.replace(file, hostile);
      const std::string error = victim.error();
      CHECK(error.find(file) != std::string::npos);
      CHECK(error.find("this is nested more than 64 deep") != std::string::npos);
    }
    victim.replace(file, before);
  }
  CHECK(victim.error() == "no error");
  write_text(victim.checkpoint / "manifest.json", brackets);
  CHECK(victim.error().find("this is nested more than 64 deep") != std::string::npos);
}

TEST_CASE("deep nesting in a configuration, a table and a line of data is one sentence") {
  const TemporaryFolder folder;
  const std::string file = (folder / "deep").string();
  write_text(file, repeated("a.", 31000) + "b = 1\n");
  check_failure({"train", "--out", (folder / "run").string(), "--config", file}, 1,
                "nested more than 64 deep");
  check_failure({"compare", file}, 1, "nested more than 64 deep");
  write_text(file, "{\"src\": \"\", \"trg\": " + repeated("[", 135000) + repeated("]", 135000) + "}\n");
  check_failure({"train", "--out", (folder / "run").string(), "--set", "data.train=" + file, "--set",
                 "data.valid=" + file, "--set", "data.format=jsonl"},
                1, "the field \"trg\" must be a string, but is of type array");
}

TEST_CASE(
    "a configuration that asks for a far larger network than its weights is refused before its memory is") {
  const Victim victim;
  const std::string before = victim.text("config.toml");
  victim.replace("config.toml", replaced(before, "hidden = 32 ", "hidden = 8192 "));
  reset_peak_memory();
  const size_t in_use = memory_statistics().in_use;
  CHECK(victim.error() ==
        "config.toml of the checkpoint asks for a network that is far larger than the weights beside it");
  CHECK(memory_statistics().peak - in_use < (size_t{100} << 20));
  victim.replace("config.toml", replaced(before, "hidden = 32 ", "hidden = 36 "));
  CHECK(victim.error().find("model.safetensors of the checkpoint") != std::string::npos);
}

TEST_CASE("escape sequences in a vocabulary, a key or a name do not reach a terminal") {
  const Victim victim;
  const json tokenizer = json::parse(victim.text("tokenizer.json"));
  json changed = tokenizer;
  for (size_t i = 3; i < changed["tokens"].size(); ++i)
    changed["tokens"][i] = "\x1b[31m\xc2\x9b" + changed["tokens"][i].get<std::string>();
  victim.replace("tokenizer.json", changed.dump());
  const std::string run = (victim.folder / "run").string();
  const std::string sampled = shown_on_terminal({"sample", run, "--count", "2"});
  CHECK(sampled.find("␛[31m") != std::string::npos);
  CHECK(sampled.find("\x1b[31m") == std::string::npos);
  CHECK(sampled.find("\xc2\x9b") == std::string::npos);
  // A pipe gets what the model wrote.
  CHECK(run_program({"sample", run, "--count", "2"}).output.find("\x1b[31m") != std::string::npos);
  victim.replace("tokenizer.json", tokenizer.dump());
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"train", "--set", "transformer.\x1b[31mx=1"},
        {"sample", run, "--\x1b[31mx"},
        {"sample", "\x1b[31mx"},
        {"infill", run, "\x1b[31mx _"}}) {
    const std::string shown = shown_on_terminal(arguments);
    CHECK(shown.find("␛[31mx") != std::string::npos);
    CHECK(shown.find('\x1b') == std::string::npos);
  }
  victim.replace("config.toml", replaced(victim.text("config.toml"), "hidden =", "\"hid\\u001b[31mden\" ="));
  CHECK(shown_on_terminal({"sample", run}).find('\x1b') == std::string::npos);
}
