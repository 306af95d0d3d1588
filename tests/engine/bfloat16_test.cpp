#include <bit>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

std::vector<uint32_t> bits_of(const Tensor& x) {
  std::vector<uint32_t> result;
  for (float value : x.to_vector<float>()) result.push_back(std::bit_cast<uint32_t>(value));
  return result;
}

// Every bfloat16, NaN of every payload among them.
Tensor all_bfloat16() {
  Tensor x({1 << 16}, Dtype::bfloat16);
  for (uint32_t i = 0; i < 1 << 16; ++i) x.data<bfloat16>()[i].bits = static_cast<uint16_t>(i);
  return x;
}

}  // namespace

TEST_CASE("every bfloat16 becomes the float32 whose upper half it is, and comes back") {
  const Tensor x = all_bfloat16(), wide = cast(x, Dtype::float32), back = cast(wide, Dtype::bfloat16);
  const std::vector<uint32_t> bits = bits_of(wide);
  int64_t wrong = 0;
  for (uint32_t i = 0; i < 1 << 16; ++i) {
    const bool is_nan = (i & 0x7fff) > 0x7f80;
    wrong += bits[i] != i << 16 || back.data<bfloat16>()[i].bits != (is_nan ? i | 0x40 : i);
  }
  CHECK(wrong == 0);
}

TEST_CASE("vectors of float32 are rounded to the bits that one number at a time is rounded to") {
  for (uint32_t lower : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
    Tensor x({(1 << 16) + 3});  // the last three fill no vector
    for (uint32_t i = 0; i < 1 << 16; ++i) x.data<float>()[i] = std::bit_cast<float>(i << 16 | lower);
    for (uint32_t i = 0; i < 3; ++i) x.data<float>()[(1 << 16) + i] = std::bit_cast<float>(0x3f80ffffu + i);
    const Tensor narrow = cast(x, Dtype::bfloat16);
    int64_t wrong = 0;
    for (int64_t i = 0; i < x.elements(); ++i) {
      wrong += narrow.data<bfloat16>()[i].bits != bfloat16(x.data<float>()[i]).bits;
    }
    INFO(lower);
    CHECK(wrong == 0);
  }
}

TEST_CASE("sums of bfloat16 are added in float32: 1000 ones are 1000, where bfloat16 would stop at 256") {
  const Tensor x = ones({1000, 3}, Dtype::bfloat16);
  const std::vector<double> thousands(3, 1000);
  CHECK(sum(x, {0}).to_vector<double>() == thousands);
  CHECK(sum(x).item() == 3008);  // 3000, rounded to eight bits
  CHECK(sum_to(x, {3}).to_vector<double>() == thousands);
  const Tensor ids = zeros({1000}, Dtype::int32);
  CHECK(embedding_gradient(x, ids, 1).to_vector<double>() == thousands);
  const Tensor target = zeros({1, 3}, Dtype::bfloat16);
  index_add_into(target, 0, ids, x);
  CHECK(target.to_vector<double>() == thousands);
  CHECK(slice(cumulative_sum(x, 0), 0, 999, 1000).to_vector<double>() == thousands);
  CHECK(global_norm(std::vector<Tensor>{x}) == doctest::Approx(std::sqrt(3000)));
}

TEST_CASE("what a norm, attention and the cross-entropy of bfloat16 save is float32") {
  const Tensor x = ones({1, 4, 2, 8}, Dtype::bfloat16), rows = ones({4, 8}, Dtype::bfloat16);
  const NormResult norm = layer_norm(rows, {}, {}, 1e-5);
  CHECK(norm.output.dtype() == Dtype::bfloat16);
  CHECK(norm.mean.dtype() == Dtype::float32);
  CHECK(norm.rstd.dtype() == Dtype::float32);
  const AttentionResult attended = attention(x, x, x, {});
  CHECK(attended.output.dtype() == Dtype::bfloat16);
  CHECK(attended.row_max.dtype() == Dtype::float32);
  CHECK(attended.row_sum.dtype() == Dtype::float32);
  const Tensor targets = zeros({4}, Dtype::int32);
  const CrossEntropyResult result = linear_cross_entropy(rows, rows, {}, targets, ones({4}));
  CHECK(result.losses.dtype() == Dtype::float32);
  CHECK(result.hidden.dtype() == Dtype::bfloat16);
  CHECK(result.weight.dtype() == Dtype::bfloat16);
}
