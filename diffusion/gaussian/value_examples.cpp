#include "haze/diffusion/gaussian/value_examples.h"

namespace haze {

Shape example_shape(const DataFacts& facts, std::string_view model) {
  if (facts.value_shape.empty()) fail("{}: the data are no tensors", model);
  return Shape(std::span(facts.value_shape));
}

const Tensor& values_of(const Batch& batch, const Shape& example, std::string_view model) {
  const Tensor& values = batch.values_for(model);
  if (values.rank() == 0 || values.elements() == 0 ||
      !(values.shape() == batch_shape(values.size(0), example))) {
    fail("{}: the batch's tensor has shape {}, an example of this model has {}", model,
         values.shape().to_string(), example.to_string());
  }
  return values;
}

}  // namespace haze
