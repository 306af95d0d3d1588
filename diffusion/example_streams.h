#pragma once

#include <cstddef>
#include <vector>

#include "haze/engine/generator.h"

namespace haze {

/// A stream of random numbers for each of `count` examples. That of example i depends on the generator and i
/// alone, whatever the count.
std::vector<Generator> example_streams(size_t count, Generator& generator);

}  // namespace haze
