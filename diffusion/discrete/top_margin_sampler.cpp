#include "haze/diffusion/discrete/top_margin_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/engine/cpu/parallel.h"

namespace haze {
namespace {

// How far the most likely of the `allowed` tokens leads the second, in probability; NaN where the logits are
// no distribution.
template <typename T>
double probability_margin(const T* row, const std::vector<uint8_t>& allowed) {
  double largest = -std::numeric_limits<double>::infinity();
  for (size_t v = 0; v < allowed.size(); ++v) {
    if (allowed[v]) largest = std::max(largest, static_cast<double>(row[v]));
  }
  double total = 0, first = 0, second = 0;
  for (size_t v = 0; v < allowed.size(); ++v) {
    if (!allowed[v]) continue;
    const double weight = std::exp(static_cast<double>(row[v]) - largest);
    total += weight;
    second = std::max(second, std::min(first, weight));
    first = std::max(first, weight);
  }
  return (first - second) / total;
}

// probability_margin() of each row of logits.
std::vector<double> margins(const Tensor& logits, const std::vector<uint8_t>& allowed) {
  const Tensor dense = contiguous(to(logits, Device::cpu));
  const int64_t rows = dense.size(0), vocabulary = dense.size(1);
  std::vector<double> result(static_cast<size_t>(rows));
  dispatch_real(dense.dtype(), [&](auto tag) {
    const auto* first = dense.data<decltype(tag)>();
    parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        result[static_cast<size_t>(i)] = probability_margin(first + i * vocabulary, allowed);
      }
    });
  });
  for (const double margin : result) {
    if (std::isnan(margin)) fail("sampling: the network's logits are no distribution: NaN or infinity");
  }
  return result;
}

}  // namespace

Samples top_margin_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, const SamplerOptions& options,
                          Generator& generator) {
  const NoGradient scope;
  Canvas canvas(denoiser, requests, options, generator);
  const auto set_times = [&] {
    for (size_t text = 0; text < canvas.count(); ++text) {
      canvas.set_time(text, schedule.time_of_mask_probability(canvas.masked_share(text)));
    }
  };
  std::vector<uint8_t> allowed(static_cast<size_t>(denoiser.vocabulary()), 1);
  for (const int32_t token : canvas.forbidden()) allowed[static_cast<size_t>(token)] = 0;
  const auto largest_margins = [&](const Tensor& logits, const std::vector<size_t>& masked_counts) {
    const std::vector<double> margin = margins(logits, allowed);
    std::vector<size_t> chosen;
    auto first = margin.begin();
    for (const size_t count : masked_counts) {
      const auto last = first + static_cast<int64_t>(count);
      chosen.push_back(static_cast<size_t>(std::max_element(first, last) - first));
      first = last;
    }
    return chosen;
  };
  const int64_t steps = canvas.most_masked();
  set_times();
  canvas.observe(0, steps);
  for (int64_t step = 1; step <= steps; ++step) {
    canvas.reveal_chosen(largest_margins);
    set_times();
    canvas.observe(step, steps);
  }
  return canvas.finish();
}

}  // namespace haze
