#pragma once

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "haze/diffusion/discrete/denoiser.h"
#include "haze/diffusion/model.h"

/// A language small enough to enumerate: three tokens, texts of up to three. A text of one or two tokens is
/// the beginning of one of three, so its conditionals are those of three with the rest masked. Everything
/// here is computed from the definitions, in double, with no function of diffusion/ that is under test.
namespace haze::diffusion_test {

constexpr int kTokens = 3, kLength = 3, kMask = kTokens;
constexpr int kTexts = 27;   // of kLength: kTokens ^ kLength
constexpr int kStates = 64;  // texts with masks: (kTokens + 1) ^ kLength

using Text = std::vector<int32_t>;
/// A probability for each token.
using Distribution = std::array<double, kTokens>;

/// Number `index` in base `base`, the first token in front.
inline Text digits(int index, int base) {
  return {index / (base * base), index / base % base, index % base};
}
inline Text text(int index) {
  return digits(index, kTokens);
}
inline Text state(int index) {
  return digits(index, kTokens + 1);
}
inline int text_index(std::span<const int32_t> x) {
  return (x[0] * kTokens + x[1]) * kTokens + x[2];
}
/// Of a text of up to kLength tokens, what is not there counting as masked.
inline int state_index(std::span<const int32_t> x) {
  int index = 0;
  for (size_t place = 0; place < kLength; ++place) {
    index = index * (kTokens + 1) + (place < x.size() ? x[place] : kMask);
  }
  return index;
}
inline bool is_masked(unsigned subset, int place) {
  return (subset >> place & 1u) != 0;
}
/// `x` with the places of `subset` (bit i: place i) masked.
inline Text with_masks(Text x, unsigned subset) {
  for (size_t place = 0; place < x.size(); ++place) {
    if (is_masked(subset, static_cast<int>(place))) x[place] = kMask;
  }
  return x;
}

/// p(text): neighbours like to be equal, and no two tokens or places are alike.
inline const std::array<double, kTexts>& language() {
  static const std::array<double, kTexts> probabilities = [] {
    std::array<double, kTexts> p{};
    double total = 0;
    for (int i = 0; i < kTexts; ++i) {
      const Text x = text(i);
      p[static_cast<size_t>(i)] = 1 + (x[0] == x[1] ? 5 : 0) + (x[1] == x[2] ? 3 : 0) + 0.5 * x[0] +
                                  (x[0] == 2 && x[2] == 0 ? 4 : 0) + 0.3 * x[2] * x[1];
      total += p[static_cast<size_t>(i)];
    }
    for (double& value : p) value /= total;
    return p;
  }();
  return probabilities;
}

inline double language_entropy() {
  double entropy = 0;
  for (double p : language()) entropy -= p * std::log(p);
  return entropy;
}

/// p(x_place | the tokens of `context` that are not masked), by summing over the language.
inline Distribution conditional(std::span<const int32_t> context, int place) {
  Distribution p{};
  double total = 0;
  for (int i = 0; i < kTexts; ++i) {
    const Text x = text(i);
    bool fits = true;
    for (size_t j = 0; j < context.size(); ++j) fits = fits && (context[j] == kMask || context[j] == x[j]);
    if (!fits) continue;
    p[static_cast<size_t>(x[static_cast<size_t>(place)])] += language()[static_cast<size_t>(i)];
    total += language()[static_cast<size_t>(i)];
  }
  for (double& value : p) value /= total;
  return p;
}

/// A denoiser that looks its answer up.
class TabularDenoiser : public Denoiser {
 public:
  using Table = std::array<std::array<Distribution, kLength>, kStates>;  // [state][place]

  /// `time_slope` makes it depend on time: p_t(v) is proportional to p(v) exp(time_slope t v).
  explicit TabularDenoiser(const Table& table, double time_slope = 0, Dtype dtype = Dtype::float64)
      : table_(table), time_slope_(time_slope), dtype_(dtype) {}

  /// The true conditionals.
  static TabularDenoiser exact(double time_slope = 0) { return TabularDenoiser(exact_table(), time_slope); }

  /// Wrong on purpose: the true conditionals, bent differently for each context and place.
  static TabularDenoiser wrong(double time_slope = 0) {
    Table table = exact_table();
    for (size_t s = 0; s < kStates; ++s) {
      for (size_t place = 0; place < kLength; ++place) {
        double total = 0;
        for (size_t v = 0; v < kTokens; ++v) {
          table[s][place][v] *=
              1 + 0.9 * std::sin(1.7 * static_cast<double>(s + 5 * place) + 2.1 * static_cast<double>(v));
          total += table[s][place][v];
        }
        for (double& p : table[s][place]) p /= total;
      }
    }
    return TabularDenoiser(table, time_slope);
  }

  /// p(x_place | context) at time t.
  Distribution predict(std::span<const int32_t> context, int place, double t) const {
    Distribution p = table_[static_cast<size_t>(state_index(context))][static_cast<size_t>(place)];
    double total = 0;
    for (size_t v = 0; v < kTokens; ++v) {
      p[v] *= std::exp(time_slope_ * t * static_cast<double>(v));
      total += p[v];
    }
    for (double& value : p) value /= total;
    return p;
  }

