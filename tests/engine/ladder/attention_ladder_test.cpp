#include <cmath>
#include <functional>
#include <set>

#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"
#include "haze/engine/simt/checker.h"

#include "engine/ladder/rungs.h"
#include "engine/thread_bits.h"
#include "error_of.h"

using namespace haze;
using namespace haze::test;

namespace {

using Values = std::vector<double>;

Values values_of(const Tensor& x) {
  return cast(to(x, Device::cpu), Dtype::float64).to_vector<double>();
}

// Operands [heads, length, size] of a ladder, on a GPU, and its calls.
struct Problem {
  int64_t heads, length, size;
  Dtype dtype;
  bool causal;
  Device device = Device::simt;
  double high = 2;
  Tensor query = operand(1), key = operand(2), value = operand(3), g = operand(4);

  Tensor operand(uint64_t seed) const {
    Generator generator(seed);
    return to(cast(uniform({heads, length, size}, generator, -high, high), dtype), device);
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(size)); }
  Tensor empty() const { return Tensor(query.shape(), dtype, device); }

  ladder::Attention forward(unsigned rung) const {
    const auto rows = [&] { return Tensor({heads, length}, Dtype::float32, device); };
    const ladder::Attention call{rung, query, key, value, scale(), causal, empty(), rows(), rows()};
    launch(call);
    return call;
  }
  ladder::AttentionGradient gradient(const ladder::Attention& saved) const {
    const ladder::AttentionGradient call{0, g, saved, empty(), empty(), empty()};
    launch(call);
    return call;
  }
};

// A result, and the sum of the sizes of its terms.
struct Expected {
  Values values, sizes;

  explicit Expected(size_t count) : values(count), sizes(count) {}
  void add(size_t i, double term, double size) {
    values[i] += term;
    sizes[i] += std::abs(size);
  }
};

// Attention and its gradient in float64, one query after the other, with the whole row of weights.
struct Reference {
  Expected out, to_query, to_key, to_value;

  explicit Reference(const Problem& p)
      : out(static_cast<size_t>(p.query.elements())), to_query(out), to_key(out), to_value(out) {
    const Values q = values_of(p.query), k = values_of(p.key), v = values_of(p.value), g = values_of(p.g);
    const auto size = static_cast<size_t>(p.size), length = static_cast<size_t>(p.length);
    const double scale = p.scale();
    const auto dot = [&](const Values& x, size_t i, const Values& y, size_t j) {
      double sum = 0;
      for (size_t d = 0; d < size; ++d) sum += x[i * size + d] * y[j * size + d];
      return sum;
    };
    for (size_t row = 0; row < static_cast<size_t>(p.heads) * length; ++row) {
      const size_t first = row / length * length, seen = p.causal ? row % length + 1 : length;
      Values weights(seen), to_weights(seen);
      double max = -std::numeric_limits<double>::infinity(), sum = 0, delta = 0;
      for (size_t j = 0; j < seen; ++j) max = std::max(max, weights[j] = scale * dot(q, row, k, first + j));
      for (double& w : weights) sum += w = std::exp(w - max);
      for (size_t j = 0; j < seen; ++j) {
        weights[j] /= sum;
        to_weights[j] = dot(g, row, v, first + j);
        delta += weights[j] * to_weights[j];
      }
      for (size_t j = 0; j < seen; ++j) {
        const double to_score = scale * weights[j] * (to_weights[j] - delta),
                     size_of_score = scale * weights[j] * (std::abs(to_weights[j]) + std::abs(delta));
        for (size_t d = 0; d < size; ++d) {
          const size_t i = row * size + d, at = (first + j) * size + d;
          out.add(i, weights[j] * v[at], weights[j] * v[at]);
          to_value.add(at, weights[j] * g[i], weights[j] * g[i]);
          to_query.add(i, to_score * k[at], size_of_score * k[at]);
          to_key.add(at, to_score * q[i], size_of_score * q[i]);
        }
      }
    }
  }
};

// The largest error, relative to the sizes of the terms.
double error_of_result(const Tensor& got, const Expected& expected) {
  const Values values = values_of(got);
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double error = std::abs(values[i] - expected.values[i]) / expected.sizes[i];
    if (!(error <= largest)) largest = error;  // NaN is the largest
  }
  return largest;
}

// Of a float32 result, of one rounded to bfloat16, and of one whose weights were rounded to bfloat16 before.
double bound(unsigned rung, Dtype dtype) {
  return dtype == Dtype::float32 ? 3e-6 : rung < 2 ? 0x1.02p-8 : 0x1.02p-7;
}

template <typename F>
void each_rung_and_dtype(const F& f) {
  for (unsigned rung = 0; rung < std::size(ladder::Attention::kRungs); ++rung) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      if (!ladder::Attention::takes(rung, dtype)) continue;
      CAPTURE(ladder::Attention::kRungs[rung].name);
      CAPTURE(name(dtype));
      f(rung, dtype);
    }
  }
}

// Calls f for each GPU, with lengths and head sizes on both sides of the edges of every tile.
template <typename F>
void each_problem(unsigned rung, Dtype dtype, const F& f) {
  struct Size {
    int64_t heads, length, size;
  };
  for (const Size& size :
       {Size{2, 1, 8}, Size{1, 65, 16}, Size{2, 130, 24}, Size{1, 64, 40}, Size{1, 70, 128}}) {
    for (bool causal : {false, true}) {
      if (rung == 0 && size.size == 128) continue;  // its threads do not know tiles
      CAPTURE(size.length);
      CAPTURE(size.size);
      CAPTURE(causal);
      for (Device device : gpus()) {
        CAPTURE(name(device));
        f(Problem{size.heads, size.length, size.size, dtype, causal, device});
      }
    }
  }
}

}  // namespace

