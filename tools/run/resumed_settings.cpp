#include "haze/tools/run/resumed_settings.h"

#include <algorithm>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/relative_paths.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

/// The path as one that is relative to `folder` or absolute.
std::string seen_from(const fs::path& folder, const fs::path& path) {
  const bool is_here = path.empty() || folder.empty() || folder == current_folder();
  return (is_here ? path : current_folder() / path).string();
}

bool names_something(const Settings& settings, const std::string& key) {
  return settings.has(key) && !settings.text(key).empty();
}

[[noreturn]] void refuse(const std::string& sentence) {
  throw RefusedSettings(sentence);
}

void check_moved(const MovedPaths& moved, const Settings& settings) {
  const auto is_moved = [&](const std::string& wanted) {
    return std::any_of(moved.begin(), moved.end(), [&](const auto& path) { return path.first == wanted; });
  };
  // Only the file that the run was begun with has its fingerprint, so one alone is most likely a slip.
  for (const auto& [one, other] : {std::pair{"data.train", "data.valid"}, {"data.valid", "data.train"}}) {
    if (is_moved(one) && !is_moved(other) && names_something(settings, other))
      refuse("data.train and data.valid go together: say where both files are now");
  }
  const std::vector<std::string> keys = path_keys(settings);
  for (const auto& [key, place] : moved) {
    if (std::find(keys.begin(), keys.end(), key) == keys.end() || !names_something(settings, key))
      refuse(fmt::format("{} names nothing in this run, so nothing of it has moved", key));
    std::error_code ignored;
    if (!fs::exists(place, ignored))
      refuse(fmt::format("{} {}: there is no such file or folder", key, place));
  }
}

}  // namespace

Settings resumed_settings(const Checkpoint& checkpoint, const fs::path& working_folder,
                          const MovedPaths& moved, const std::optional<int64_t>& steps) {
  Settings settings = read_run_configuration(checkpoint.text("config.toml"), "config.toml of the checkpoint");
  find_relative_paths(working_folder, settings);
  check_moved(moved, settings);
  for (const auto& [key, place] : moved) settings.set(key, seen_from(working_folder, place));
  if (steps) {
    if (*steps < checkpoint.step)
      fail("train.steps {} is less than the {} steps that the run has done", *steps, checkpoint.step);
    // The warm-up was cut at the end of the run; it does not begin again.
    const int64_t warmup =
        std::min(settings.integer("optimizer.warmup_steps"), settings.integer("train.steps"));
    settings.set("optimizer.warmup_steps", warmup);
    settings.set("train.steps", *steps);
  }
  return settings;
}

void require_paths(const Settings& settings, const fs::path& run_folder) {
  std::error_code ignored;
  const auto is_missing = [&](const std::string& key) {
    return names_something(settings, key) && !fs::exists(settings.text(key), ignored);
  };
  for (const char* key : {"data.train", "data.valid"}) {
    if (!is_missing(key)) continue;
    fail(
        "{} {}: there is no such file; where the texts are now, haze train --resume --out {} --set "
        "data.train=FILE --set data.valid=FILE says",
        key, settings.text(key), run_folder.string());
  }
  for (const std::string& key : model_row(settings.text("model")).info.frozen) {
    if (is_of_sampling(key) || !is_missing(key)) continue;
    fail("{} {}: there is no such run; where it is now, haze train --resume --out {} --set {}=RUN says", key,
         settings.text(key), run_folder.string(), key);
  }
}

}  // namespace haze
