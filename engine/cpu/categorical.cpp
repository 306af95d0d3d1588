#include "haze/engine/ops/categorical.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/simd/spans.h"

// Draws from categorical distributions by inverting the cumulative sum. Exponentials are taken in the dtype
// of the row, relative to its maximum, where a small weight is as exact as a large one; what must not be
// float32 is their sum, in which it would lose the small ones, and the random number.
//
// A row is cut into at most kBlocks blocks whose sums are kept, so that the position where the sum passes the
// random number is found by computing again one block's exponentials only, and no row of float64 has to be
// stored.
namespace haze {
namespace {

constexpr int64_t kBlocks = 64;

// The largest entry. False where the row is no distribution: a NaN, +infinity, or nothing finite.
template <typename T>
bool row_maximum(const T* row, int64_t count, T& maximum) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr int64_t kLanes = 8;  // independent chains, which a compiler can put side by side
  T largest[kLanes], broken[kLanes];
  std::fill_n(largest, kLanes, -kInfinity);
  std::fill_n(broken, kLanes, T{0});
  const auto look = [&](T value, int64_t lane) {
    largest[lane] = value > largest[lane] ? value : largest[lane];
    broken[lane] = value < kInfinity ? broken[lane] : T{1};
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) look(row[i + lane], lane);
  }
  for (; i < count; ++i) look(row[i], i % kLanes);
  maximum = *std::max_element(largest, largest + kLanes);
  return maximum > -kInfinity && *std::max_element(broken, broken + kLanes) == 0;
}

template <typename T>
double sum_of(const T* values, int64_t count) {
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) sums[lane] += static_cast<double>(values[i + lane]);
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(values[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <typename T>
class Row {
 public:
  Row(const T* entries, int64_t count, T maximum, UnarySpan<T> exp)
      : entries_(entries), count_(count), maximum_(maximum), exp_(exp) {
    length_ = std::max(kChunk, (count + kBlocks - 1) / kBlocks);
  }

  // `unit` in [0, 1).
  int32_t draw(double unit) const {
    double sums[kBlocks], total = 0;
    const int64_t blocks = (count_ + length_ - 1) / length_;
    for (int64_t block = 0; block < blocks; ++block) {
      sums[block] = 0;
      for_each_chunk(block, [&](int64_t, const T* weights, int64_t count) {
        sums[block] += sum_of(weights, count);
        return true;
      });
      total += sums[block];
    }
    const double target = unit * total;
    // Adds the blocks in the order of `total`, so the sum does pass the target, whatever the rounding.
    double before = 0;
    int64_t block = 0;
    while (block + 1 < blocks && before + sums[block] <= target) before += sums[block++];
    return draw_within(block, before, target);
  }

 private:
  // Calls body(first, weights, count), weights = e^(entry - maximum), until it returns false.
  template <typename Body>
  void for_each_chunk(int64_t block, Body&& body) const {
    const int64_t last = std::min(count_, (block + 1) * length_);
    T weights[kChunk];
    for (int64_t first = block * length_; first < last; first += kChunk) {
      const int64_t count = std::min(kChunk, last - first);
      for (int64_t i = 0; i < count; ++i) weights[i] = entries_[first + i] - maximum_;
      exp_(weights, weights, count, 0, 0);
      if (!body(first, weights, count)) return;
    }
  }

  // The entry of `block` at which the sum passes the target: the last one with any weight where rounding
  // keeps the sum below it.
  int32_t draw_within(int64_t block, double before, double target) const {
    int64_t drawn = block * length_;
    double sum = before;
    for_each_chunk(block, [&](int64_t first, const T* weights, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        if (weights[i] == 0) continue;
        drawn = first + i;
        sum += static_cast<double>(weights[i]);
        if (sum > target) return false;
      }
      return true;
    });
    return static_cast<int32_t>(drawn);
  }

  const T* entries_;
  int64_t count_, length_;
  T maximum_;
  UnarySpan<T> exp_;
};

// Says why a row is no distribution.
template <typename T>
[[noreturn]] void fail_row(const T* entries, int64_t categories, int64_t row) {
  for (int64_t i = 0; i < categories; ++i) {
    if (std::isnan(entries[i])) fail("categorical: row {} has a NaN at category {}", row, i);
    if (entries[i] == std::numeric_limits<T>::infinity()) {
      fail("categorical: row {} has +infinity at category {}", row, i);
    }
  }
  fail("categorical: row {} has no finite log-probability", row);
}

// The uniform number that decides a row.
double unit_of(const call::Categorical& call, int64_t row) {
  if (!call.uniforms.defined()) {
    const auto words = call.position.words(static_cast<uint64_t>(row));
    return unit_interval(words[0], words[1]);
  }
  const double unit = call.uniforms.data<double>()[row];
  if (!(unit >= 0 && unit < 1)) fail("categorical: uniforms hold {}, they take numbers in [0, 1)", unit);
  return unit;
}

}  // namespace

void call::Categorical::run(Cpu) const {
  if (log_probabilities.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  const int64_t categories = log_probabilities.size(1);
  int32_t* drawn = out.data<int32_t>();
  dispatch_real(log_probabilities.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const UnarySpan<T> exp = unary_span<T>(UnaryOp::exp);
    const T* entries = log_probabilities.data<T>();
    constexpr int64_t kCost = 2;  // of an element, against one of element-by-element work
    parallel_for(out.elements(), rows_per_task(categories * kCost), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        const T* row_entries = entries + row * categories;
        T maximum;
        if (!row_maximum(row_entries, categories, maximum)) fail_row(row_entries, categories, row);
        drawn[row] = Row<T>(row_entries, categories, maximum, exp).draw(unit_of(*this, row));
      }
    });
  });
}

}  // namespace haze
