#include <cmath>

#include "haze/engine/cpu/cpu_backend.h"
#include "haze/engine/cpu/prefetch.h"
#include "haze/engine/cpu/row_spans.h"
#include "haze/engine/cpu/spans.h"
#include "haze/engine/parallel.h"

// Cross-entropy fused with the projection onto the vocabulary: logits of a few rows at a time, turned in
// place into the loss and then into its gradient, softmax(logits) - one_hot(target).
namespace haze {
namespace {

// Logits held at a time, in elements: rows enough for a fast matrix product, yet never [tokens, vocabulary].
constexpr int64_t kLogits = int64_t{1} << 22;
constexpr int64_t kFewestRows = 64;

// Losses of a chunk; where row_weights is not null, the logits become row_weight (softmax - one_hot).
template <typename T>
void chunk_losses(const Tensor& logits, const int32_t* targets, const T* row_weights, T* losses) {
  const int64_t vocabulary = logits.size(1);
  const RowSpans<T>& spans = row_spans<T>();
  const UnarySpan<T> scale_shift = unary_span<T>(UnaryOp::scale_shift);
  parallel_for(logits.size(0), 8, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      T* row = logits.data<T>() + i * vocabulary;
      const T max = spans.max(row, vocabulary);
      const double shifted_target = static_cast<double>(row[targets[i]]) - static_cast<double>(max);
      if (!row_weights) {
        losses[i] = static_cast<T>(std::log(spans.sum_exp(row, vocabulary, max)) - shifted_target);
        continue;
      }
      const double sum = spans.exp_and_sum(row, row, vocabulary, max, prefetch_distance<T>(vocabulary));
      losses[i] = static_cast<T>(std::log(sum) - shifted_target);
      scale_shift(row, row, vocabulary, static_cast<T>(static_cast<double>(row_weights[i]) / sum), T{0});
      row[targets[i]] -= row_weights[i];
    }
  });
}

}  // namespace

void CpuBackend::linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                      const Tensor& targets, const Tensor& row_weights, Precision precision,
                                      const CrossEntropyResult& out) {
  const int64_t rows = hidden.size(0), vocabulary = weight.size(0);
  const bool gradients = row_weights.defined();
  if (gradients) {
    haze::fill(out.weight, 0);
    if (out.bias.defined()) haze::fill(out.bias, 0);
  }
  const int64_t chunk = std::min(rows, std::max(kFewestRows, kLogits / std::max<int64_t>(vocabulary, 1)));
  const Tensor buffer({chunk, vocabulary}, hidden.dtype(), hidden.device());
  for (int64_t first = 0; first < rows; first += chunk) {
    const int64_t last = std::min(rows, first + chunk);
    const auto rows_of = [&](const Tensor& x) { return slice(x, 0, first, last); };
    const Tensor logits = slice(buffer, 0, 0, last - first);
    const auto one = [](const Tensor& x) { return unsqueeze(x, 0); };
    matmul(one(rows_of(hidden)), one(transpose(weight)), {.bias = bias, .precision = precision}, false,
           one(logits));
    dispatch_real(hidden.dtype(), [&](auto tag) {
      using T = decltype(tag);
      chunk_losses<T>(logits, targets.data<int32_t>() + first,
                      gradients ? row_weights.data<T>() + first : nullptr, out.losses.data<T>() + first);
    });
    if (!gradients) continue;
    matmul(one(logits), one(weight), {.precision = precision}, false, one(rows_of(out.hidden)));
    MatmulOptions to_weight{.precision = precision};
    if (out.bias.defined()) to_weight.row_sums = Tensor(out.bias.shape(), out.bias.dtype());
    matmul(one(transpose(logits)), one(rows_of(hidden)), to_weight, true, one(out.weight));
    if (out.bias.defined()) add_into(out.bias, to_weight.row_sums);
  }
}

}  // namespace haze
