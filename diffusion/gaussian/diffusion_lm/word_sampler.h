#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm.h"
#include "haze/diffusion/gaussian/level_samplers.h"

/// Texts out of noise: any sampler of noise levels goes from x_T to x_0, and x_0 is rounded to words.
namespace haze {

/// The ids that a text's rows can have, beyond its words.
struct WordIds {
  int32_t end = 0;       // the last token of every text
  int32_t padding = -1;  // follows it up to the model's length; negative: rows are ragged
  int64_t length = 0;    // rows of a text with its padding; the longest where rows are ragged
};

/// How rows become words.
enum class RoundingRule {
  softmax,  // the likeliest under p(w | x_0)
  nearest,  // the word of the nearest embedding
};

/// How a given word is shown to the network at a noisy level.
enum class GivenRows {
  clean,   // EMB(w), as the paper's code has it: the network learns of the word from the first step on
  noised,  // a draw of q(x_t | w), as in training
};

struct WordSamplerOptions {
  RoundingRule rounding = RoundingRule::softmax;
  /// Li et al. 2022, section 4.2: every estimate is replaced by the nearest embedding.
  bool clamp = true;
  GivenRows given = GivenRows::clean;
  double temperature = 1;          // WordEstimateOptions
  std::vector<int32_t> forbidden;  // words that are never drawn
};

/// The rows of texts that are being drawn. Given words stay: their estimate is EMB(w), so that x_t there is a
/// draw of q(x_t | w) at every step.
class WordCanvas {
 public:
  /// Throws Error where a request is too long, empty while rows are ragged, or holds an unknown word.
  WordCanvas(const DiffusionLm& model, const WordNetwork& network, const WordIds& ids,
             std::span<const Request> requests, WordSamplerOptions options);

  int64_t count() const { return static_cast<int64_t>(lengths_.size()); }
  /// The samplers' denoiser, for x [count, length, dimension]. The level has EMB(w) as the data where the
  /// network answers with words, and x_0 otherwise. Rows beyond a text's length are 0.
  Denoised denoise(const Tensor& x, const NoiseLevel& level);
  /// The words of x [count, length, dimension], given ones in their places; each text ends with its first end
  /// token, and padding is left out.
  std::vector<std::vector<int32_t>> texts(const Tensor& x) const;

  /// The rows of all texts of x [count, length, dimension], laid end to end; has gradients.
  Variable rows_of(const Variable& x) const;
  const Sequences& sequences() const { return sequences_; }

  /// The last x_0 that denoise() gave; undefined before.
  const Tensor& latest() const { return latest_; }
  int64_t network_calls() const { return network_calls_; }

 private:
  struct Chunk {  // texts that go through the network together
    int64_t first = 0, count = 0;
    Sequences sequences;
    Tensor rows;      // int32 [rows]: of x as [count * length, dimension]
    Tensor given;     // int32 [rows]: the word, or 0
    Tensor is_given;  // uint8 [rows, 1]
    Tensor kind;      // int32 [rows]: of offsets_
    Tensor previous;  // self-conditioning
  };

  void add_request(const Request& request, size_t index);
  void make_chunks();
  Chunk chunk_of(int64_t first, int64_t count) const;
  Tensor estimate(Chunk& chunk, const Tensor& x, const NoiseLevel& level);
  Tensor nearest(const Tensor& x, const Tensor& offsets) const;
  Tensor rounded(const Chunk& chunk, const Tensor& x) const;
  std::vector<int32_t> cut(std::vector<int32_t> words) const;

  const DiffusionLm& model_;
  const WordNetwork& network_;
  WordIds ids_;
  WordSamplerOptions options_;
  Variable embeddings_;
  Tensor offsets_;  // [2, words]: -infinity for what a row may not be; row 1 of texts whose end is given
  std::vector<std::vector<int32_t>> given_;  // of each text: the word of each row, or -1
  std::vector<int64_t> lengths_;
  std::vector<uint8_t> end_is_given_;
  std::vector<Chunk> chunks_;
  Sequences sequences_;  // of all texts
  Tensor rows_;          // int32 [rows]: of x as [count * length, dimension]
  Tensor latest_;
  int64_t network_calls_ = 0;
};

}  // namespace haze
