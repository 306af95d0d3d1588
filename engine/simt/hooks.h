#pragma once

#include <cstdint>

namespace haze::simt {

/// How often the hooks before memory accesses have been called, inside kernels or not.
uint64_t hook_calls();

}  // namespace haze::simt
