#include "haze/diffusion/gaussian/diffusion_lm/word_sampler.h"

#include <algorithm>
#include <limits>

namespace haze {
namespace {

constexpr int64_t kRowsPerCall = 4096;

}  // namespace

WordCanvas::WordCanvas(const DiffusionLm& model, const WordNetwork& network, const WordIds& ids,
                       std::span<const Request> requests, WordSamplerOptions options)
    : model_(model), network_(network), ids_(ids), options_(std::move(options)) {
  const NoGradient scope;
  embeddings_ = network.embeddings();
  const int64_t words = network.options().words;
  offsets_ = zeros({2, words});
  const auto forbid = [&](int64_t kind, int32_t word) {
    if (word < 0 || word >= words) fail("diffusion_lm: the forbidden word {} is none of {}", word, words);
    fill(slice(slice(offsets_, 0, kind, kind + 1), 1, word, word + 1),
         -std::numeric_limits<double>::infinity());
  };
  for (const int32_t word : options_.forbidden) {
    for (const int64_t kind : {0, 1}) forbid(kind, word);
  }
  forbid(1, ids.end);
  if (ids.padding >= 0) forbid(1, ids.padding);
  offsets_ = to(cast(offsets_, embeddings_.dtype()), network.device());
  for (size_t i = 0; i < requests.size(); ++i) add_request(requests[i], i);
  make_chunks();
}

void WordCanvas::add_request(const Request& request, size_t index) {
  if (request.start.size() != request.fixed.size()) {
    fail("sampling: request {} has {} tokens and {} marks of which are fixed", index, request.start.size(),
         request.fixed.size());
  }
  const bool ragged = ids_.padding < 0;
  if (ragged && request.start.empty()) fail("sampling: request {} has no tokens", index);
  if (std::ssize(request.start) > ids_.length) {
    fail("sampling: request {} has {} tokens, and the model takes {}", index, request.start.size(),
         ids_.length);
  }
  std::vector<int32_t> given;
  for (size_t i = 0; i < request.start.size(); ++i) {
    if (request.fixed[i] && (request.start[i] < 0 || request.start[i] >= network_.options().words)) {
      fail("sampling: token {} of text {} is outside the vocabulary of {}", request.start[i], index,
           network_.options().words);
    }
    given.push_back(request.fixed[i] ? request.start[i] : -1);
  }
  const bool end_is_given = !given.empty() && given.back() == ids_.end;
  if (!ragged) given.resize(static_cast<size_t>(ids_.length), end_is_given ? ids_.padding : -1);
  lengths_.push_back(std::ssize(given));
  given_.push_back(std::move(given));
  end_is_given_.push_back(end_is_given);
}

void WordCanvas::make_chunks() {
  const int64_t per_call = std::max<int64_t>(1, kRowsPerCall / ids_.length);
  for (int64_t first = 0; first < count(); first += per_call)
    chunks_.push_back(chunk_of(first, std::min(per_call, count() - first)));
  const Chunk all = chunk_of(0, count());
  sequences_ = all.sequences;
  rows_ = all.rows;
}

Variable WordCanvas::rows_of(const Variable& x) const {
  return index_select(reshape(x, {-1, x.size(2)}), 0, rows_);
}

WordCanvas::Chunk WordCanvas::chunk_of(int64_t first, int64_t count) const {
  std::vector<int32_t> rows, given, kind;
  std::vector<uint8_t> is_given;
  for (int64_t text = first; text < first + count; ++text) {
    const auto i = static_cast<size_t>(text);
    for (int64_t place = 0; place < lengths_[i]; ++place) {
      const int32_t word = given_[i][static_cast<size_t>(place)];
      rows.push_back(static_cast<int32_t>((text - first) * ids_.length + place));
      given.push_back(std::max(word, 0));
      is_given.push_back(word >= 0);
      kind.push_back(end_is_given_[i]);
    }
  }
  const Device device = network_.device();
  const Shape shape{std::ssize(rows)};
  const std::span<const int64_t> lengths(lengths_);
  return {.first = first,
          .count = count,
          .sequences = Sequences::of_lengths(
              lengths.subspan(static_cast<size_t>(first), static_cast<size_t>(count)), device),
          .rows = Tensor::from(rows, shape, device),
          .given = Tensor::from(given, shape, device),
          .is_given = Tensor::from(is_given, {shape[0], 1}, device),
          .kind = Tensor::from(kind, shape, device),
          .previous = {}};
}

// Of each row of x [rows, dimension], the id of the nearest embedding: |x - e|^2 is least where x e - |e|^2 /
// 2 is greatest.
Tensor WordCanvas::nearest(const Tensor& x, const Tensor& offsets) const {
  const Variable squares = sum(square(embeddings_), {1});
  return argmax(add(linear(x, embeddings_, squares * -0.5).value(), offsets), 1);
}

Tensor WordCanvas::estimate(Chunk& chunk, const Tensor& x, const NoiseLevel& level) {
  const bool of_words = network_.options().output != WordOutput::vector;
  const NoiseLevel of_embedding = of_words ? level : to_word_level(model_.process, level);
  const Tensor offsets = index_select(offsets_, 0, chunk.kind);
  const Tensor given = embedding(embeddings_.value(), chunk.given);
  const std::vector<NoiseLevel> levels(static_cast<size_t>(chunk.count), of_embedding);
  NoisyRows input{options_.given == GivenRows::clean ? where(chunk.is_given, given, x) : x, chunk.sequences,
                  levels, chunk.previous};
  Tensor result =
      word_estimate(model_, network_, input,
                    {.temperature = options_.temperature, .offsets = of_words ? offsets : Tensor()});
  network_calls_ += chunk.count;
  if (network_.options().self_conditioning) chunk.previous = result;
  if (options_.clamp) result = embedding(embeddings_.value(), nearest(result, offsets));
  return where(chunk.is_given, given, result);
}

Denoised WordCanvas::denoise(const Tensor& x, const NoiseLevel& level) {
  const NoGradient scope;
  const int64_t dimension = x.size(2);
  std::vector<Tensor> parts;
  for (Chunk& chunk : chunks_) {
    const Tensor whole = reshape(slice(x, 0, chunk.first, chunk.first + chunk.count), {-1, dimension});
    const Tensor x_0 = estimate(chunk, index_select(whole, 0, chunk.rows), level);
    const Tensor back = zeros_like(whole);
    index_add_into(back, 0, chunk.rows, x_0);
    parts.push_back(reshape(back, {chunk.count, ids_.length, dimension}));
  }
  latest_ = parts.size() == 1 ? parts.front() : concat(parts, 0);
  return denoised_from(Parameterisation::x_0, latest_, x, level);
}

Tensor WordCanvas::rounded(const Chunk& chunk, const Tensor& x) const {
  const Tensor offsets = index_select(offsets_, 0, chunk.kind);
  const Tensor words =
      options_.rounding == RoundingRule::nearest
          ? nearest(x, offsets)
          : argmax(add(network_.rounding_logits(x, embeddings_).whole().value(), offsets), 1);
  return where(reshape(chunk.is_given, chunk.given.shape()), chunk.given, words);
}

std::vector<std::vector<int32_t>> WordCanvas::texts(const Tensor& x) const {
  const NoGradient scope;
  std::vector<std::vector<int32_t>> result;
  for (const Chunk& chunk : chunks_) {
    const Tensor whole = reshape(slice(x, 0, chunk.first, chunk.first + chunk.count), {-1, x.size(2)});
    const std::vector<int32_t> words =
        to(rounded(chunk, index_select(whole, 0, chunk.rows)), Device::cpu).to_vector<int32_t>();
    auto next = words.begin();
    for (const int64_t length : chunk.sequences.lengths) {
      result.push_back(cut({next, next + length}));
      next += length;
    }
  }
  return result;
}

std::vector<int32_t> WordCanvas::cut(std::vector<int32_t> words) const {
  if (ids_.padding < 0) return words;
  const auto end = std::find(words.begin(), words.end(), ids_.end);
  if (end != words.end()) words.erase(end + 1, words.end());
  std::erase(words, ids_.padding);
  return words;
}

}  // namespace haze
