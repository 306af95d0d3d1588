#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "haze/nn/named_tensors.h"

namespace haze {

/// Everything from which a run goes on as if it had never stopped. On the disk it is a folder, "step-000500",
/// of model.safetensors, optimizer.safetensors, ema.safetensors (where there are averages), the texts, and
/// manifest.json, which holds the size and the CRC-32 of each of the others.
struct Checkpoint {
  int64_t step = 0;  // >= 0
  NamedTensors model;
  NamedTensors optimizer;
  NamedTensors ema;
  std::vector<std::pair<std::string, std::string>> texts;  // file name, contents; such as "config.toml"

  /// Contents of a text. Throws Error where there is none of this name.
  const std::string& text(std::string_view file_name) const;
};

struct SaveOptions {
  int keep = 2;       // newest checkpoints to keep, >= 1
  bool best = false;  // whether this checkpoint is the best of the run so far
  /// Asked before anything in the run folder is made, renamed or removed; where it throws, nothing more is.
  std::function<void()> before_change = {};
};

/// Writes a checkpoint into `run_folder`, which is made where there is none, and returns its folder. Only one
/// process at a time may save to a run folder. The checkpoint is written to a folder of another name, synced
/// and renamed. Then the file `best` names it, if it is the best so far, and then the file `latest`. Through
/// crashes and power cuts, at every moment find_latest_checkpoint() finds a whole checkpoint, the one before
/// or the new one. So does find_best_checkpoint(), once there is a best one. A checkpoint of the same step is
/// replaced; where `best` named that one, it names the new one.
///
/// Then these are removed: all but the newest `keep` checkpoints and the best one; what earlier crashes left
/// unfinished; and checkpoints of later steps, the best one included. They belong to a run that has been
/// abandoned.
///
/// Throws Error where the system refuses (the checkpoint before stays whole). Throws Error before anything is
/// written where a text's name is a path, begins with a dot, occurs twice or is taken. The same holds where a
/// tensor holds NaN or infinity; the sentence names the tensor and the checkpoint to go back to.
std::filesystem::path save_checkpoint(const std::filesystem::path& run_folder, const Checkpoint& checkpoint,
                                      const SaveOptions& options = {});

/// Removes what a killed process has left unfinished in a run folder: what the process that goes on with the
/// run does first. A file that another process is writing stays. Like save_checkpoint(), for one process at a
/// time.
void remove_unfinished(const std::filesystem::path& run_folder);

/// The folder of the checkpoint saved last, or, where it is damaged, the whole one of the latest step; none
/// where there is no whole checkpoint. `damage`, where it is given, gets a sentence for each that was passed
/// over, with what is wrong with it.
std::optional<std::filesystem::path> find_latest_checkpoint(const std::filesystem::path& run_folder,
                                                            std::vector<std::string>* damage = nullptr);

/// The folder of the best checkpoint. There is none before one has been saved as the best, after the run has
/// gone back to before it, and while it is damaged. `damage`, where it is given, gets a sentence for what is
/// wrong with it.
std::optional<std::filesystem::path> find_best_checkpoint(const std::filesystem::path& run_folder,
                                                          std::vector<std::string>* damage = nullptr);

/// The step of a checkpoint's folder. Throws Error as read_checkpoint() does, numbers of tensors apart.
int64_t step_of_checkpoint(const std::filesystem::path& folder);

/// Reads a checkpoint's folder. Throws Error, in one sentence, where a part is missing or is not, byte for
/// byte, what was written, and where a tensor holds NaN or infinity.
Checkpoint read_checkpoint(const std::filesystem::path& folder);

/// Reads the checkpoint whose folder `find` names. If a process that trains the run removes or replaces it
/// meanwhile, `find` is asked again.
Checkpoint read_checkpoint(const std::function<std::filesystem::path()>& find);

}  // namespace haze
