#include "haze/diffusion/bound.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace haze {
namespace {

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// One pass over one batch, in `terms` calls of the network: one draw of the bound, or all of its terms.
double pass_over(const Likelihood& likelihood, const Batch& batch, int64_t terms, Generator& generator,
                 const std::function<void()>& count) {
  double nats = 0;
  if (terms == 0) {
    nats = sum_of(likelihood.draw_nats(batch, generator));
    count();
  }
  for (int64_t term = 1; term <= terms; ++term) {
    nats += sum_of(likelihood.term_nats(batch, term, generator));
    count();
  }
  return nats;
}

}  // namespace

double BoundEstimate::bits_per_unit() const {
  return nats_per_unit() / std::numbers::ln2;
}
double BoundEstimate::perplexity() const {
  return std::exp(nats_per_unit());
}

BoundEstimate estimate_bound(const Likelihood& likelihood, std::span<const Batch> batches,
                             const EstimateOptions& options, Generator& generator) {
  BoundEstimate estimate;
  for (const Batch& batch : batches) {
    estimate.units += batch.units();
    estimate.examples += batch.size();
  }
  if (estimate.examples == 0) fail("bound: there is no example");
  if (options.passes < 2) fail("bound: {} pass(es) show no spread; at least 2 are needed", options.passes);
  const int64_t terms = options.every_term ? likelihood.terms() : 0;
  if (options.every_term && terms == 0) fail("bound: this model's bound is no sum of terms");

  const NoGradient scope;
  const int passes = likelihood.is_exact() ? 1 : options.passes;
  const int64_t calls = passes * std::max<int64_t>(terms, 1) * std::ssize(batches);
  int64_t done = 0;
  const auto count = [&] {
    if (options.observer) options.observer(++done, calls);
  };
  if (options.observer) options.observer(done, calls);
  std::vector<double> totals;
  for (int pass = 0; pass < passes; ++pass) {
    double total = 0;
    for (const Batch& batch : batches) total += pass_over(likelihood, batch, terms, generator, count);
    totals.push_back(total);
  }
  estimate.nats = sum_of(totals) / passes;
  double squares = 0;
  for (const double total : totals) squares += (total - estimate.nats) * (total - estimate.nats);
  if (passes > 1) estimate.standard_error = std::sqrt(squares / (passes - 1) / passes);
  return estimate;
}

}  // namespace haze
