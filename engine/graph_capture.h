#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "haze/engine/device.h"
#include "haze/engine/memory.h"

namespace haze {

/// The memory that a graph's kernels use: a pool for what was allocated during the capture, and handles of
/// what was there before and of what is still held after it.
struct GraphMemory {
  struct Operand {
    Storage storage;
    const char* written_by = nullptr;  // the last operation of the graph that writes there; null: none does
  };

  std::shared_ptr<const MemoryPool> pool;
  std::unordered_map<const void*, Operand> operands;
};

/// While it lives, what this thread calls on a device is recorded for a graph (graph.h).
class GraphCapture {
 public:
  /// Memory comes from `pool`, which is on `device`; null: from one of its own. Throws Error where this
  /// thread captures a graph already, and where the device has no graphs.
  explicit GraphCapture(Device device, std::shared_ptr<const MemoryPool> pool);
  /// Gives up what has been recorded, unless end() has been called.
  ~GraphCapture();
  GraphCapture(const GraphCapture&) = delete;
  GraphCapture& operator=(const GraphCapture&) = delete;

  /// That of this thread; null where nothing is recorded.
  static GraphCapture* current();

  Device device() const { return memory_.pool->device(); }
  /// An operand of a recorded call; `written_by` is the call's name where it writes there, and otherwise
  /// null.
  void note(const Storage& storage, const char* written_by);

  struct Result {
    GraphMemory memory;
    std::unique_ptr<RecordedWork> work;
  };
  Result end();

 private:
  GraphMemory memory_;
  /// Those of a shared pool that others hold: nobody gets their memory during the capture.
  std::unordered_map<const void*, Storage> before_;
  std::unordered_map<const void*, const char*> written_in_pool_;  // by which operation
  std::optional<MemoryPoolScope> scope_;
  bool recording_ = false;
};

/// For the runtime of a device, before the host waits for it. Throws Error where a graph of it is captured.
void check_may_wait(Device device);
/// The same before numbers of the host are copied there.
void check_may_copy_from_host(Device device);

}  // namespace haze
