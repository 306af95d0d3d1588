#include "haze/engine/ops/sinusoidal_embedding.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/simd/sine_cosine.h"

namespace haze {

void call::SinusoidalEmbedding::run(Cpu) const {
  const int64_t width = out.size(1), half = width / 2;
  std::vector<double> frequencies(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    frequencies[static_cast<size_t>(i)] =
        std::pow(max_period, -static_cast<double>(i) / static_cast<double>(half));
  }
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto rounded = [](double value) { return static_cast<T>(value); };
    const T* values = x.data<T>();
    parallel_for(x.size(0), rows_per_task(2 * width), [&](int64_t first, int64_t last) {
      std::vector<double> cosines(frequencies.size()), sines(cosines);
      T* row = out.data<T>() + first * width;
      for (int64_t r = first; r < last; ++r, row += width) {
        // A sampler asks for one time for all its examples.
        if (r == first || values[r] != values[r - 1]) {
          sines_and_cosines(static_cast<double>(values[r]), frequencies, cosines, sines);
        }
        std::transform(cosines.begin(), cosines.end(), row, rounded);
        std::transform(sines.begin(), sines.end(), row + half, rounded);
        std::fill(row + 2 * half, row + width, T{0});
      }
    });
  });
}

}  // namespace haze
