#include "haze/tools/tasks/png_file.h"

#include <memory>

#include <png.h>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"
#include "haze/tools/run/output_file.h"

namespace haze {
namespace {

constexpr uint64_t kMostPixels = uint64_t{1} << 24;
constexpr const char* kSignature = "\x89PNG\r\n\x1a\n";

// libpng's own buffers of a file, freed on every way out.
struct Png {
  Png() { image.version = PNG_IMAGE_VERSION; }
  ~Png() { png_image_free(&image); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;
  png_image image{};
};

int64_t size_of_pixels(const PngImage& image) {
  return image.height * image.width * image.channels;
}

void require_sound(const PngImage& image) {
  const bool has_pixels = image.height > 0 && image.width > 0;
  if (!has_pixels || (image.channels != 1 && image.channels != 3) ||
      std::ssize(image.pixels) != size_of_pixels(image)) {
    fail("a PNG image of {} x {} pixels and {} channels cannot be made of {} numbers", image.height,
         image.width, image.channels, image.pixels.size());
  }
}

}  // namespace

PngImage read_png(const std::filesystem::path& path) {
  const std::string bytes = read_whole_file(path);
  if (!bytes.starts_with(kSignature)) fail("{}: it is no PNG file", path.string());
  Png png;
  png_image& header = png.image;
  if (!png_image_begin_read_from_memory(&header, bytes.data(), bytes.size()))
    fail("{}: the PNG file is damaged: {}", path.string(), header.message);
  // The size is only what the file says it is: memory is taken after this.
  if (uint64_t{header.width} * header.height > kMostPixels) {
    fail("{}: the image has {} x {} pixels, more than the {} that are read", path.string(), header.width,
         header.height, kMostPixels);
  }
  if (header.format & PNG_FORMAT_FLAG_ALPHA)
    fail("{}: the image has transparency, for which the models have no number", path.string());
  const bool colour = header.format & PNG_FORMAT_FLAG_COLOR;
  header.format = colour ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  // Without it, 16 bits a channel would be taken for linear light where a file does not say.
  header.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  PngImage image{header.height, header.width, colour ? 3 : 1, {}};
  image.pixels.resize(static_cast<size_t>(size_of_pixels(image)));
  if (!png_image_finish_read(&header, nullptr, image.pixels.data(), 0, nullptr))
    fail("{}: the PNG file is damaged: {}", path.string(), header.message);
  return image;
}

std::string encode_png(const PngImage& image) {
  require_sound(image);
  Png png;
  png_image& header = png.image;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = image.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::string bytes(size, '\0');
  if (!png_image_write_to_memory(&header, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr))
    fail("the PNG image cannot be written: {}", header.message);
  bytes.resize(size);
  return bytes;
}

void write_png(const std::filesystem::path& path, const PngImage& image) {
  write_output_file(path, encode_png(image));
}

}  // namespace haze
