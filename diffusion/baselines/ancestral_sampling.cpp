#include "haze/diffusion/baselines/ancestral_sampling.h"

#include <algorithm>

#include "haze/diffusion/example_streams.h"

namespace haze {
namespace {

// One draw a row, each with the next number of its own text's stream.
std::vector<int32_t> draw_tokens(const Tensor& logits, const TokenFilter& filter,
                                 const std::vector<size_t>& texts, std::vector<Generator>& streams) {
  std::vector<double> uniforms;
  for (size_t text : texts) uniforms.push_back(streams[text].uniform());
  const Tensor filtered = filtered_logits(logits, filter);
  const Tensor numbers = Tensor::from(uniforms, {std::ssize(uniforms)}, filtered.device());
  return categorical(filtered, numbers).to_vector<int32_t>();
}

// Steps of the longest text of a group.
int64_t steps_of(std::span<const Continuation> continuations, const std::vector<size_t>& group,
                 const TextEnd& end) {
  int64_t steps = 0;
  for (size_t i : group) steps = std::max(steps, end.max_length - std::ssize(continuations[i].prompt));
  return steps;
}

// Of the texts `open`, those that have not reached their end.
std::vector<int32_t> rows_that_go_on(const std::vector<std::vector<int32_t>>& texts,
                                     const std::vector<size_t>& open, const TextEnd& end) {
  std::vector<int32_t> rows;
  for (size_t row = 0; row < open.size(); ++row) {
    if (!end.reached(texts[open[row]])) rows.push_back(static_cast<int32_t>(row));
  }
  return rows;
}

// Leaves the texts `rows` of `open`, in the decoder too, and returns what they read next, int32 [rows, 1].
Tensor go_on_with(Decoder& decoder, const std::vector<int32_t>& rows, std::vector<size_t>& open,
                  const std::vector<int32_t>& drawn) {
  const bool some_stop = rows.size() < open.size();
  std::vector<size_t> left;
  std::vector<int32_t> next;
  for (int32_t row : rows) {
    left.push_back(open[static_cast<size_t>(row)]);
    next.push_back(drawn[static_cast<size_t>(row)]);
  }
  open = std::move(left);
  if (some_stop && !rows.empty()) decoder.select(Tensor::from(rows, {std::ssize(rows)}));
  return Tensor::from(next, {std::ssize(next), 1});
}

}  // namespace

Samples sample_continuations(const LanguageModel& model, std::span<const Continuation> continuations,
                             const TextEnd& end, const AncestralOptions& options, Generator& generator) {
  const NoGradient scope;
  check_continuations(continuations, end);
  check_filter(options.filter, model.vocabulary());
  const auto groups = equal_length_groups(continuations, end, options.texts_per_call);
  std::vector<Generator> streams = example_streams(continuations.size(), generator);
  Samples samples;
  for (const Continuation& one : continuations) samples.texts.push_back(one.prompt);
  int64_t step = 0, steps = 0;
  for (const auto& group : groups) steps += steps_of(continuations, group, end);
  const auto observe = [&] {
    if (options.observer) options.observer({.step = step, .steps = steps, .texts = &samples.texts});
  };
  observe();
  for (const auto& group : groups) {
    const int64_t last_step = step + steps_of(continuations, group, end);
    const std::unique_ptr<Decoder> decoder = model.decoder();
    std::vector<size_t> open = group;  // the texts that go on
    Tensor tokens = first_tokens(continuations, group);
    while (!open.empty()) {
      const Tensor logits = decoder->read(tokens);
      samples.network_calls += std::ssize(open);
      const std::vector<int32_t> drawn = draw_tokens(logits, options.filter, open, streams);
      for (size_t row = 0; row < open.size(); ++row) samples.texts[open[row]].push_back(drawn[row]);
      const std::vector<int32_t> rows = rows_that_go_on(samples.texts, open, end);
      tokens = go_on_with(*decoder, rows, open, drawn);
      step = open.empty() ? last_step : step + 1;
      observe();
    }
  }
  return samples;
}

}  // namespace haze
