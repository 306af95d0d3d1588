#include "haze/nn/positions.h"

namespace haze {

PositionKind position_kind(std::string_view name) {
  if (name == "learned") return PositionKind::learned;
  if (name == "sinusoidal") return PositionKind::sinusoidal;
  if (name == "rotary") return PositionKind::rotary;
  if (name == "none") return PositionKind::none;
  fail("positions: '{}' is not learned, sinusoidal, rotary or none", name);
}

Tensor position_waves(int64_t count, int64_t width) {
  return sinusoidal_embedding(arange(count, Dtype::float64), width);
}

RotaryTable rotary_table(const Tensor& waves, const Tensor& positions, Dtype dtype) {
  const int64_t head_size = waves.size(1), half = head_size / 2, rows = positions.elements();
  if (head_size % 2 != 0) fail("rotary positions need an even head size, got {}", head_size);
  const auto table_of = [&](const Tensor& w, const Tensor& numbers) {
    return RotaryTable{cast(slice(w, 1, 0, half), dtype), cast(slice(w, 1, half, head_size), dtype), numbers};
  };
  if (rows >= waves.size(0)) return table_of(waves, positions);
  // Fewer rows than positions, as in decoding: only theirs are converted.
  return table_of(index_select(waves, 0, positions), arange(rows, Dtype::int32, positions.device()));
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
