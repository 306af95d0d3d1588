#pragma once

#include <string_view>

#include "haze/diffusion/model.h"

/// Shared by models of tensors: the shape of an example, and the checks of a batch.
namespace haze {

/// The shape of one example. Throws Error, in a sentence that names the model, where the data are no tensors.
Shape example_shape(const DataFacts& facts, std::string_view model);

/// The batch's tensor [n, example...], n > 0. Throws Error, naming the model, where there is none, or its
/// examples have another shape.
const Tensor& values_of(const Batch& batch, const Shape& example, std::string_view model);

}  // namespace haze
