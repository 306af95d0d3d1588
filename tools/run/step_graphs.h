#pragma once

#include <functional>
#include <list>
#include <set>
#include <string>
#include <string_view>

#include "haze/diffusion/model.h"
#include "haze/engine/graph.h"

namespace haze {

/// Training steps on a GPU, captured as graphs: one for each shape of a batch. A shape is captured when it
/// comes for the second time. Its first step loads kernels, and many shapes never come again. There are at
/// most `most` graphs; the one that was used longest ago makes room.
class StepGraphs {
 public:
  static constexpr size_t kMost = 32;

  explicit StepGraphs(Device device, size_t most = kMost)
      : device_(device), most_(most), pool_(std::make_shared<const MemoryPool>(device)) {}

  /// A step with a batch on the device, random numbers, and a learning rate, float64 []. It reads nothing on
  /// the host, and gives what is to be logged.
  using Step =
      std::function<NamedTensors(const Batch& batch, Generator& generator, const Tensor& learning_rate)>;

  /// Does `step`, with the bits of a step without a graph, and moves `generator` on as it would. Steps of
  /// different `kind` are different steps. A batch whose loss reads more than Prepared::tensors() is not
  /// captured. Nor is a kind of step of which a capture has been refused. Such steps run without a graph from
  /// then on, and standard error says why, once. Where memory does not suffice for a capture, that is an
  /// Error.
  NamedTensors run(const Batch& prepared, int64_t kind, double learning_rate, Generator& generator,
                   const Step& step);

  /// Steps so far that were replays.
  int64_t replays() const { return replays_; }
  size_t size() const { return captured_.size(); }

 private:
  /// A graph, what it reads and what it writes.
  struct Captured {
    std::string shapes;
    std::shared_ptr<const Prepared> inputs;
    Tensor learning_rate, counter;
    uint64_t draws = 0;  // counters that a step takes from the generator
    NamedTensors results;
    Graph graph;
  };

  void run_without(int64_t kind, std::string_view reason);
  Captured capture(const Batch& prepared, std::string shapes, const Generator& generator, const Step& step);
  NamedTensors replay(const Captured& captured, const Batch& prepared, double learning_rate,
                      Generator& generator);

  Device device_;
  size_t most_;
  std::shared_ptr<const MemoryPool> pool_;  // they run one after the other
  int64_t replays_ = 0;
  std::set<int64_t> without_;     // kinds that run without a graph
  std::list<Captured> captured_;  // the one used last first
  std::list<std::string> seen_;   // shapes that have come once, the latest first
};

}  // namespace haze