TEST_CASE("ladder: every rung of attention gives its values, the same bits in every order of its threads") {
  each_rung_and_dtype([](unsigned rung, Dtype dtype) {
    each_problem(rung, dtype, [&](const Problem& problem) {
      const Tensor fast = problem.forward(rung).out;
      CHECK(error_of_result(fast, Reference(problem).out) < bound(rung, dtype));
      if (problem.device != Device::simt || problem.size > 16 || problem.causal ||
          (rung == 1 && dtype == Dtype::bfloat16))
        return;  // a checked access costs 40 ns
      const CheckedRungs checked;
      for (uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        simt::set_seed(seed);
        CHECK(same_bits(to(problem.forward(rung).out, Device::cpu), to(fast, Device::cpu)));
      }
    });
  });
}

TEST_CASE(
    "ladder: the gradient of attention is that of its values, the same bits in every order of its threads") {
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    CAPTURE(name(dtype));
    each_problem(1, dtype, [&](const Problem& problem) {
      const ladder::Attention saved = problem.forward(1);
      const ladder::AttentionGradient fast = problem.gradient(saved);
      const Reference wanted(problem);
      CHECK(error_of_result(fast.to_value, wanted.to_value) < bound(1, dtype));
      // Of bfloat16, the saved output is rounded, from which delta is computed.
      const double of_scores = dtype == Dtype::float32 ? 2e-5 : 0x1p-6;
      CHECK(error_of_result(fast.to_query, wanted.to_query) < of_scores);
      CHECK(error_of_result(fast.to_key, wanted.to_key) < of_scores);
      if (problem.device != Device::simt || problem.size > 16 || problem.causal || dtype == Dtype::bfloat16)
        return;
      const CheckedRungs checked;
      for (uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        simt::set_seed(seed);
        const ladder::AttentionGradient again = problem.gradient(saved);
        CHECK(same_bits(to(again.to_query, Device::cpu), to(fast.to_query, Device::cpu)));
        CHECK(same_bits(to(again.to_key, Device::cpu), to(fast.to_key, Device::cpu)));
        CHECK(same_bits(to(again.to_value, Device::cpu), to(fast.to_value, Device::cpu)));
      }
    });
  }
}

TEST_CASE("ladder: attention by tiles keeps the digits of scores of 2^26") {
  Tensor key = full({1, 70, 16}, 0x1p13);       // scores of 2^28 / 4: neighbours in float32 are 8 apart
  fill(slice(key, 1, 3, 4), 0x1p13 + 0x1p-10);  // larger by a quarter
  fill(slice(key, 1, 66, 67), 0x1p13 - 0x1p-9);
  for (Device device : gpus()) {
    Problem problem{1, 70, 16, Dtype::float32, false, device};
    problem.query = to(full({1, 70, 16}, 0x1p13), device);
    problem.key = to(key, device);
    CHECK(error_of_result(problem.forward(1).out, Reference(problem).out) < 3e-6);
  }
}

TEST_CASE("ladder: attention reads and writes whole sectors, and its tiles have no bank conflicts") {
  // Sectors a request: of reads, and of the writes of rows.
  const auto check = [](const std::function<void()>& call, double reads, const std::string& store) {
    const CheckedRungs counting(true);
    call();
    const simt::LaunchCounts counts = simt::last_counts();
    CHECK(sectors_a_request(counts.total(false, false)) == reads);
    CHECK(counts.total(true, false).conflicts == 0);
    CHECK(counts.total(true, true).conflicts == 0);
    const simt::LineCount* widest = nullptr;
    for (const simt::LineCount& line : counts.lines) {
      if (!line.in_shared && line.writes && (!widest || line.bytes > widest->bytes)) widest = &line;
    }
    REQUIRE(widest);
    CHECK(widest->line.find(store) != std::string::npos);
    CHECK(sectors_a_request(*widest) == 16);
  };
  const Problem problem{1, 128, 64, Dtype::float32, false}, narrow{1, 128, 64, Dtype::bfloat16, false};
  check([&] { problem.forward(1); }, 4, "store_row");
  check([&] { narrow.forward(2); }, 16, "attend_by_tensor_cores");
  const ladder::Attention saved = problem.forward(1);
  check([&] { problem.gradient(saved); }, 4, "store_row");
}

TEST_CASE("ladder: each barrier and wait of attention is needed") {
  std::set<std::string> needed;
  const CheckedRungs checked;
  for (unsigned rung : {1u, 2u}) {  // of two tiles of keys
    const Problem problem{1, 66, 16, Dtype::bfloat16, false};
    check_mutations([&] { problem.forward(rung); }, needed);
  }
  for (int64_t size : {16, 65}) {  // of 65, a block finds a part
    const Problem problem{1, size == 16 ? 66 : 9, size, Dtype::float32, false};
    const ladder::Attention saved = problem.forward(1);
    check_mutations([&] { problem.gradient(saved); }, needed);
  }
  CHECK(needed.size() == 4 + 4 + 5 + 5);
}

TEST_CASE(
    "ladder: a rung of attention refuses the dtype that it has no kernel for, and rows it cannot read") {
  const auto refusal = [](unsigned rung, const Problem& problem) {
    return testing::error_of([&] { problem.forward(rung); });
  };
  CHECK(refusal(2, {1, 8, 8, Dtype::float32, false}) == "tensor cores: there is no kernel for float32");
  CHECK(refusal(2, {1, 8, 9, Dtype::bfloat16, false}) ==
        "tensor cores: rows of 9 bfloat16 are no multiples of 16 bytes");
  CHECK(refusal(1, {1, 2, 129, Dtype::float32, false}) ==
        "tiles, online softmax: a head size of 129 is more than 128");
}
