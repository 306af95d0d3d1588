#include "haze/diffusion/gaussian/flat_examples.h"

#include <algorithm>
#include <cmath>

namespace haze {

FlatExamples::FlatExamples(std::string model, const DataFacts& facts)
    : model_(std::move(model)), shape_(example_shape(facts, model_)), levels_(facts.value_levels) {}

Tensor FlatExamples::rows_of(const Batch& batch) const {
  const Tensor& values = values_of(batch, shape_, model_);
  return reshape(values, {values.size(0), width()});
}

Samples FlatExamples::samples_of(const Tensor& rows, const SampleObserver& observer) const {
  const int64_t count = rows.size(0);
  const Tensor values =
      reshape(levels_ > 0 ? rounded_to_levels(rows, levels_) : rows, batch_shape(count, shape_));
  if (observer) observer({.step = 1, .steps = 1, .values = &values, .time = {}});
  return {.values = values, .network_calls = count};
}

Tensor rounded_to_levels(const Tensor& x, int64_t levels) {
  const double intervals = static_cast<double>(levels - 1);
  std::vector<double> numbers = x.to_vector<double>();
  for (double& number : numbers) {
    const double level = std::round((number + 1) / 2 * intervals);
    number = 2 * std::clamp(level, 0.0, intervals) / intervals - 1;
  }
  return cast(Tensor::from(numbers, x.shape(), x.device()), x.dtype());
}

}  // namespace haze
