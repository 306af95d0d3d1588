#pragma once

#include <cstdint>

namespace haze {

/// From here on peak_resident_bytes() is the peak of what follows, where the system (Linux) lets us;
/// otherwise it stays the peak since the program's start.
void reset_peak_resident();
/// The most memory that this process has had in RAM, all of it: tensors, code, libraries.
int64_t peak_resident_bytes();

}  // namespace haze
