#include "haze/tools/run/sampling.h"

#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

TraceTokens shown_tokens(const TraceStep& step) {
  TraceTokens tokens = step.tokens;
  std::erase(tokens, std::optional<std::string>(""));
  return tokens;
}

}  // namespace

const Sampler& sampler_of(const Model& model, const Settings& settings) {
  const Sampler* sampler = model.sampler();
  if (!sampler) fail("the model {} cannot sample", settings.text("model"));
  return *sampler;
}

Samples draw_samples(const Model& model, const Task& task, const Settings& settings,
                     const SampleRequest& request, const SampleObserver& observer) {
  const Uses uses = sampler_of(model, settings).uses();
  return draw_samples(model, task, settings, task.requests(settings, uses, request), request.seed, observer);
}

Samples draw_samples(const Model& model, const Task& task, const Settings& settings,
                     std::span<const Request> requests, uint64_t seed, const SampleObserver& observer) {
  const Sampler& sampler = sampler_of(model, settings);
  const PrecisionScope precision(precision_called(settings.text("sample.precision")));
  const NoGradient no_gradient;
  Generator generator(seed);
  Samples samples = sampler.sample(
      requests, {settings, task.forbidden_tokens(settings, sampler.uses()), observer}, generator);
  if (samples.values.defined()) samples.values = to(samples.values, Device::cpu);
  return samples;
}

void TraceKeeper::observe(const Snapshot& snapshot) {
  TraceStep step = task_.trace_step(snapshot, index_);
  if (trace_.steps.empty()) {
    // A sampler may add open tokens behind a prompt before its first step.
    if (trace_.fixed.size() < step.tokens.size()) trace_.fixed.resize(step.tokens.size());
  } else if (shown_tokens(trace_.steps.back()) == shown_tokens(step)) {
    return;
  }
  trace_.steps.push_back(std::move(step));
}

}  // namespace haze
