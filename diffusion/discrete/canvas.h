#pragma once

#include <functional>
#include <span>
#include <vector>

#include "haze/diffusion/discrete/denoiser.h"
#include "haze/diffusion/discrete/schedule.h"
#include "haze/diffusion/model.h"
#include "haze/diffusion/token_filter.h"

namespace haze {

struct SamplerOptions {
  TokenFilter filter;
  int64_t rows_per_call = 4096;  // tokens the network works on at a time
  SampleObserver observer;       // may be empty
};

/// A request for a text of `length` tokens, none of them given. Throws Error where length < 1.
Request open_text(int64_t length);

/// Positions of tokens in a text.
using Positions = std::vector<int32_t>;

/// The texts that a sampler is writing: which positions are still masked, at what time each text is, and its
/// own stream of random numbers. Whether a token is given is a matter of its position, never of its id, so a
/// given token may be the mask's.
class Canvas {
 public:
  /// Throws Error where a request has no tokens or not as many marks as tokens, and where the filter is
  /// wrong. A given token must be in the vocabulary or the mask.
  Canvas(const Denoiser& denoiser, std::span<const Request> requests, const SamplerOptions& options,
         Generator& generator);

  /// Tokens that are never drawn: those of the filter, and the mask where it is an id of the vocabulary.
  const std::vector<int32_t>& forbidden() const { return options_.filter.forbidden; }

  size_t count() const { return masked_.size(); }
  Generator& generator(size_t text) { return generators_[text]; }
  /// Masked positions of a text, rising.
  const Positions& masked(size_t text) const { return masked_[text]; }
  /// Masked positions of the text that has most.
  int64_t most_masked() const;
  /// Masked tokens of a text, as a share of all its tokens.
  double masked_share(size_t text) const;

  double time(size_t text) const { return times_[text]; }
  void set_time(size_t text, double time) { times_[text] = time; }
  /// Sets each text's time to the one at which its share of masked tokens is expected.
  void set_expected_times(const MaskingSchedule& schedule);
  void set_expected_times(const DiscreteNoise& noise);

  /// Takes the position with this index out of masked(text).
  int32_t take(size_t text, size_t index);
  /// Takes those out for which chosen() says so, asked once for each in its order.
  Positions take_if(size_t text, const std::function<bool()>& chosen);

  /// Draws the tokens at positions[text], which must have been taken, from the texts and times as they are.
  void reveal(const std::vector<Positions>& positions);
  /// Takes the positions that `choose` picks of each text that has masks, and draws their tokens. `choose`
  /// gets the logits of all masked positions of some texts, one text after the other, and how many each text
  /// has. It returns the indices, rising, of at least one position for each text.
  using Choose = std::function<std::vector<std::vector<size_t>>(const Tensor& logits,
                                                                const std::vector<size_t>& masked_counts)>;
  void reveal_chosen(const Choose& choose);

  /// Shows the observer the texts and their times, which are 0 where no mask is left.
  void observe(int64_t step, int64_t steps) const;

  Samples finish() { return std::move(samples_); }

 private:
  void check_given(int32_t token, size_t text) const;
  void for_each_call(const std::vector<Positions>& positions,
                     const std::function<void(const std::vector<size_t>& texts)>& body) const;
  Tensor logits_at(const std::vector<size_t>& texts, const std::vector<Positions>& positions);
  void draw(const std::vector<size_t>& texts, const std::vector<Positions>& positions, const Tensor& logits);

  const Denoiser& denoiser_;
  SamplerOptions options_;
  std::vector<Generator> generators_;
  std::vector<Positions> masked_;
  std::vector<double> times_;
  Samples samples_;
};

}  // namespace haze
