#include "haze/tools/run/resumed_settings.h"

#include <algorithm>

#include "haze/engine/error.h"
#include "haze/tools/run/relative_paths.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

/// The path as one that is relative to `folder` or absolute.
std::string seen_from(const fs::path& folder, const fs::path& path) {
  const bool is_here = path.empty() || folder.empty() || folder == current_folder();
  return (is_here ? path : current_folder() / path).string();
}

}  // namespace

Settings resumed_settings(const Checkpoint& checkpoint, const fs::path& working_folder,
                          const std::optional<DataFiles>& moved_files, const std::optional<int64_t>& steps) {
  Settings settings = read_run_configuration(checkpoint.text("config.toml"), "config.toml of the checkpoint");
  find_relative_paths(working_folder, settings);
  if (moved_files) {
    settings.set("data.train", seen_from(working_folder, moved_files->train));
    settings.set("data.valid", seen_from(working_folder, moved_files->valid));
  }
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

void require_texts(const Settings& settings, const fs::path& run_folder) {
  std::error_code ignored;
  for (const char* key : {"data.train", "data.valid"}) {
    if (!settings.has(key) || settings.text(key).empty() || fs::exists(settings.text(key), ignored)) continue;
    fail(
        "{} {}: there is no such file; where the texts are now, haze train --resume --out {} --set "
        "data.train=FILE --set data.valid=FILE says",
        key, settings.text(key), run_folder.string());
  }
}

}  // namespace haze
