#include "haze/tools/tasks/lecture_data.h"

#include "haze/tools/tasks/digits.h"
#include "haze/tools/tasks/png_folder.h"
#include "haze/tools/tasks/point_sets.h"

namespace haze {
namespace {

constexpr int64_t kDigitsShown = 8, kPointsShown = 2000;
constexpr uint64_t kDataStream = 1;  // the noise is of stream 0

}  // namespace

Tensor lecture_data(const std::string& data, uint64_t seed) {
  if (data.ends_with(".png")) return values_of_images(read_png_files({data}), spread_indices(1, 0));
  if (data == "digits") {
    return values_of_images(draw_digits(kDigitsShown, seed, kDataStream), spread_indices(kDigitsShown, 0));
  }
  Generator generator(seed, kDataStream);
  return draw_points(data, kPointsShown, generator);
}

}  // namespace haze
