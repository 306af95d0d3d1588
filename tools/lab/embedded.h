#pragma once

#include <string_view>

/// Files of this folder that are part of the program (haze_embed() in CMakeLists.txt).
namespace haze {

extern const std::string_view kCompiledKernelsText;
extern const std::string_view kPuzzleSources[3];

}  // namespace haze
