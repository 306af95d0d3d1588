#pragma once

#include <filesystem>

namespace haze {

/// The folder of a run, held by the one process that trains it. The file `run.lock` in it marks the folder as
/// a run's, and is locked (flock) for as long as this lives and the process does, however it ends.
class RunFolder {
 public:
  /// Takes a folder for a new run, which is made where it is missing. Throws Error where the folder holds
  /// checkpoints, damaged ones included, or files that no run has left there, or where another process trains
  /// in it.
  static RunFolder start(const std::filesystem::path& folder);
  /// Takes the folder of a run to go on with. Throws Error where it is not one, or another process trains in
  /// it.
  static RunFolder resume(const std::filesystem::path& folder);

  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&&) = delete;
  /// Gives the folder back. Where start() found it missing or empty and keep() was not called, what a run
  /// writes before its first step is removed again; folders above it that were missing stay.
  ~RunFolder();

  /// The run has begun: its files stay.
  void keep() { remove_ = false; }

  /// Throws Error where the folder is no longer the one that was taken: it was removed or moved, and another
  /// may be in its place, whose files belong to another process.
  void require_held() const;

 private:
  RunFolder(const std::filesystem::path& folder, bool made);

  std::filesystem::path folder_;
  bool made_;            // the folder is not from before
  bool remove_ = false;  // what is in it, when this ends
  int descriptor_;       // of the locked file; -1: moved from
};

}  // namespace haze
