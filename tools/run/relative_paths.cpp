#include "haze/tools/run/relative_paths.h"

#include "haze/tools/run/models.h"

namespace haze {

std::filesystem::path current_folder() {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::current_path(error);
  return error ? std::filesystem::path() : folder;
}

std::vector<std::string> path_keys(const ModelInfo& model) {
  std::vector<std::string> keys = {"data.train", "data.valid", "data.test", "data.folder"};
  keys.insert(keys.end(), model.frozen.begin(), model.frozen.end());
  return keys;
}

std::vector<std::string> path_keys(const Settings& settings) {
  std::vector<std::string> keys = path_keys(model_row(settings.text("model")).info);
  std::erase_if(keys, [&](const std::string& key) { return !settings.has(key); });
  return keys;
}

void find_relative_paths(const std::filesystem::path& folder, Settings& settings) {
  std::error_code ignored;
  if (folder.empty() || folder == current_folder()) return;
  for (const std::string& key : path_keys(settings)) {
    if (settings.text(key).empty()) continue;
    const std::filesystem::path path = settings.text(key);
    if (path.is_relative() && std::filesystem::exists(folder / path, ignored))
      settings.set(key, (folder / path).string());
  }
}

}  // namespace haze
