#include "haze/diffusion/discrete/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "haze/engine/parallel.h"

namespace haze {

Canvas Canvas::open(int64_t length) {
  if (length < 1) fail("Canvas: length {} is not positive", length);
  return {std::vector<int32_t>(static_cast<size_t>(length)),
          std::vector<uint8_t>(static_cast<size_t>(length))};
}

SamplingGrid sampling_grid(const MaskingSchedule& schedule, int steps) {
  if (steps < 1) fail("sampling_grid: {} steps", steps);
  SamplingGrid grid;
  for (int i = steps; i >= 0; --i) {
    grid.time.push_back(static_cast<double>(i) / steps);
    grid.alpha_bar.push_back(schedule.alpha_bar(grid.time.back()));
  }
  return grid;
}

SamplingGrid sampling_grid(const DiscreteNoise& noise, int steps) {
  if (steps < 1 || steps > noise.steps())
    fail("sampling_grid: {} steps of a process of {}", steps, noise.steps());
  SamplingGrid grid;
  for (int64_t i = steps; i >= 0; --i) {
    const int64_t t = i * noise.steps() / steps;
    grid.time.push_back(static_cast<double>(t) / noise.steps());
    grid.alpha_bar.push_back(noise.alpha_bar[t]);
  }
  return grid;
}

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

// The texts under way, each with its own stream of random numbers.
class Texts {
 public:
  Texts(const Denoiser& denoiser, const std::vector<Canvas>& start, Generator& generator,
        const SamplerOptions& options)
      : denoiser_(denoiser), options_(options), masked_(start.size()) {
    check_filter(options.filter, denoiser.vocabulary());
    const auto words = generator.reserve(1).words(0);
    const uint64_t seed = (uint64_t{words[0]} << 32) | words[1];
    for (size_t i = 0; i < start.size(); ++i) {
      const Canvas& canvas = start[i];
      if (canvas.tokens.empty() || canvas.tokens.size() != canvas.fixed.size()) {
        fail("sampling: canvas {} has {} tokens and {} marks of which are fixed", i, canvas.tokens.size(),
             canvas.fixed.size());
      }
      generators_.emplace_back(seed, i);
      samples_.texts.push_back(canvas.tokens);
      for (size_t place = 0; place < canvas.tokens.size(); ++place) {
        if (canvas.fixed[place]) {
          check_token(canvas.tokens[place], i);
        } else {
          samples_.texts[i][place] = denoiser.mask_id();
          masked_[i].push_back(static_cast<int32_t>(place));
        }
      }
    }
  }

  size_t count() const { return masked_.size(); }
  Generator& generator(size_t text) { return generators_[text]; }
  /// Places of a text that are still masked.
  std::vector<int32_t>& masked(size_t text) { return masked_[text]; }

  /// Masks of the text that has most: the steps of a sampler that reveals one token of each text a step.
  size_t most_masked() const {
    size_t most = 0;
    for (const auto& places : masked_) most = std::max(most, places.size());
    return most;
  }

  /// Of a text's tokens, how many are masked.
  double masked_share(size_t text) const {
    return static_cast<double>(masked_[text].size()) / static_cast<double>(samples_.texts[text].size());
  }

  void observe(int64_t step, int64_t steps, double time) const {
    if (options_.observer) options_.observer({step, steps, time, samples_.texts});
  }

  /// Draws the tokens at `places[text]`, all from the texts as they are now, where times[text] is the time.
  /// The places must have been taken out of masked().
  void reveal(const std::vector<std::vector<int32_t>>& places, const std::vector<double>& times) {
    for_each_call(places, [&](const std::vector<size_t>& texts) {
      draw(texts, places, logits_at(texts, places, times));
    });
  }

