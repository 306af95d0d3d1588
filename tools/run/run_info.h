#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "haze/tools/run/run_state.h"
#include "haze/tools/tasks/task.h"

namespace haze {

/// Counts of the texts that a run learned from.
struct TrainingTexts {
  int64_t texts = 0, tokens = 0, shortest = 0, longest = 0;  // tokens: end tokens among them
  std::string example;                                       // "text", or "block" of a stream of texts
  std::string token_kind;                                    // as Tokenizer::kind() and units() have them
  std::string token_units;
  int64_t vocabulary = 0;  // without special tokens, as training counts it
};

/// A setting that is not what it is by default.
struct ChangedSetting {
  std::string key, value, default_value;  // as TOML writes them
};

/// Facts of a run, for `haze info`.
struct RunInfo {
  std::string run;  // as it was named
  std::string model, paper, task;
  std::filesystem::path checkpoint;
  int64_t step = 0, last_step = 0;     // of the checkpoint; of the training
  int64_t examples_seen = 0;           // in steps times examples a step
  int64_t parameters = 0, bytes = 0;   // in float32; bytes of model.safetensors
  DataFacts facts;                     // vocabulary, lengths, shape
  std::optional<TrainingTexts> texts;  // none of a model of points or images
  std::optional<BestEvaluation> best;
  std::string best_measure;  // its name in metrics.jsonl; empty where that has no such line
  std::vector<ChangedSetting>
      settings;  // from the defaults, where "auto" is replaced as at the start of a run
  std::vector<std::string> checkpoints;                       // folders in the run's, earliest first
  std::string latest, best_checkpoint;                        // which of these; empty: none
  std::vector<std::pair<std::string, std::string>> commands;  // what it can do, in words, and how
};

/// `folder` as load_model() takes it. Throws Error where there is no such run.
RunInfo run_info(const std::filesystem::path& folder);

/// For people; and for programs, as a JSON object.
std::string run_info_text(const RunInfo& info);
std::string run_info_json(const RunInfo& info);

}  // namespace haze
