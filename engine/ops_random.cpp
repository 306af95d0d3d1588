#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/engine/backend.h"
#include "haze/engine/checks.h"

// Random numbers: uniform, normal, dropout, categorical.
namespace haze {
namespace {

// Counters for that many elements of uniform or normal: one 32-bit word for a float32, two for a float64.
uint64_t counters(const Tensor& x) {
  const uint64_t words = static_cast<uint64_t>(x.elements()) * (size_of(x.dtype()) / 4);
  return (words + 3) / 4;
}

// Says why a row is no distribution.
[[noreturn]] void fail_row(const Tensor& log_probabilities, int64_t row) {
  const std::vector<double> entries = slice(log_probabilities, 0, row, row + 1).to_vector<double>();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (std::isnan(entries[i])) fail("categorical: row {} has a NaN at category {}", row, i);
    if (entries[i] == std::numeric_limits<double>::infinity()) {
      fail("categorical: row {} has +infinity at category {}", row, i);
    }
  }
  fail("categorical: row {} has no finite log-probability", row);
}

}  // namespace

Tensor uniform(const Shape& shape, Generator& generator, double low, double high, Dtype dtype,
               Device device) {
  Tensor result(shape, dtype, device);
  check_real("uniform", "dtype", result);
  const double largest =
      dtype == Dtype::float32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  if (!(low < high && low >= -largest && high <= largest && high - low <= largest)) {
    fail("uniform: from {} to {} is no interval of {}", low, high, name(dtype));
  }
  backend(result.device()).uniform(generator.reserve(counters(result)), low, high, result);
  return result;
}

Tensor normal(const Shape& shape, Generator& generator, double mean, double standard_deviation, Dtype dtype,
              Device device) {
  Tensor result(shape, dtype, device);
  check_real("normal", "dtype", result);
  if (!std::isfinite(mean)) fail("normal: the mean is {}, it takes a finite number", mean);
  if (!(std::isfinite(standard_deviation) && standard_deviation >= 0)) {
    fail("normal: the standard deviation is {}, it takes a finite number of 0 or more", standard_deviation);
  }
  backend(result.device()).normal(generator.reserve(counters(result)), mean, standard_deviation, result);
  return result;
}

Tensor dropout(const Tensor& x, double probability, RandomPosition position) {
  check_real("dropout", "x", x);
  if (!(probability >= 0 && probability < 1)) {
    fail("dropout: the probability is {}, it takes 0 <= probability < 1", probability);
  }
  Tensor result(x.shape(), x.dtype(), x.device());
  backend(x.device()).dropout(x, probability, position, result);
  return result;
}

Tensor categorical(const Tensor& log_probabilities, const Tensor& uniforms) {
  check_real("categorical", "log_probabilities", log_probabilities);
  check_rank("categorical", "log_probabilities", log_probabilities, 2);
  check_dtype("categorical", "uniforms", uniforms, Dtype::float64);
  check_shape("categorical", "uniforms", uniforms, {log_probabilities.size(0)});
  for (double unit : uniforms.to_vector<double>()) {
    if (!(unit >= 0 && unit < 1)) fail("categorical: uniforms hold {}, they take numbers in [0, 1)", unit);
  }
  Tensor result({log_probabilities.size(0)}, Dtype::int32, log_probabilities.device());
  backend(result.device()).categorical(contiguous(log_probabilities), contiguous(uniforms), result);
  const int32_t* drawn = result.data<int32_t>();
  const int32_t* broken = std::find(drawn, drawn + result.elements(), -1);
  if (broken != drawn + result.elements()) fail_row(log_probabilities, broken - drawn);
  return result;
}

Tensor categorical(const Tensor& log_probabilities, RandomPosition position) {
  check_rank("categorical", "log_probabilities", log_probabilities, 2);
  const Tensor uniforms({log_probabilities.size(0)}, Dtype::float64);
  for (int64_t row = 0; row < uniforms.size(0); ++row) {
    const auto words = position.words(static_cast<uint64_t>(row));
    uniforms.data<double>()[row] = unit_interval(words[0], words[1]);
  }
  return categorical(log_probabilities, uniforms);
}

}  // namespace haze
