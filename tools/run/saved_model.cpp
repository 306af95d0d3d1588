#include "haze/tools/run/saved_model.h"

#include "haze/engine/memory_limit.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/relative_paths.h"
#include "haze/tools/run/run_state.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

FrozenModel load_frozen(const fs::path& folder, Purpose purpose, Device device) {
  SavedModel saved = load_model(folder, {}, purpose, device);
  for (const NamedParameter& parameter : saved.model->parameters())
    *parameter.variable = Variable(parameter.variable->value());
  return {std::move(saved.model), saved.task->facts(), std::move(saved.settings)};
}

// Throws Error where a run that the model stands on has other weights than when the checkpoint was saved.
void check_frozen(const Settings& settings, const RunState& state) {
  for (const auto& [key, weights] : frozen_weights(settings)) {
    const std::string now = fingerprint_of(weights);
    if (now == state.fingerprint(key)) continue;
    fail("{} has changed since the run began, from {} to {}: the run can only go on with the same weights",
         weights.string(), state.fingerprint(key), now);
  }
}

// Bytes that a model of these weights may take while it is made: its weights and what they are drawn with.
size_t memory_for(const NamedTensors& weights) {
  constexpr size_t kSmall = size_t{64} << 20;
  size_t bytes = 0;
  for (const NamedTensor& weight : weights)
    bytes += static_cast<size_t>(weight.tensor.elements()) * size_of(weight.tensor.dtype());
  return kSmall + 8 * bytes;
}

SavedModel restored(const Checkpoint& checkpoint, const fs::path& run_folder,
                    const std::function<void(Settings&)>& adjust, Purpose purpose, Device device) {
  Settings settings = read_run_configuration(checkpoint.text("config.toml"), "config.toml of the checkpoint");
  const RunState state = parse_state(checkpoint.text("state.toml"));
  find_relative_paths(state.working_folder, settings);
  check_frozen(settings, state);
  if (adjust) adjust(settings);
  std::unique_ptr<Task> task = restore_task(settings, run_folder, checkpoint.texts);
  Generator unused(0);
  std::unique_ptr<Model> model =
      make_model(settings, task->facts(), unused, purpose, device, memory_for(checkpoint.model));
  copy_by_name(state_tensors(*model), checkpoint.model, true, "model.safetensors of the checkpoint");
  return {std::move(settings), std::move(task), std::move(model)};
}

// The checkpoint that `folder` stands for, and its run's folder.
std::pair<Checkpoint, fs::path> checkpoint_of(const fs::path& folder) {
  fs::path run_folder;
  Checkpoint checkpoint = read_checkpoint([&] {
    const fs::path checkpoint_folder = checkpoint_in(folder);
    run_folder = run_of_checkpoint(checkpoint_folder);
    return checkpoint_folder;
  });
  return {std::move(checkpoint), run_folder};
}

}  // namespace

std::unique_ptr<Model> make_model(const Settings& settings, const DataFacts& facts, Generator& generator,
                                  Purpose purpose, Device device, std::optional<size_t> most_bytes) {
  const ModelInfo& info = model_row(settings.text("model")).info;
  FrozenModels frozen;
  for (const std::string& key : info.frozen) {
    const std::string& run = settings.text(key);
    const bool left_out = run.empty() || (purpose == Purpose::training && is_of_sampling(key));
    frozen.push_back(left_out ? FrozenModel{nullptr, {}, settings} : load_frozen(run, purpose, device));
  }
  std::optional<MemoryLimit> limit;
  if (most_bytes) limit.emplace(*most_bytes);
  std::unique_ptr<Model> model;
  try {
    model = info.make(settings, facts, frozen, generator);
  } catch (const MemoryLimitReached&) {
    fail("config.toml of the checkpoint asks for a network that is far larger than the weights beside it");
  } catch (const Error& error) {
    throw RefusedSettings(error.what());
  }
  limit.reset();
  model->to(device);
  return model;
}

std::vector<std::pair<std::string, fs::path>> frozen_weights(const Settings& settings) {
  std::vector<std::pair<std::string, fs::path>> weights;
  for (const std::string& key : model_row(settings.text("model")).info.frozen) {
    const std::string& run = settings.text(key);
    if (!run.empty() && !is_of_sampling(key))
      weights.emplace_back(key, checkpoint_in(run) / "model.safetensors");
  }
  return weights;
}

SavedModel model_of(const Checkpoint& checkpoint, const fs::path& run_folder, Device device) {
  return restored(checkpoint, run_folder, {}, Purpose::training, device);
}

SavedModel load_model(const fs::path& folder, const std::function<void(Settings&)>& adjust, Purpose purpose,
                      Device device) {
  const auto [checkpoint, run_folder] = checkpoint_of(folder);
  SavedModel saved = restored(checkpoint, run_folder, adjust, purpose, device);
  if (!checkpoint.ema.empty()) {
    copy_by_name(parameter_tensors(*saved.model), checkpoint.ema, false, "ema.safetensors of the checkpoint");
  }
  return saved;
}

std::unique_ptr<Task> load_task(const fs::path& folder) {
  const auto [checkpoint, run_folder] = checkpoint_of(folder);
  const Settings settings =
      read_run_configuration(checkpoint.text("config.toml"), "config.toml of the checkpoint");
  return restore_task(settings, run_folder, checkpoint.texts);
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
  // Not fs::canonical: a run that trains may have removed it meanwhile.
  return fs::weakly_canonical(checkpoint_folder).parent_path();
}

fs::path latest_checkpoint_of(const fs::path& run_folder) {
  std::vector<std::string> damage;
  const auto latest = find_latest_checkpoint(run_folder, &damage);
  if (!latest && damage.empty() && fs::exists(run_folder / "run.lock")) {
    fail(
        "{0}: the run was ended before its first checkpoint, or has not come to it yet; haze train --config "
        "{0}/config.toml --out {0} begins anew",
        run_folder.string());
  }
  if (!latest) {
    fail("{}: the folder holds no whole checkpoint{}", run_folder.string(),
         damage.empty() ? "" : fmt::format(" ({})", damage.front()));
  }
  for (const std::string& sentence : damage)
    say(fmt::format("haze: {}; this is {} instead", sentence, latest->string()));
  return *latest;
}

}  // namespace haze
