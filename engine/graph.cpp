#include "haze/engine/graph.h"

#include <utility>

#include "haze/engine/error.h"
#include "haze/engine/graph_capture.h"
#include "haze/engine/profile.h"

namespace haze {

// The work ends first, then the handles of its memory, then the pool.
struct Graph::Contents {
  Device device;
  GraphMemory memory;
  std::unique_ptr<RecordedWork> work;
};

Graph::Graph(std::unique_ptr<Contents> contents) : contents_(std::move(contents)) {}

Graph::Graph() = default;
Graph::Graph(Graph&& other) noexcept = default;
Graph& Graph::operator=(Graph&& other) noexcept = default;
Graph::~Graph() = default;

Graph Graph::capture(Device device, const std::function<void()>& work,
                     std::shared_ptr<const MemoryPool> pool) {
  if (pool && pool->device() != device)
    fail("graph: a pool of {} for a graph of {}", name(pool->device()), name(device));
  GraphCapture capture(device, std::move(pool));
  work();
  GraphCapture::Result result = capture.end();
  return Graph(std::make_unique<Contents>(device, std::move(result.memory), std::move(result.work)));
}

void Graph::replay() const {
  if (GraphCapture::current())
    fail("graph: replay() while another graph is captured; capture what it does instead");
  if (!contents_) return;
  if (ProfileScope* const scope = ProfileScope::current()) {
    scope->record({.operation = "graph"}, contents_->device, [&] { contents_->work->run(); });
  } else {
    contents_->work->run();
  }
  for (const auto& [address, operand] : contents_->memory.operands) {
    if (operand.written_by) operand.storage.mark_written(operand.written_by);
  }
}

int64_t Graph::size() const {
  return contents_ ? contents_->work->size() : 0;
}

}  // namespace haze
