#include "haze/diffusion/token_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

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

// Leaves the `count` largest of row, given the order of its entries by falling value.
template <typename T>
void keep_first(T* row, const std::vector<int64_t>& order, size_t count) {
  for (size_t i = count; i < order.size(); ++i) row[order[i]] = -std::numeric_limits<T>::infinity();
}

// The number of most likely entries whose probabilities reach p.
template <typename T>
size_t nucleus(const T* row, const std::vector<int64_t>& order, double p) {
  const auto weight = [&](int64_t i) {
    return std::exp(static_cast<double>(row[i]) - static_cast<double>(row[order[0]]));
  };
  double total = 0;
  for (int64_t i : order) total += weight(i);
  double sum = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    sum += weight(order[i]);
    if (sum >= p * total) return i + 1;
  }
  return order.size();
}

// Divides what the logits lie below the largest, which stays finite at any temperature: near 0 the logits
// themselves would all overflow.
template <typename T>
void divide_by_temperature(T* row, int64_t vocabulary, double temperature) {
  const double largest = *std::max_element(row, row + vocabulary);
  for (int64_t i = 0; i < vocabulary; ++i) row[i] = static_cast<T>((row[i] - largest) / temperature);
}

template <typename T>
void filter_row(T* row, int64_t vocabulary, const TokenFilter& filter) {
  for (int32_t token : filter.forbidden) row[token] = -std::numeric_limits<T>::infinity();
  if (filter.temperature > 0 && filter.temperature != 1)
    divide_by_temperature(row, vocabulary, filter.temperature);
  if (filter.temperature > 0 && filter.top_k == 0 && filter.top_p == 1) return;
  std::vector<int64_t> order(static_cast<size_t>(vocabulary));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [row](int64_t a, int64_t b) { return row[a] > row[b]; });
  if (filter.temperature == 0) return keep_first(row, order, 1);
  if (filter.top_k > 0) keep_first(row, order, static_cast<size_t>(std::min(filter.top_k, vocabulary)));
  if (filter.top_p < 1) keep_first(row, order, nucleus(row, order, filter.top_p));
}

}  // namespace

Tensor filtered_logits(const Tensor& logits, const TokenFilter& filter) {
  const int64_t vocabulary = logits.size(-1);
  check_filter(filter, vocabulary);
  const bool changes =
      filter.temperature != 1 || filter.top_k > 0 || filter.top_p < 1 || !filter.forbidden.empty();
  if (!changes || logits.elements() == 0) return logits;
  const Tensor result = clone(to(logits, Device::cpu));
  dispatch_real(result.dtype(), [&](auto tag) {
    auto* entries = result.data<decltype(tag)>();
    for (int64_t i = 0; i < result.elements(); i += vocabulary) filter_row(entries + i, vocabulary, filter);
  });
  return result;
}

}  // namespace haze
