#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "haze/tools/run/trainer.h"

// One update of one objective: a loss, its gradients, and a step of the optimizer.
namespace haze {
namespace {

/// Adds a part of a mean under its name.
void add_share(NamedTensors& means, const NamedTensor& part, double share) {
  const Tensor number = scale_shift(cast(part.tensor, Dtype::float64), share, 0);
  const auto found =
      std::find_if(means.begin(), means.end(), [&](const auto& mean) { return mean.name == part.name; });
  if (found == means.end()) {
    means.push_back({part.name, number});
  } else {
    add_into(found->tensor, number);
  }
}

bool any_gradient(const std::vector<ParameterGroup>& groups) {
  for (const ParameterGroup& group : groups) {
    for (const NamedParameter& parameter : group.parameters) {
      if (group.rate > 0 && parameter.variable->gradient().defined()) return true;
    }
  }
  return false;
}

}  // namespace

Tensor Trainer::minimise(size_t index, const std::vector<Batch>& batches, double learning_rate,
                         ProfilePhase& phase) {
  Minimisation& minimisation = minimisations_[index];
  double units = 0;
  for (const Batch& batch : batches) units += static_cast<double>(model().units(batch));
  const std::string suffix = suffix_of(index);
  NamedTensors logged;  // the loss, then what else the model logs
  model().clear_gradients();
  for (const Batch& batch : batches) {
    phase.next("batch");
    const Batch prepared_batch = prepared(batch, index);
    phase.next("forward");
    const Loss loss = model().loss(prepared_batch, index, {true, &generator_});
    // A mean over all batches is one over all units: batches count by how many they have.
    const double share = static_cast<double>(model().units(batch)) / units;
    add_share(logged, {std::string(kTrainingLoss) + suffix, loss.total.value()}, share);
    for (const NamedTensor& part : loss.log) add_share(logged, part, share);
    phase.next("backward");
    if (loss.total.requires_gradient()) backward(batches.size() == 1 ? loss.total : loss.total * share);
    if (recorder_ && !recorder_->done())
      recorder_->add_step(loss.inputs, learning_rate, logged.front().tensor.item());
  }
  phase.next("optimizer");
  const Tensor mean = logged.front().tensor;
  if (numbers_are_there()) check_loss(fmt::format("step {}", step_), mean.item());
  const Tensor norm = step_optimizer(minimisation, learning_rate, mean);
  for (const NamedTensor& part : logged) log(part.name, part.tensor);
  log("gradient_norm" + suffix, norm);
  return mean;
}

Tensor Trainer::step_optimizer(Minimisation& minimisation, double learning_rate, const Tensor& loss) {
  const double max_norm = settings().real("optimizer.clip_norm");
  if (numbers_are_there()) {
    double norm = 0;
    const double scale = clip_scale(minimisation.groups, max_norm, &norm);
    minimisation.optimizer->step(learning_rate, scale);
    return full({}, norm, Dtype::float64);
  }
  return step_on_device(minimisation, loss,
                        [&](const Tensor& scale) { minimisation.optimizer->step(learning_rate, scale); });
}

Tensor Trainer::step_on_device(Minimisation& minimisation, const Tensor& loss,
                               const std::function<void(const Tensor& scale)>& step) {
  Tensor norm = zeros({}, Dtype::float64, options_.device);
  if (!any_gradient(minimisation.groups)) return norm;
  const Tensor scale =
      device_clip_scale(minimisation.groups, settings().real("optimizer.clip_norm"), 1, &norm);
  // Not finite where the loss is not: then the step changes nothing.
  step(add(scale, scale_shift(cast(loss, scale.dtype()), 0, 0)));
  return norm;
}

std::string Trainer::suffix_of(size_t index) const {
  return minimisations_.size() > 1 ? "_" + minimisations_[index].objective.name : "";
}

Batch Trainer::prepared(const Batch& batch, size_t index) {
  Batch result = model().prepare(batch, index, generator_);
  return options_.row_multiple > 0 ? model().padded(std::move(result), options_.row_multiple) : result;
}

NamedTensors Trainer::update(size_t index, const Batch& prepared, Generator& generator,
                             const Tensor& learning_rate) {
  Minimisation& minimisation = minimisations_[index];
  const std::string suffix = suffix_of(index);
  model().clear_gradients();
  const Loss loss = model().loss(prepared, index, {true, &generator});
  NamedTensors logged;
  add_share(logged, {std::string(kTrainingLoss) + suffix, loss.total.value()}, 1);
  for (const NamedTensor& part : loss.log) add_share(logged, part, 1);
  if (loss.total.requires_gradient()) backward(loss.total);
  const Tensor norm = step_on_device(minimisation, logged.front().tensor, [&](const Tensor& scale) {
    minimisation.optimizer->step(learning_rate, scale);
  });
  // A graph keeps what is still held at its end: gradients would be one set for each graph.
  model().clear_gradients();
  logged.push_back({"gradient_norm" + suffix, norm});
  return logged;
}

Tensor Trainer::minimise_by_graph(size_t index, const Batch& batch, double learning_rate,
                                  ProfilePhase& phase) {
  const Batch prepared_batch = prepared(batch, index);
  phase.next("update");
  model().clear_gradients();  // their memory is free for a capture
  const NamedTensors logged =
      graphs_->run(prepared_batch, static_cast<int64_t>(index), learning_rate, generator_,
                   [&](const Batch& inputs, Generator& generator, const Tensor& rate) {
                     return update(index, inputs, generator, rate);
                   });
  for (const NamedTensor& part : logged) log(part.name, part.tensor);
  return logged.front().tensor;
}

}  // namespace haze
