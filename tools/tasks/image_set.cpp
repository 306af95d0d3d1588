#include "haze/tools/tasks/image_set.h"

namespace haze {

Tensor values_of_images(const ImageSet& set, std::span<const int64_t> indices) {
  Tensor values({std::ssize(indices), set.channels, set.height, set.width}, Dtype::float32);
  float* out = values.data<float>();
  for (const int64_t index : indices) {
    const auto first = set.pixels.begin() + index * set.image_size();
    out = std::transform(first, first + set.image_size(), out, value_of_pixel);
  }
  return values;
}

ImageSet images_between(const ImageSet& set, int64_t first, int64_t last) {
  ImageSet part{set.channels, set.height, set.width, {}, {}};
  part.pixels.assign(set.pixels.begin() + first * set.image_size(),
                     set.pixels.begin() + last * set.image_size());
  if (!set.labels.empty()) part.labels.assign(set.labels.begin() + first, set.labels.begin() + last);
  return part;
}

}  // namespace haze
