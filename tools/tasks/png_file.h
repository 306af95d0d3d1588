#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace haze {

/// Pixels of a PNG file: 8 bits a channel, 1 channel (gray) or 3 (red, green, blue).
struct PngImage {
  int64_t height = 0, width = 0, channels = 1;
  std::vector<uint8_t> pixels;  // [height, width, channels]
};

/// The image of a PNG file. Palettes become colours, and 16 bits a channel become 8. Throws Error, with the
/// file's name, where the file is no PNG file, is damaged, has more than 2^24 pixels, or has transparency.
PngImage read_png(const std::filesystem::path& path);

/// The bytes of a PNG file. Throws Error where the pixels do not number height x width x channels, or there
/// are none.
std::string encode_png(const PngImage& image);

/// Writes a PNG file; its path holds either what it held before or all of the image. Throws Error where the
/// system refuses.
void write_png(const std::filesystem::path& path, const PngImage& image);

}  // namespace haze
