#include "haze/tools/run/step_graphs.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "haze/engine/caching_allocator.h"
#include "haze/engine/memory_limit.h"
#include "haze/engine/ops.h"
#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

/// Shapes that have come once and are remembered.
constexpr size_t kMostSeen = 1024;

std::string shapes_of(const Batch& prepared, int64_t kind) {
  std::string result = std::to_string(kind);
  for (const Tensor& tensor : prepared.prepared->tensors())
    result += fmt::format(" {} {}", name(tensor.dtype()), tensor.shape().to_string());
  return result;
}

Batch with(Batch batch, std::shared_ptr<const Prepared> prepared) {
  batch.prepared = std::move(prepared);
  return batch;
}

}  // namespace

NamedTensors StepGraphs::run(const Batch& prepared, int64_t kind, double learning_rate, Generator& generator,
                             const Step& step) {
  const auto eagerly = [&] {
    return step(prepared, generator, full({}, learning_rate, Dtype::float64, device_));
  };
  if (!prepared.prepared || prepared.prepared->tensors().empty())
    run_without(kind, "the loss of this model reads more of a batch than tensors of the device");
  if (without_.contains(kind)) return eagerly();
  std::string shapes = shapes_of(prepared, kind);
  const auto found = std::find_if(captured_.begin(), captured_.end(),
                                  [&](const Captured& captured) { return captured.shapes == shapes; });
  if (found != captured_.end()) {
    captured_.splice(captured_.begin(), captured_, found);
  } else if (const auto seen = std::find(seen_.begin(), seen_.end(), shapes); seen == seen_.end()) {
    seen_.push_front(std::move(shapes));
    if (seen_.size() > kMostSeen) seen_.pop_back();
    return eagerly();
  } else {
    seen_.erase(seen);
    if (captured_.size() == most_) captured_.pop_back();
    try {
      captured_.push_front(capture(prepared, std::move(shapes), generator, step));
    } catch (const OutOfMemory&) {
      throw;
    } catch (const MemoryLimitReached&) {
      throw;
    } catch (const Error& error) {
      run_without(kind, error.what());
      return eagerly();
    }
  }
  return replay(captured_.front(), prepared, learning_rate, generator);
}

void StepGraphs::run_without(int64_t kind, std::string_view reason) {
  if (without_.insert(kind).second) say(fmt::format("steps run without graphs: {}", reason));
}

StepGraphs::Captured StepGraphs::capture(const Batch& prepared, std::string shapes,
                                         const Generator& generator, const Step& step) {
  Captured result{.shapes = std::move(shapes),
                  .inputs = prepared.prepared->to(device_),
                  .learning_rate = zeros({}, Dtype::float64, device_),
                  .counter = random_counter(0, device_)};
  Generator draws(generator.state().seed, generator.state().stream);
  draws.set_base(random_base(result.counter));
  const Batch inputs = with(prepared, result.inputs);
  result.graph = Graph::capture(
      device_, [&] { result.results = step(inputs, draws, result.learning_rate); }, pool_);
  result.draws = draws.state().counter;
  return result;
}

NamedTensors StepGraphs::replay(const Captured& captured, const Batch& prepared, double learning_rate,
                                Generator& generator) {
  const std::vector<Tensor> from = prepared.prepared->tensors(), into = captured.inputs->tensors();
  for (size_t i = 0; i < from.size(); ++i) copy_into(into[i], to(from[i], device_));
  fill(captured.learning_rate, learning_rate);
  copy_into(captured.counter, random_counter(generator.state().counter, device_));
  captured.graph.replay();
  ++replays_;
  Generator::State state = generator.state();
  state.counter += captured.draws;
  generator.set_state(state);
  NamedTensors results;
  for (const NamedTensor& result : captured.results) results.push_back({result.name, clone(result.tensor)});
  return results;
}

}  // namespace haze
