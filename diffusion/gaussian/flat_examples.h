#pragma once

#include <string>

#include "haze/diffusion/gaussian/value_examples.h"

namespace haze {

/// Examples of one shape as the rows that a multilayer perceptron reads.
class FlatExamples {
 public:
  /// Throws Error, in a sentence that names the model, where the data are no tensors.
  FlatExamples(std::string model, const DataFacts& facts);

  /// Numbers of an example.
  int64_t width() const { return shape_.elements(); }
  /// The batch's tensor as [n, width]. Throws Error where there is none, or its examples have another shape.
  Tensor rows_of(const Batch& batch) const;
  /// Levels of an image's numbers; 0: real numbers.
  int64_t levels() const { return levels_; }
  /// Samples of one call of the network an example: rows [n, width] as [n, shape...], an image's numbers
  /// rounded to its levels. The observer, which may be empty, is shown them.
  Samples samples_of(const Tensor& rows, const SampleObserver& observer) const;

 private:
  std::string model_;
  Shape shape_;
  int64_t levels_;
};

/// Each number as the nearest of `levels` numbers evenly from -1 to 1.
Tensor rounded_to_levels(const Tensor& x, int64_t levels);

}  // namespace haze