  int64_t vocabulary() const override { return kTokens; }
  int32_t mask_id() const override { return kMask; }
  bool depends_on_time() const override { return time_slope_ != 0; }

  Variable logits(const DenoiserInput& input, const ForwardContext&) const override {
    const int32_t* ids = input.x_t.data<int32_t>();
    const int32_t* offsets = input.sequences.offsets.data<int32_t>();
    const int32_t* index = input.sequences.index.data<int32_t>();
    std::vector<double> result;
    for (int32_t row : input.rows.to_vector<int32_t>()) {
      const int32_t sequence = index[row], first = offsets[sequence];
      const auto length = static_cast<size_t>(offsets[sequence + 1] - first);
      const double time = static_cast<double>(input.t.data<float>()[sequence]);
      // Unnormalised: a constant for each row must not matter.
      for (double p : predict({ids + first, length}, row - first, time))
        result.push_back(std::log(p) + row % 7);
    }
    calls_ += input.sequences.count;
    rows_ += input.rows.size(0);
    return cast(Tensor::from(result, {input.rows.size(0), kTokens}), dtype_);
  }

  int64_t calls() const { return calls_; }  // sequences looked at
  int64_t rows() const { return rows_; }    // rows answered

 private:
  static Table exact_table() {
    Table table{};
    for (int s = 0; s < kStates; ++s) {
      for (int place = 0; place < kLength; ++place) {
        table[static_cast<size_t>(s)][static_cast<size_t>(place)] = conditional(state(s), place);
      }
    }
    return table;
  }

  Table table_;
  double time_slope_;
  Dtype dtype_;
  mutable int64_t calls_ = 0, rows_ = 0;
};

/// The sum of -log p(x_i | x with `subset` masked) over the places of `subset`.
inline double cross_entropy_of(const TabularDenoiser& denoiser, const Text& x, unsigned subset, double t) {
  const Text context = with_masks(x, subset);
  double sum = 0;
  for (int place = 0; place < static_cast<int>(x.size()); ++place) {
    if (!is_masked(subset, place)) continue;
    const auto target = static_cast<size_t>(x[static_cast<size_t>(place)]);
    sum -= std::log(denoiser.predict(context, place, t)[target]);
  }
  return sum;
}

inline int masks_in(unsigned subset) {
  return __builtin_popcount(subset);
}

/// E[cross_entropy_of] where each token is masked by itself with probability p.
inline double expected_cross_entropy(const TabularDenoiser& denoiser, const Text& x, double p, double t) {
  const int n = static_cast<int>(x.size());
  double sum = 0;
  for (unsigned subset = 0; subset < 1u << n; ++subset) {
    const int k = masks_in(subset);
    sum += std::pow(p, k) * std::pow(1 - p, n - k) * cross_entropy_of(denoiser, x, subset, t);
  }
  return sum;
}

/// The bound in continuous time, sum over subsets M of (k-1)! (n-k)! / n! sum_{i in M} -log p(x_i | x_{not
/// M}), k = |M|, in nats.
inline double continuous_bound(const TabularDenoiser& denoiser, const Text& x) {
  const double n = static_cast<double>(x.size());
  double sum = 0;
  for (unsigned subset = 1; subset < 1u << x.size(); ++subset) {
    const double k = masks_in(subset);
    sum += std::tgamma(k) * std::tgamma(n - k + 1) / std::tgamma(n + 1) *
           cross_entropy_of(denoiser, x, subset, 0);
  }
  return sum;
}

/// All texts of three tokens, in order.
inline std::vector<Text> all_texts() {
  std::vector<Text> texts;
  for (int i = 0; i < kTexts; ++i) texts.push_back(text(i));
  return texts;
}

/// All texts of one, two and three tokens, lengths mixed.
inline std::vector<Text> mixed_texts() {
  std::vector<Text> texts;
  for (int32_t i = 0; i < kTexts; ++i) {
    texts.push_back(text(i));
    if (i < 9) texts.push_back({i / 3, i % 3});
    if (i < 3) texts.push_back({i});
  }
  return texts;
}

inline double tokens_of(const std::vector<Text>& texts) {
  size_t tokens = 0;
  for (const Text& x : texts) tokens += x.size();
  return static_cast<double>(tokens);
}

inline Batch batch_of(std::span<const Text> texts) {
  Batch batch;
  batch.target = TextBatch::of(texts);
  return batch;
}

/// A scalar of a loss's log.
inline double logged(const Loss& loss, std::string_view name) {
  for (const NamedTensor& entry : loss.log) {
    if (entry.name == name) return entry.tensor.item();
  }
  fail("a loss logs no {}", name);
}

/// Mean and standard error of independent numbers.
class RunningMean {
 public:
  void add(double x) {
    ++count_;
    const double difference = x - mean_;
    mean_ += difference / count_;
    squares_ += difference * (x - mean_);
  }
  double mean() const { return mean_; }
  double standard_error() const { return std::sqrt(squares_ / (count_ - 1) / count_); }
  /// Whether the mean is within 4 standard errors of `truth`: missed by chance once in 16,000 times.
  bool agrees_with(double truth) const { return std::abs(mean_ - truth) < 4 * standard_error() + 1e-12; }

 private:
  double count_ = 0, mean_ = 0, squares_ = 0;
};

}  // namespace haze::diffusion_test
