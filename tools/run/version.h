#pragma once

#include <string_view>

namespace haze {

/// The program's version, such as "0.1.0".
std::string_view program_version();

}  // namespace haze
