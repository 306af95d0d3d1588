#include "haze/diffusion/discrete/canvas.h"

#include <algorithm>

#include "haze/diffusion/example_streams.h"

namespace haze {

Request open_text(int64_t length) {
  if (length < 1) fail("sampling: length {} is not positive", length);
  const auto size = static_cast<size_t>(length);
  return {.start = std::vector<int32_t>(size), .fixed = std::vector<uint8_t>(size), .source = {}};
}

Canvas::Canvas(const Denoiser& denoiser, std::span<const Request> requests, const SamplerOptions& options,
               Generator& generator)
    : denoiser_(denoiser),
      options_(options),
      generators_(example_streams(requests.size(), generator)),
      masked_(requests.size()),
      times_(requests.size(), 1.0) {
  check_filter(options.filter, denoiser.vocabulary());
  if (denoiser.mask_id() < denoiser.vocabulary()) options_.filter.forbidden.push_back(denoiser.mask_id());
  for (size_t text = 0; text < requests.size(); ++text) {
    const Request& request = requests[text];
    if (request.start.empty() || request.start.size() != request.fixed.size()) {
      fail("sampling: request {} has {} tokens and {} marks of which are fixed", text, request.start.size(),
           request.fixed.size());
    }
    samples_.texts.push_back(request.start);
    for (size_t position = 0; position < request.start.size(); ++position) {
      if (request.fixed[position]) {
        check_given(request.start[position], text);
      } else {
        samples_.texts[text][position] = denoiser.mask_id();
        masked_[text].push_back(static_cast<int32_t>(position));
      }
    }
  }
}

void Canvas::check_given(int32_t token, size_t text) const {
  const bool known = token >= 0 && token < denoiser_.vocabulary();
  if (!known && token != denoiser_.mask_id()) {
    fail("sampling: token {} of text {} is outside the vocabulary of {}", token, text,
         denoiser_.vocabulary());
  }
}

int64_t Canvas::most_masked() const {
  size_t most = 0;
  for (const Positions& positions : masked_) most = std::max(most, positions.size());
  return static_cast<int64_t>(most);
}

double Canvas::masked_share(size_t text) const {
  return static_cast<double>(masked_[text].size()) / static_cast<double>(samples_.texts[text].size());
}

void Canvas::set_expected_times(const MaskingSchedule& schedule) {
  for (size_t text = 0; text < count(); ++text)
    times_[text] = schedule.time_of_mask_probability(masked_share(text));
}

void Canvas::set_expected_times(const DiscreteNoise& noise) {
  for (size_t text = 0; text < count(); ++text)
    times_[text] = static_cast<double>(noise.time_of_mask_probability(masked_share(text))) / noise.steps();
}

int32_t Canvas::take(size_t text, size_t index) {
  const auto at = masked_[text].begin() + static_cast<int64_t>(index);
  const int32_t position = *at;
  masked_[text].erase(at);
  return position;
}

Positions Canvas::take_if(size_t text, const std::function<bool()>& chosen) {
  Positions taken;
  std::erase_if(masked_[text], [&](int32_t position) {
    const bool now = chosen();
    if (now) taken.push_back(position);
    return now;
  });
  return taken;
}

void Canvas::reveal(const std::vector<Positions>& positions) {
  for_each_call(positions, [&](const std::vector<size_t>& texts) {
    draw(texts, positions, logits_at(texts, positions));
  });
}

void Canvas::reveal_chosen(const Choose& choose) {
  std::vector<Positions> chosen(count());
  for_each_call(masked_, [&](const std::vector<size_t>& texts) {
    const Tensor logits = logits_at(texts, masked_);
    std::vector<size_t> counts;
    for (const size_t text : texts) counts.push_back(masked_[text].size());
    const std::vector<std::vector<size_t>> indices = choose(logits, counts);
    std::vector<int32_t> rows;  // of the logits
    size_t first = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      for (const size_t index : indices[i]) {
        rows.push_back(static_cast<int32_t>(first + index));
        chosen[texts[i]].push_back(masked_[texts[i]][index]);
      }
      first += counts[i];
      const Positions& shown = chosen[texts[i]];
      std::erase_if(masked_[texts[i]], [&](int32_t position) {
        return std::binary_search(shown.begin(), shown.end(), position);
      });
    }
    draw(texts, chosen, index_select(logits, 0, Tensor::from(rows, {std::ssize(rows)}, logits.device())));
  });
}

void Canvas::observe(int64_t step, int64_t steps) const {
  if (!options_.observer) return;
  Snapshot snapshot{.step = step, .steps = steps, .texts = &samples_.texts};
  for (size_t text = 0; text < count(); ++text) {
    snapshot.time.push_back(masked_[text].empty() ? 0 : times_[text]);
  }
  options_.observer(snapshot);
}

// Calls body(texts) for as many texts at a time, of those that have positions, as may go through the network
// together.
void Canvas::for_each_call(const std::vector<Positions>& positions,
                           const std::function<void(const std::vector<size_t>& texts)>& body) const {
  std::vector<size_t> texts;
  int64_t rows = 0;
  for (size_t text = 0; text < positions.size(); ++text) {
    if (positions[text].empty()) continue;
    const auto length = std::ssize(samples_.texts[text]);
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

// Logits of positions[text] of the texts, one text after the other.
Tensor Canvas::logits_at(const std::vector<size_t>& texts, const std::vector<Positions>& positions) {
  std::vector<std::span<const int32_t>> sequences;
  std::vector<int32_t> rows;
  std::vector<float> t;
  int32_t first = 0;
  for (const size_t text : texts) {
    sequences.emplace_back(samples_.texts[text]);
    t.push_back(static_cast<float>(times_[text]));
    for (const int32_t position : positions[text]) rows.push_back(first + position);
    first += static_cast<int32_t>(samples_.texts[text].size());
  }
  const TextBatch batch = TextBatch::of(sequences);
  samples_.network_calls += std::ssize(texts);
  const DenoiserInput input{batch.ids, batch.sequences, Tensor::from(t, {std::ssize(t)}),
                            Tensor::from(rows, {std::ssize(rows)})};
  return denoiser_.logits(input, ForwardContext{}).value();
}

// Draws the tokens at positions[text] of the texts from their logits, as logits_at() gives them.
void Canvas::draw(const std::vector<size_t>& texts, const std::vector<Positions>& positions,
                  const Tensor& logits) {
  std::vector<double> uniforms;
  for (const size_t text : texts) {
    for (size_t i = 0; i < positions[text].size(); ++i) uniforms.push_back(generators_[text].uniform());
  }
  const Tensor filtered = filtered_logits(logits, options_.filter);
  const Tensor numbers = Tensor::from(uniforms, {std::ssize(uniforms)}, filtered.device());
  const std::vector<int32_t> drawn = categorical(filtered, numbers).to_vector<int32_t>();
  auto next = drawn.begin();
  for (const size_t text : texts) {
    for (const int32_t position : positions[text]) samples_.texts[text][position] = *next++;
  }
}

}  // namespace haze
