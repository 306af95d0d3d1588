#include "haze/diffusion/token_filter.h"

#include <algorithm>
#include <limits>

namespace haze {

void check_filter(const TokenFilter& filter, int64_t vocabulary) {
  if (!(filter.temperature >= 0)) fail("sampling: temperature {} is negative", filter.temperature);
  if (filter.top_k < 0) fail("sampling: top_k {} is negative", filter.top_k);
  if (!(filter.top_p > 0 && filter.top_p <= 1)) fail("sampling: top_p {} is not in (0, 1]", filter.top_p);
  for (int32_t token : filter.forbidden) {
    if (token < 0 || token >= vocabulary)
      fail("sampling: the forbidden token {} is outside the vocabulary of {}", token, vocabulary);
  }
}

namespace {

constexpr double kRuledOut = -std::numeric_limits<double>::infinity();

Tensor number_like(const Tensor& x, double value) {
  return full({}, value, x.dtype(), x.device());
}

Tensor without(const Tensor& logits, const std::vector<int32_t>& forbidden) {
  std::vector<uint8_t> mask(static_cast<size_t>(logits.size(-1)), 0);
  for (const int32_t token : forbidden) mask[static_cast<size_t>(token)] = 1;
  const Tensor ruled_out = to(Tensor::from(mask, {logits.size(-1)}), logits.device());
  return where(ruled_out, number_like(logits, kRuledOut), logits);
}

// Divides what the logits lie below the largest, which stays finite at any temperature: near 0 the logits
// themselves would all overflow. A temperature below the normal numbers would divide the largest to 0 / 0.
Tensor divided_by(const Tensor& logits, double temperature) {
  const Tensor below = subtract(logits, reduce(ReduceOp::max, logits, {-1}, true));
  const double smallest = logits.dtype() == Dtype::float64 ? std::numeric_limits<double>::min()
                                                           : std::numeric_limits<float>::min();
  return divide(below, number_like(below, std::max(temperature, smallest)));
}

// Of each row of falling logits, the first ones whose probabilities reach p; the others are ruled out.
Tensor nucleus(const Tensor& falling, double p) {
  const int64_t count = falling.size(1);
  const Tensor wide = cast(falling, Dtype::float64);
  const Tensor sums = cumulative_sum(unary(UnaryOp::exp, subtract(wide, slice(wide, 1, 0, 1))));
  const Tensor sums_before = pad(slice(sums, 1, 0, count - 1), 1, 1, 0),
               total = slice(sums, 1, count - 1, count);
  const Tensor kept = compare(CompareOp::less, sums_before, scale_shift(total, p, 0));
  return where(kept, falling, number_like(falling, kRuledOut));
}

// The k most likely tokens, of these the nucleus of p. A NaN stays, for categorical() to refuse.
Tensor most_likely(const Tensor& logits, int64_t k, double p) {
  const auto [falling, tokens] = k < logits.size(1) ? top_k(logits, k) : sort(logits, true);
  const Tensor is_number = compare(CompareOp::equal, logits, logits);
  const Tensor none = where(is_number, number_like(logits, kRuledOut), logits);
  return scatter(none, 1, tokens, p < 1 ? nucleus(falling, p) : falling);
}

}  // namespace

Tensor filtered_logits(const Tensor& logits, const TokenFilter& filter) {
  const int64_t vocabulary = logits.size(-1);
  check_filter(filter, vocabulary);
  if (logits.elements() == 0) return logits;
  Tensor result = logits;
  if (!filter.forbidden.empty()) result = without(result, filter.forbidden);
  if (filter.temperature == 0) return most_likely(result, 1, 1);
  if (filter.temperature != 1) result = divided_by(result, filter.temperature);
  const int64_t k = filter.top_k > 0 ? std::min(filter.top_k, vocabulary) : vocabulary;
  return k < vocabulary || filter.top_p < 1 ? most_likely(result, k, filter.top_p) : result;
}

}  // namespace haze
