#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "haze/engine/error.h"
#include "haze/nn/checkpoint.h"
#include "haze/tools/tasks/task.h"

namespace haze {

/// A model and all that belongs to it.
struct SavedModel {
  Settings settings;
  std::unique_ptr<Task> task;
  std::unique_ptr<Model> model;
};

/// The purpose that a model is made for. Runs that settings of section [sample] name are loaded for sampling
/// alone: a model for training, or for its likelihood, loss or features, is made without them.
enum class Purpose { training, sampling };

/// The model in a checkpoint, with its averaged weights where there are any. `folder` is a run's folder,
/// which stands for its latest checkpoint, a checkpoint's folder, or a run's file `best`. Throws Error where
/// there is none.
///
/// `adjust`, where it is given, changes settings of section [sample] before the model is made: they may name
/// runs that sampling stands on. The model, and those it stands on, lie on `device`.
SavedModel load_model(const std::filesystem::path& folder, const std::function<void(Settings&)>& adjust = {},
                      Purpose purpose = Purpose::sampling, Device device = Device::cpu);

/// The task of the run that `folder` stands for, as load_model() takes it.
std::unique_ptr<Task> load_task(const std::filesystem::path& folder);

/// The model of a checkpoint that has been read, with the weights that training goes on from. `run_folder` is
/// its run's.
SavedModel model_of(const Checkpoint& checkpoint, const std::filesystem::path& run_folder,
                    Device device = Device::cpu);

/// Thrown where settings that are each right make no model together.
class RefusedSettings : public Error {
 public:
  using Error::Error;
};

/// A model of these settings on `device`, with weights drawn from `generator`, the same on every device. The
/// runs that it stands on for `purpose` are read; throws Error where one is missing. Where it would take more
/// than `most_bytes` to make, throws Error before the memory is asked for.
std::unique_ptr<Model> make_model(const Settings& settings, const DataFacts& facts, Generator& generator,
                                  Purpose purpose = Purpose::training, Device device = Device::cpu,
                                  std::optional<size_t> most_bytes = {});

/// The weights of the runs that training a model of these settings stands on: the setting's key and the file.
/// Runs that settings of section [sample] name are not among them: they may be chosen anew for each sampling.
std::vector<std::pair<std::string, std::filesystem::path>> frozen_weights(const Settings& settings);

/// The checkpoint's folder that `folder` stands for, as load_model() takes it.
std::filesystem::path checkpoint_in(const std::filesystem::path& folder);

/// The folder of the run of a checkpoint's folder.
std::filesystem::path run_of_checkpoint(const std::filesystem::path& checkpoint_folder);

/// The latest whole checkpoint of a run; standard error is told of damaged ones that would have come before.
/// Throws Error where there is none.
std::filesystem::path latest_checkpoint_of(const std::filesystem::path& run_folder);

}  // namespace haze