  /// Draws one token of each text that has masks, at the place with the largest margin, and takes it out of
  /// masked().
  void reveal_most_certain(const std::vector<double>& times) {
    std::vector<std::vector<int32_t>> chosen(count());
    for_each_call(masked_, [&](const std::vector<size_t>& texts) {
      const Tensor logits = logits_at(texts, masked_, times);
      const std::vector<double> margin = margins(logits);
      std::vector<int32_t> rows;  // of the logits
      int64_t first = 0;
      for (size_t text : texts) {
        const auto of_text = margin.begin() + first;
        const auto best = std::max_element(of_text, of_text + std::ssize(masked_[text])) - of_text;
        rows.push_back(static_cast<int32_t>(first + best));
        first += std::ssize(masked_[text]);
        chosen[text] = {masked_[text][static_cast<size_t>(best)]};
        masked_[text].erase(masked_[text].begin() + best);
      }
      draw(texts, chosen, index_select(logits, 0, Tensor::from(rows, {std::ssize(rows)})));
    });
  }

  Samples take() { return std::move(samples_); }

 private:
  void check_token(int32_t token, size_t text) const {
    if (token < 0 || token > denoiser_.mask_id()) {
      fail("sampling: token {} of text {} is outside the vocabulary of {}", token, text,
           denoiser_.vocabulary());
    }
  }

  /// Calls body(texts) for as many texts at a time, of those that have places, as may go through the network
  /// together.
  template <typename Body>
  void for_each_call(const std::vector<std::vector<int32_t>>& places, Body&& body) {
    std::vector<size_t> texts;
    int64_t rows = 0;
    for (size_t text = 0; text < places.size(); ++text) {
      if (places[text].empty()) continue;
      const auto length = static_cast<int64_t>(samples_.texts[text].size());
      if (!texts.empty() && rows + length > options_.rows_per_call) {
        body(texts);
        texts.clear();
        rows = 0;
      }
      texts.push_back(text);
      rows += length;
    }
    if (!texts.empty()) body(texts);
  }

  /// probability_margin() of each row of logits.
  std::vector<double> margins(const Tensor& logits) const {
    const int64_t rows = logits.size(0), vocabulary = logits.size(1);
    std::vector<uint8_t> allowed(static_cast<size_t>(vocabulary), 1);
    for (int32_t token : options_.filter.forbidden) allowed[static_cast<size_t>(token)] = 0;
    std::vector<double> result(static_cast<size_t>(rows));
    dispatch_real(logits.dtype(), [&](auto tag) {
      const auto* first = logits.data<decltype(tag)>();
      parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          result[static_cast<size_t>(i)] = probability_margin(first + i * vocabulary, allowed);
        }
      });
    });
    for (double margin : result) {
      if (std::isnan(margin)) fail("sampling: the network's logits are no distribution: NaN or infinity");
    }
    return result;
  }

  /// Logits of places[text] of the texts, one text after the other, from the texts as they are now.
  Tensor logits_at(const std::vector<size_t>& texts, const std::vector<std::vector<int32_t>>& places,
                   const std::vector<double>& times) {
    std::vector<std::span<const int32_t>> sequences;
    std::vector<int32_t> rows;
    std::vector<float> t;
    int32_t first = 0;
    for (size_t text : texts) {
      sequences.emplace_back(samples_.texts[text]);
      t.push_back(static_cast<float>(times[text]));
      for (int32_t place : places[text]) rows.push_back(first + place);
      first += static_cast<int32_t>(samples_.texts[text].size());
    }
    const TextBatch batch = TextBatch::of(sequences);
    samples_.network_calls += static_cast<int64_t>(texts.size());
    return denoiser_
        .logits(batch.ids, batch.sequences, Tensor::from(t, {batch.sequences.count}),
                Tensor::from(rows, {std::ssize(rows)}), ForwardContext{})
        .value();
  }

  /// Draws the tokens at places[text] of the texts from their logits, as logits_at() gives them.
  void draw(const std::vector<size_t>& texts, const std::vector<std::vector<int32_t>>& places,
            const Tensor& logits) {
    std::vector<double> uniforms;
    for (size_t text : texts) {
      for (size_t i = 0; i < places[text].size(); ++i) uniforms.push_back(generators_[text].uniform());
    }
    const Tensor drawn =
        categorical(filtered_logits(logits, options_.filter), Tensor::from(uniforms, {std::ssize(uniforms)}));
    const int32_t* next = drawn.data<int32_t>();
    for (size_t text : texts) {
      for (int32_t place : places[text]) samples_.texts[text][place] = *next++;
    }
  }

  const Denoiser& denoiser_;
  const SamplerOptions& options_;
  std::vector<Generator> generators_;
  std::vector<std::vector<int32_t>> masked_;
  Samples samples_;
};

}  // namespace

