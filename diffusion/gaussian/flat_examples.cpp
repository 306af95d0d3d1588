#include "haze/diffusion/gaussian/flat_examples.h"

#include <algorithm>
#include <cmath>

namespace haze {

FlatExamples::FlatExamples(std::string model, const DataFacts& facts) : model_(std::move(model)) {
  if (facts.value_shape.empty()) fail("{}: the data are no tensors", model_);
  for (int64_t extent : facts.value_shape) shape_.append(extent);
}

Shape FlatExamples::with_count(int64_t count) const {
  Shape shape{count};
  for (int axis = 0; axis < shape_.rank(); ++axis) shape.append(shape_[axis]);
  return shape;
}

Tensor FlatExamples::rows_of(const Batch& batch) const {
  const Tensor& values = batch.values_for(model_);
  if (values.rank() == 0 || values.elements() == 0 || !(values.shape() == with_count(values.size(0)))) {
    fail("{}: the batch's tensor has shape {}, an example of this model has {}", model_,
         values.shape().to_string(), shape_.to_string());
  }
  return reshape(values, {values.size(0), width()});
}

Tensor FlatExamples::shaped(const Tensor& rows) const {
  return reshape(rows, with_count(rows.size(0)));
}

Tensor rounded_to_levels(const Tensor& x, int64_t levels) {
  const double intervals = static_cast<double>(levels - 1);
  std::vector<double> numbers = x.to_vector<double>();
  for (double& number : numbers) {
    const double level = std::round((number + 1) / 2 * intervals);
    number = 2 * std::clamp(level, 0.0, intervals) / intervals - 1;
  }
  return cast(Tensor::from(numbers, x.shape()), x.dtype());
}

}  // namespace haze
