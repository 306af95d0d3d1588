#pragma once

#include <functional>
#include <memory>

#include "haze/engine/device.h"
#include "haze/engine/memory.h"

namespace haze {

/// Kernels that the host has called once, and that run again, all together, by one call: a CUDA graph. What a
/// training step costs the host, such as shapes, checks and one launch after another, it costs once.
///
///   const Tensor x = zeros({2}, Dtype::float32, Device::simt);
///   const Graph graph = Graph::capture(Device::simt, [&] { add_into(x, ones_like(x)); });
///   for (int i = 0; i < 3; ++i) graph.replay();  // x is 3
///
/// A replay does the same to the same memory. All that differs from one to the next lies in tensors that are
/// changed in between: inputs (copy_into()), learning rate and scale of an optimizer (Optimizer::step() with
/// tensors), and the position of random numbers (Generator::set_base(), advance_counter()). Numbers of the
/// host, such as a `double` argument, stay what they were.
class Graph {
 public:
  /// A graph of nothing: replay() does nothing.
  Graph();
  Graph(Graph&& other) noexcept;
  Graph& operator=(Graph&& other) noexcept;
  /// Its memory can serve others then.
  ~Graph();

  /// Calls `work` once. The kernels that it calls on `device` are recorded and do not run: tensors that it
  /// makes hold nothing before the first replay. The graph keeps every tensor that its kernels use. `work`
  /// must have run before, without a graph: a first run loads kernels and libraries. No other thread may use
  /// the device meanwhile.
  ///
  /// Throws Error where the device has no graphs, within a MemoryPoolScope, and where memory does not
  /// suffice. It also does where `work` waits for the device, as item() does, copies from the host, or
  /// captures or replays another graph. An exception of `work` passes through; the device is then as it was
  /// before.
  ///
  /// Graphs may share a pool of the device. Those of equal shapes need the memory of one; others take blocks
  /// of the pool where these fit. Each overwrites what the others have left there, but for tensors that
  /// `work` has made and that somebody holds.
  ///
  /// The device's cached free memory is given back first. A profile has no call of a captured kernel.
  static Graph capture(Device device, const std::function<void()>& work,
                       std::shared_ptr<const MemoryPool> pool = nullptr);

  /// Runs the kernels behind everything that was called before, and does not wait for them. A value that one
  /// of them refuses is reported as ever, when the device is next waited for. Every tensor that the graph
  /// writes to counts as changed.
  void replay() const;

  /// How many kernels there are.
  int64_t size() const;

 private:
  struct Contents;
  explicit Graph(std::unique_ptr<Contents> contents);

  std::unique_ptr<Contents> contents_;
};

}  // namespace haze
