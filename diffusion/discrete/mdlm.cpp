#include "haze/diffusion/discrete/mdlm.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>

#include "haze/diffusion/discrete/d3pm.h"

namespace haze {
namespace {

constexpr double kEarliest = 1e-9;  // t = 0 masks nothing and has an infinite weight

// In [0, 1): independent, or evenly spaced on a circle from one random start. Going round the circle is what
// makes each of them uniform; without it the first text of a set would always get an early time, the last a
// late one, and the bound of a set whose texts differ would be wrong.
std::vector<double> draw_times(int64_t count, bool antithetic, Generator& generator) {
  std::vector<double> times(static_cast<size_t>(count));
  const double start = antithetic ? generator.uniform() : 0;
  for (int64_t i = 0; i < count; ++i) {
    const double place = start + static_cast<double>(i) / static_cast<double>(count);
    const double t = antithetic ? place - std::floor(place) : generator.uniform();
    times[i] = std::max(t, kEarliest);
  }
  return times;
}

void check_draw(const Denoiser& denoiser, MaskDraw draw) {
  if (draw == MaskDraw::exact_count && denoiser.depends_on_time()) {
    fail("exact_count masks are for denoisers that do not depend on time; use independent ones");
  }
}

struct Draw {
  MaskedBatch masked;
  SequenceWeights weights;
};

// x_t and the weight of its cross-entropy for each sequence, from one number in (0, 1) each.
Draw draw_x_t(const Denoiser& denoiser, const TextBatch& x_0, const MaskingSchedule& schedule, MaskDraw kind,
              std::span<const double> u, Generator& generator) {
  Draw draw;
  const int32_t* offsets = x_0.sequences.offsets.data<int32_t>();
  std::vector<double> probabilities;
  std::vector<int64_t> counts;
  for (int64_t i = 0; i < x_0.sequences.count; ++i) {
    const auto length = static_cast<double>(offsets[i + 1] - offsets[i]);
    if (kind == MaskDraw::exact_count) {
      const double count = std::min(1 + std::floor(u[i] * length), length);
      counts.push_back(static_cast<int64_t>(count));
      draw.weights.weight.push_back(length / count);
      draw.weights.time.push_back(schedule.time_of_mask_probability(count / length));
    } else {
      probabilities.push_back(schedule.mask_probability(u[i]));
      draw.weights.weight.push_back(schedule.loss_weight(u[i]));
      draw.weights.time.push_back(u[i]);
    }
  }
  draw.weights.bound_weight = draw.weights.weight;
  draw.masked = kind == MaskDraw::exact_count
                    ? mask_exactly(x_0, counts, denoiser.mask_id(), generator)
                    : mask_tokens(x_0, probabilities, denoiser.mask_id(), generator);
  return draw;
}

// Runs of texts whose tokens fit in one call of the network.
std::vector<std::pair<size_t, size_t>> calls_of(std::span<const std::span<const int32_t>> texts,
                                                int64_t rows) {
  std::vector<std::pair<size_t, size_t>> calls;
  size_t first = 0;
  int64_t sum = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto length = static_cast<int64_t>(texts[i].size());
    if (i > first && sum + length > rows) {
      calls.emplace_back(first, i);
      first = i;
      sum = 0;
    }
    sum += length;
  }
  if (first < texts.size()) calls.emplace_back(first, texts.size());
  return calls;
}

// Mean and standard error over passes of the sum over calls of one_call(batch, first text, step), where each
// batch is called for every step in 1..steps.
BoundEstimate over_passes(std::span<const std::span<const int32_t>> texts, const BoundOptions& options,
                          int steps, const std::function<void()>& start_pass,
                          const std::function<double(const TextBatch&, size_t, int)>& one_call) {
  if (texts.empty()) fail("bound: there are no texts");
  if (options.passes < 2) fail("bound: {} pass(es) show no spread; at least 2 are needed", options.passes);
  BoundEstimate estimate;
  estimate.examples = static_cast<int64_t>(texts.size());
  for (const auto& text : texts) estimate.units += static_cast<int64_t>(text.size());
  const auto batches = calls_of(texts, options.rows_per_call);
  const int64_t calls = int64_t{options.passes} * steps * static_cast<int64_t>(batches.size());
  int64_t done = 0;
  if (options.observer) options.observer(done, calls);
  double sum = 0, sum_of_squares = 0;
  for (int pass = 0; pass < options.passes; ++pass) {
    double total = 0;
    start_pass();
    for (const auto& [first, last] : batches) {
      const TextBatch batch = TextBatch::of(texts.subspan(first, last - first));
      for (int step = 1; step <= steps; ++step) {
        total += one_call(batch, first, step);
        if (options.observer) options.observer(++done, calls);
      }
    }
    sum += total;
    sum_of_squares += total * total;
  }
  const double n = options.passes;
  estimate.nats = sum / n;
  const double variance = std::max(0.0, (sum_of_squares - sum * sum / n) / (n - 1));
  estimate.standard_error = std::sqrt(variance / n);
  return estimate;
}

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

DiffusionLoss mdlm_loss(const Denoiser& denoiser, const TextBatch& x_0, const MaskingSchedule& schedule,
                        const MdlmOptions& options, Generator& generator, const ForwardContext& context) {
  check_draw(denoiser, options.draw);
  const std::vector<double> u = draw_times(x_0.sequences.count, options.antithetic, generator);
  const Draw draw = draw_x_t(denoiser, x_0, schedule, options.draw, u, generator);
  return masked_loss(denoiser, x_0, draw.masked, draw.weights, context);
}

BoundEstimate mdlm_bound(const Denoiser& denoiser, std::span<const std::span<const int32_t>> texts,
                         const MaskingSchedule& schedule, const BoundOptions& options, Generator& generator) {
  check_draw(denoiser, options.draw);
  if (options.every_step) fail("bound: continuous time has no steps to sum over; discrete time has");
  std::vector<double> u;
  const auto start_pass = [&] { u = draw_times(static_cast<int64_t>(texts.size()), true, generator); };
  return over_passes(texts, options, 1, start_pass, [&](const TextBatch& x_0, size_t first, int) {
    const Draw draw = draw_x_t(denoiser, x_0, schedule, options.draw, std::span(u).subspan(first), generator);
    const std::vector<double> losses = sequence_losses(denoiser, x_0, draw.masked, draw.weights.time);
    double total = 0;
    for (size_t i = 0; i < losses.size(); ++i) total += draw.weights.weight[i] * losses[i];
    return total;
  });
}

BoundEstimate d3pm_bound_of_texts(const Denoiser& denoiser, std::span<const std::span<const int32_t>> texts,
                                  const DiscreteNoise& noise, const BoundOptions& options,
                                  Generator& generator) {
  const int steps = noise.steps();
  if (options.every_step) {
    return over_passes(
        texts, options, steps, [] {},
        [&](const TextBatch& x_0, size_t, int t) {
          const std::vector<int> same_t(static_cast<size_t>(x_0.sequences.count), t);
          return sum_of(d3pm_bound_terms(denoiser, x_0, noise, same_t, generator));
        });
  }
  std::vector<int> t;
  const auto start_pass = [&] {
    t.clear();
    for (double u : draw_times(static_cast<int64_t>(texts.size()), true, generator)) {
      t.push_back(std::min(1 + static_cast<int>(u * steps), steps));
    }
  };
  return over_passes(texts, options, 1, start_pass, [&](const TextBatch& x_0, size_t first, int) {
    const auto count = static_cast<size_t>(x_0.sequences.count);
    return steps *
           sum_of(d3pm_bound_terms(denoiser, x_0, noise, std::span(t).subspan(first, count), generator));
  });
}

}  // namespace haze