Samples ancestral_sample(const Denoiser& denoiser, const std::vector<Canvas>& start, const SamplingGrid& grid,
                         Generator& generator, const SamplerOptions& options) {
  const NoGradient scope;
  Texts texts(denoiser, start, generator, options);
  const auto steps = static_cast<int64_t>(grid.time.size()) - 1;
  texts.observe(0, steps, 1);
  for (int64_t step = 1; step <= steps; ++step) {
    const double alpha_t = grid.alpha_bar[step - 1], alpha_s = grid.alpha_bar[step];
    const double appears = (alpha_s - alpha_t) / (1 - alpha_t);
    std::vector<std::vector<int32_t>> places(texts.count());
    for (size_t text = 0; text < texts.count(); ++text) {
      std::erase_if(texts.masked(text), [&](int32_t place) {
        const bool now = texts.generator(text).uniform() < appears;
        if (now) places[text].push_back(place);
        return now;
      });
    }
    texts.reveal(places, std::vector<double>(texts.count(), grid.time[step - 1]));
    texts.observe(step, steps, grid.time[step]);
  }
  return texts.take();
}

Samples first_hitting_sample(const Denoiser& denoiser, const std::vector<Canvas>& start,
                             const MaskingSchedule& schedule, Generator& generator,
                             const SamplerOptions& options) {
  const NoGradient scope;
  Texts texts(denoiser, start, generator, options);
  const size_t steps = texts.most_masked();
  std::vector<double> mask_probability(texts.count(), 1.0), times(texts.count(), 1.0);
  texts.observe(0, static_cast<int64_t>(steps), 1);
  for (size_t step = 1; step <= steps; ++step) {
    std::vector<std::vector<int32_t>> places(texts.count());
    for (size_t text = 0; text < texts.count(); ++text) {
      std::vector<int32_t>& masked = texts.masked(text);
      if (masked.empty()) continue;
      Generator& own = texts.generator(text);
      const auto n = static_cast<double>(masked.size());
      mask_probability[text] *= std::pow(1 - own.uniform(), 1 / n);
      times[text] = schedule.time_of_mask_probability(mask_probability[text]);
      const auto chosen = static_cast<int64_t>(own.below(masked.size()));
      places[text].push_back(masked[chosen]);
      masked.erase(masked.begin() + chosen);
    }
    texts.reveal(places, times);
    texts.observe(static_cast<int64_t>(step), static_cast<int64_t>(steps),
                  *std::max_element(times.begin(), times.end()));
  }
  return texts.take();
}

Samples top_margin_sample(const Denoiser& denoiser, const std::vector<Canvas>& start,
                          const MaskingSchedule& schedule, Generator& generator,
                          const SamplerOptions& options) {
  const NoGradient scope;
  Texts texts(denoiser, start, generator, options);
  const size_t steps = texts.most_masked();
  texts.observe(0, static_cast<int64_t>(steps), 1);
  for (size_t step = 1; step <= steps; ++step) {
    std::vector<double> times(texts.count(), 0.0);
    for (size_t text = 0; text < texts.count(); ++text) {
      times[text] = schedule.time_of_mask_probability(texts.masked_share(text));
    }
    texts.reveal_most_certain(times);
    texts.observe(static_cast<int64_t>(step), static_cast<int64_t>(steps),
                  *std::max_element(times.begin(), times.end()));
  }
  return texts.take();
}

}  // namespace haze
