#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "haze/nn/checkpoint.h"
#include "haze/tools/tasks/task.h"

namespace haze {

/// A model and all that belongs to it.
struct SavedModel {
  Settings settings;
  std::unique_ptr<Task> task;
  std::unique_ptr<Model> model;
};

/// The model in a checkpoint, with its averaged weights where there are any. `folder` is a run's folder,
/// which stands for its latest checkpoint, a checkpoint's folder, or a run's file `best`. Throws Error where
/// there is none. `change` may set what does not touch the weights, such as how samples are drawn, before the
/// model is made.
SavedModel load_model(const std::filesystem::path& folder, const std::function<void(Settings&)>& change = {});

/// The model of a checkpoint that has been read, with the weights that training goes on from. `run_folder` is
/// its run's; `change` as in load_model().
SavedModel model_of(const Checkpoint& checkpoint, const std::filesystem::path& run_folder,
                    const std::function<void(Settings&)>& change = {});

/// A model of these settings with weights drawn from `generator`. The runs that it stands on are read.
std::unique_ptr<Model> make_model(const Settings& settings, const DataFacts& facts, Generator& generator);

/// The weights of the runs that a model of these settings stands on: the setting's key and the file.
std::vector<std::pair<std::string, std::filesystem::path>> frozen_weights(const Settings& settings);

/// The checkpoint's folder that `folder` stands for, as load_model() takes it.
std::filesystem::path checkpoint_in(const std::filesystem::path& folder);

/// The folder of the run of a checkpoint's folder.
std::filesystem::path run_of_checkpoint(const std::filesystem::path& checkpoint_folder);

/// The latest whole checkpoint of a run; standard error is told of damaged ones that would have come before.
/// Throws Error where there is none.
std::filesystem::path latest_checkpoint_of(const std::filesystem::path& run_folder);

}  // namespace haze
