#include "haze/nn/positions.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "haze/engine/cpu/parallel.h"
#include "haze/nn/sine_cosine.h"

namespace haze {

PositionKind position_kind(std::string_view name) {
  if (name == "learned") return PositionKind::learned;
  if (name == "sinusoidal") return PositionKind::sinusoidal;
  if (name == "rotary") return PositionKind::rotary;
  if (name == "none") return PositionKind::none;
  fail("positions: '{}' is not learned, sinusoidal, rotary or none", name);
}

namespace {

/// out[r] = the cosines of x[r] times each frequency, then the sines, then 0 where the width is odd.
void write_waves(std::span<const double> x, std::span<const double> frequencies, const Tensor& out) {
  const auto half = static_cast<int64_t>(frequencies.size()), width = out.size(1);
  std::vector<double> cosines(frequencies.size()), sines(cosines);
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto rounded = [](double value) { return static_cast<T>(value); };
    T* row = out.data<T>();
    for (size_t r = 0; r < x.size(); ++r, row += width) {
      // A sampler asks for one time for all its examples.
      if (r == 0 || x[r] != x[r - 1]) sines_and_cosines(x[r], frequencies, cosines, sines);
      std::transform(cosines.begin(), cosines.end(), row, rounded);
      std::transform(sines.begin(), sines.end(), row + half, rounded);
      std::fill(row + 2 * half, row + width, T{0});
    }
  });
}

}  // namespace

namespace {

// The same by operations, for devices whose memory the host does not read.
Tensor waves_on_device(const Tensor& values, const std::vector<double>& frequencies, int64_t width) {
  const auto half = std::ssize(frequencies);
  const Tensor x = reshape(cast(values, Dtype::float64), {values.elements(), 1});
  const Tensor angles = multiply(x, Tensor::from(frequencies, {1, half}, values.device()));
  const Tensor rest = zeros({x.size(0), width - 2 * half}, Dtype::float64, values.device());
  const std::vector<Tensor> parts{unary(UnaryOp::cos, angles), unary(UnaryOp::sin, angles), rest};
  return cast(concat(parts, 1), values.dtype());
}

}  // namespace

Tensor sinusoidal_embedding(const Tensor& values, int64_t width, double max_period) {
  const int64_t half = width / 2, count = values.elements();
  std::vector<double> frequencies(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i)
    frequencies[static_cast<size_t>(i)] =
        std::pow(max_period, -static_cast<double>(i) / static_cast<double>(half));
  if (values.device() != Device::cpu) return waves_on_device(values, frequencies, width);
  const std::vector<double> x = values.to_vector<double>();
  const Tensor result({count, width}, values.dtype());
  constexpr int64_t kGrain = 8192;  // elements that are worth a thread
  parallel_for(count, kGrain / std::max<int64_t>(width, 1), [&](int64_t first, int64_t last) {
    write_waves(std::span(x).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first)),
                frequencies, slice(result, 0, first, last));
  });
  return result;
}

RotaryTable rotary_table(const Tensor& positions, int64_t head_size, Dtype dtype, double base) {
  if (head_size % 2 != 0) fail("rotary positions need an even head size, got {}", head_size);
  const Tensor angles = sinusoidal_embedding(cast(positions, Dtype::float64), head_size, base);
  const int64_t half = head_size / 2;
  return {cast(unsqueeze(slice(angles, 1, 0, half), 1), dtype),
          cast(unsqueeze(slice(angles, 1, half, head_size), 1), dtype)};
}

Variable apply_rotary(const Variable& x, const RotaryTable& table) {
  const int64_t half = x.size(-1) / 2;
  const Variable first = slice(x, -1, 0, half), second = slice(x, -1, half, 2 * half);
  return concat({first * Variable(table.cosine) - second * Variable(table.sine),
                 second * Variable(table.cosine) + first * Variable(table.sine)},
                -1);
}

TimeEmbedding::TimeEmbedding(int64_t width, Generator& generator)
    : first_(kFrequencies, width, generator), second_(width, width, generator) {
  add_module("first", first_);
  add_module("second", second_);
}

Variable TimeEmbedding::forward(const Tensor& t) const {
  const Tensor frequencies = sinusoidal_embedding(scale_shift(t, 1000, 0), kFrequencies);
  const Tensor matched = cast(frequencies, first_.weight().dtype());
  return second_.forward(first_.forward(matched, Activation::silu));
}

}  // namespace haze
