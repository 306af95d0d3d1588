#include "haze/engine/graph_capture.h"

#include <utility>

#include "haze/engine/error.h"

namespace haze {
namespace {

thread_local GraphCapture* current_capture = nullptr;

bool is_captured(Device device) {
  return current_capture && current_capture->device() == device;
}

}  // namespace

GraphCapture* GraphCapture::current() {
  return current_capture;
}

GraphCapture::GraphCapture(Device device, std::shared_ptr<const MemoryPool> pool) {
  if (current_capture)
    fail("graph: one is captured already, on {}; captures do not nest", name(current_capture->device()));
  // The blocks of the step that ran before lie in the common cache, where the pool cannot have them.
  release_cached_memory(device);
  memory_.pool = pool ? std::move(pool) : std::make_shared<const MemoryPool>(device);
  for (const Storage& storage : memory_.pool->in_use()) before_[storage.data()] = storage;
  scope_.emplace(*memory_.pool);
  // Last: whatever throws after it would leave the capture open, as nobody calls the destructor then.
  if (!runtime(device).begin_capture()) fail("graph: device {} has none; cuda and simt have", name(device));
  recording_ = true;
  current_capture = this;
}

GraphCapture::~GraphCapture() {
  if (current_capture == this) current_capture = nullptr;
  if (recording_) runtime(device()).abandon_capture();
}

void GraphCapture::note(const Storage& storage, const char* written_by) {
  if (storage.device() != device()) return;
  if (memory_.pool->owns(storage) && !before_.contains(storage.data())) {
    if (written_by) written_in_pool_[storage.data()] = written_by;
    return;
  }
  GraphMemory::Operand& operand = memory_.operands[storage.data()];
  operand.storage = storage;
  if (written_by) operand.written_by = written_by;
}

GraphCapture::Result GraphCapture::end() {
  current_capture = nullptr;
  recording_ = false;
  std::unique_ptr<RecordedWork> work = runtime(device()).end_capture();
  scope_.reset();
  before_.clear();
  // Tensors that `work` made and that are still there are written by each replay.
  for (const Storage& storage : memory_.pool->in_use()) {
    const auto written = written_in_pool_.find(storage.data());
    if (written != written_in_pool_.end()) memory_.operands[storage.data()] = {storage, written->second};
  }
  return {std::move(memory_), std::move(work)};
}

void check_may_wait(Device device) {
  if (!is_captured(device)) return;
  fail(
      "graph: the host waits for {} while a graph of it is captured, whose kernels run at a replay; item(), "
      "to_vector(), to() and synchronize() come after that",
      name(device));
}

void check_may_copy_from_host(Device device) {
  if (!is_captured(device)) return;
  fail(
      "graph: numbers of the host are copied to {} while a graph of it is captured, and each replay would "
      "find "
      "the same; copy them into a tensor before that",
      name(device));
}

}  // namespace haze
