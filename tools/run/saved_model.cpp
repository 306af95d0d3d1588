#include "haze/tools/run/saved_model.h"

#include <cstdio>

#include "haze/tools/run/models.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<Model> load_frozen(const fs::path& folder) {
  SavedModel saved = load_model(folder);
  for (const NamedParameter& parameter : saved.model->parameters())
    *parameter.variable = Variable(parameter.variable->value());
  return std::move(saved.model);
}

}  // namespace

std::unique_ptr<Model> make_model(const Settings& settings, const DataFacts& facts, Generator& generator) {
  const ModelInfo& info = model_row(settings.text("model")).info;
  FrozenModels frozen;
  for (const std::string& key : info.frozen) {
    const std::string& run = settings.text(key);
    if (run.empty()) fail("the model {} stands on another run, which {} has to name", info.name, key);
    frozen.push_back(load_frozen(run));
  }
  return info.make(settings, facts, frozen, generator);
}

SavedModel model_of(const Checkpoint& checkpoint, const fs::path& run_folder) {
  Settings settings = read_run_configuration(checkpoint.text("config.toml"), "config.toml of the checkpoint");
  std::unique_ptr<Task> task = restore_task(settings, run_folder, checkpoint.texts);
  Generator unused(0);
  std::unique_ptr<Model> model = make_model(settings, task->facts(), unused);
  copy_by_name(parameter_tensors(*model), checkpoint.model, true, "model.safetensors of the checkpoint");
  return {std::move(settings), std::move(task), std::move(model)};
}

SavedModel load_model(const fs::path& folder) {
  const fs::path checkpoint_folder = checkpoint_in(folder);
  const Checkpoint checkpoint = read_checkpoint(checkpoint_folder);
  SavedModel saved = model_of(checkpoint, run_of_checkpoint(checkpoint_folder));
  if (!checkpoint.ema.empty()) {
    copy_by_name(parameter_tensors(*saved.model), checkpoint.ema, false, "ema.safetensors of the checkpoint");
  }
  return saved;
}

fs::path checkpoint_in(const fs::path& folder) {
  if (fs::exists(folder / "model.safetensors")) return folder;
  if (folder.filename() == "best" && fs::is_regular_file(folder)) {
    const auto best = find_best_checkpoint(folder.parent_path());
    if (!best) fail("{}: the best checkpoint is not whole", folder.string());
    return *best;
  }
  if (!fs::is_directory(folder)) fail("{}: there is no such run", folder.string());
  return latest_checkpoint_of(folder);
}

fs::path run_of_checkpoint(const fs::path& checkpoint_folder) {
  return fs::canonical(checkpoint_folder).parent_path();
}

fs::path latest_checkpoint_of(const fs::path& run_folder) {
  std::vector<std::string> damage;
  const auto latest = find_latest_checkpoint(run_folder, &damage);
  if (!latest) {
    fail("{}: the folder holds no whole checkpoint{}", run_folder.string(),
         damage.empty() ? "" : fmt::format(" ({})", damage.front()));
  }
  for (const std::string& sentence : damage)
    std::fputs(fmt::format("haze: {}; this is {} instead\n", sentence, latest->string()).c_str(), stderr);
  return *latest;
}

}  // namespace haze
