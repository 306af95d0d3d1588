#include "haze/engine/ops/random_integers.h"

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/error.h"
#include "haze/engine/integer_draws.h"

namespace haze {
namespace {

constexpr int64_t kCost = 8;  // of a draw, against one of element-by-element work

// Calls draw(i) for each element of x, in parallel.
template <typename F>
void for_each_draw(const Tensor& x, F&& draw) {
  parallel_for(x.elements(), kElementGrain / kCost, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) draw(i);
  });
}

}  // namespace

void call::RandomIntegers::run(Cpu) const {
  const auto range = static_cast<uint64_t>(high - low), surplus = (0 - range) % range;
  int32_t* result = out.data<int32_t>();
  for_each_draw(out, [&](int64_t i) {
    const auto words = position.words(static_cast<uint64_t>(i));
    result[i] = static_cast<int32_t>(low + static_cast<int64_t>(integer_below(range, surplus, words)));
  });
}

void call::Bernoulli::run(Cpu) const {
  if (probability.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  uint8_t* result = out.data<uint8_t>();
  dispatch_real(probability.dtype(), [&](auto tag) {
    const auto* p = probability.data<decltype(tag)>();
    for_each_draw(out, [&](int64_t i) {
      if (!(p[i] >= 0 && p[i] <= 1)) fail("bernoulli: the probability {} is not in [0, 1]", p[i]);
      const auto words = position.words(static_cast<uint64_t>(i / 2));
      const size_t at = i % 2 == 0 ? 0 : 2;
      result[i] = unit_interval(words[at], words[at + 1]) < static_cast<double>(p[i]);
    });
  });
}

void call::Poisson::run(Cpu) const {
  if (rate.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  int32_t* result = out.data<int32_t>();
  const auto elements = static_cast<uint64_t>(out.elements());
  dispatch_real(rate.dtype(), [&](auto tag) {
    const auto* rates = rate.data<decltype(tag)>();
    for_each_draw(out, [&](int64_t i) {
      const auto mean = static_cast<double>(rates[i]);
      if (!(mean >= 0 && mean <= kLargestRate)) {
        fail("poisson: the rate {} is not in [0, {}]", rates[i], kLargestRate);
      }
      result[i] = draw_poisson(mean, kTrials, [&](uint64_t trial) {
        return position.words(trial * elements + static_cast<uint64_t>(i));
      });
    });
  });
}

}  // namespace haze
