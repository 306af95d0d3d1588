#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "haze/nn/module.h"

namespace haze {

/// A tensor and the name that it has in a file.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

using NamedTensors = std::vector<NamedTensor>;

/// The parameters' values in the module's order. They share the parameters' storage.
NamedTensors parameter_tensors(Module& module);

/// The parameters' values, then the buffers: all that a file of the module holds. They share its storage.
NamedTensors state_tensors(Module& module);

/// "a, b, c", cut after the first ten: for errors.
std::string name_list(std::vector<std::string> names);

/// Names that two sets of tensors do not have in common.
struct NameDifference {
  std::vector<std::string> missing;     // targets without a source
  std::vector<std::string> unexpected;  // sources without a target
};

/// Copies every source into the storage of the target of the same name and returns the names left over; where
/// `strict`, a name left over is an error. Shapes must be equal, and so must dtypes, but that one floating
/// dtype is converted to another. Throws one Error that lists everything that does not fit, begins with
/// `source_name`, and is thrown before any target has changed.
NameDifference copy_by_name(const NamedTensors& targets, const NamedTensors& sources, bool strict,
                            std::string_view source_name);

/// The names of targets, in their order, by what copy_matching() did with them.
struct NameMatch {
  std::vector<std::string> taken;        // copied from the source of the same name
  std::vector<std::string> missing;      // no source has the name
  std::vector<std::string> other_shape;  // the source has another shape, or a dtype that is not converted
};

/// Copies into each target the source of the same name and shape, where there is one. The other targets stay
/// as they are. A network starts this way from one that is only partly the same. One floating dtype is
/// converted to another.
NameMatch copy_matching(const NamedTensors& targets, const NamedTensors& sources);

}  // namespace haze
