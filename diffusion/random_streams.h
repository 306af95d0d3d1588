#pragma once

#include <cstddef>
#include <vector>

#include "haze/engine/generator.h"

namespace haze {

/// A generator for each of `count` examples. Number i depends on the state of `generator` and on i alone,
/// whatever the count. Takes one counter out of `generator`, so that the next call gives others.
std::vector<Generator> random_streams(Generator& generator, size_t count);

}  // namespace haze
