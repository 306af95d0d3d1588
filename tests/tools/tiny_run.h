#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/error.h"
#include "haze/nn/checkpoint.h"
#include "haze/nn/settings.h"
#include "haze/tools/run/trainer.h"
#include "haze/tools/run/training_settings.h"

#include "error_of.h"
#include "temporary_folder.h"

namespace haze::testing {

/// Settings of a run that takes a second, as --set gives them: a small network on a small built-in corpus,
/// with dropout and averaged weights, so that all there is to lose in a checkpoint is in use.
inline std::vector<std::string> tiny_assignments() {
  return {"transformer.layers=2",
          "transformer.hidden=32",
          "transformer.heads=4",
          "transformer.dropout=0.1",
          "optimizer.ema=0.9",
          "optimizer.warmup_steps=10",
          "train.steps=40",
          "train.batch_size=8",
          "data.corpus_size=200",
          "data.min_count=1",
          "train.log_every=3",
          "train.evaluate_every=16",
          "train.evaluate_examples=12"};
}

inline Settings tiny_settings(const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = tiny_assignments();
  assignments.insert(assignments.end(), more.begin(), more.end());
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

inline TrainOptions quiet(const std::filesystem::path& run_folder, int64_t stop_at = 0) {
  TrainOptions options;
  options.run_folder = run_folder;
  options.stop_at = stop_at;
  options.progress = {.interactive = false,
                      .unicode = false,
                      .write = [](std::string_view) {},
                      .now = [] { return 0.0; },
                      .width = [] { return 80; }};
  return options;
}

/// Names and contents of all files below a folder.
inline std::map<std::string, std::string> contents_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    contents[entry.path().string()] = entry.is_directory() ? "" : read_text(entry.path());
  }
  return contents;
}

inline Checkpoint latest_checkpoint(const std::filesystem::path& run_folder) {
  const auto folder = find_latest_checkpoint(run_folder);
  REQUIRE(folder);
  return read_checkpoint(*folder);
}

/// Checks names, shapes, dtypes and every bit.
inline void check_same_bits(const NamedTensors& a, const NamedTensors& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].name);
    REQUIRE(a[i].name == b[i].name);
    REQUIRE(a[i].tensor.shape() == b[i].tensor.shape());
    REQUIRE(a[i].tensor.dtype() == b[i].tensor.dtype());
    const Tensor left = contiguous(a[i].tensor), right = contiguous(b[i].tensor);
    const auto bytes = static_cast<size_t>(left.elements()) * size_of(left.dtype());
    CHECK(std::memcmp(left.raw(), right.raw(), bytes) == 0);
  }
}

/// Checks that two checkpoints are the same in every bit of every part.
inline void check_same(const Checkpoint& a, const Checkpoint& b) {
  CHECK(a.step == b.step);
  check_same_bits(a.model, b.model);
  check_same_bits(a.optimizer, b.optimizer);
  check_same_bits(a.ema, b.ema);
  REQUIRE(a.texts.size() == b.texts.size());
  for (const auto& text : a.texts) CHECK_MESSAGE(b.text(text.first) == text.second, text.first);
}

}  // namespace haze::testing
