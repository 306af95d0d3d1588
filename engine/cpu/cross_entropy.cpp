#include "haze/engine/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/simd/spans.h"
#include "haze/engine/ops/matmul.h"

// Cross-entropy fused with the projection onto the vocabulary: logits of a few rows at a time, turned in
// place into the loss and then into its gradient, softmax(logits) - one_hot(target).
namespace haze {
namespace {

// Losses of a chunk; where row_weights is not null, the logits become row_weight (softmax - one_hot).
template <typename T>
void chunk_losses(const Tensor& logits, const int32_t* targets, std::optional<int32_t> ignored,
                  const T* row_weights, T* losses) {
  const int64_t vocabulary = logits.size(1);
  const RowSpans<T>& spans = row_spans<T>();
  const UnarySpan<T> scale_shift = unary_span<T>(UnaryOp::scale_shift);
  parallel_for(logits.size(0), 8, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      T* row = logits.data<T>() + i * vocabulary;
      if (targets[i] == ignored) {
        losses[i] = 0;
        if (row_weights) std::fill_n(row, vocabulary, T{0});
        continue;
      }
      const T max = spans.max(row, vocabulary);
      const double shifted_target = static_cast<double>(row[targets[i]]) - static_cast<double>(max);
      if (!row_weights) {
        losses[i] = static_cast<T>(std::log(spans.sum_exp(row, vocabulary, max)) - shifted_target);
        continue;
      }
      const double sum = spans.exp_and_sum(row, row, vocabulary, max);
      losses[i] = static_cast<T>(std::log(sum) - shifted_target);
      scale_shift(row, row, vocabulary, static_cast<T>(static_cast<double>(row_weights[i]) / sum), T{0});
      row[targets[i]] -= row_weights[i];
    }
  });
}

void check_targets(const Tensor& targets, std::optional<int32_t> ignored, int64_t vocabulary) {
  const int32_t* values = targets.data<int32_t>();
  for (int64_t i = 0; i < targets.elements(); ++i) {
    if (values[i] != ignored && (values[i] < 0 || values[i] >= vocabulary)) {
      fail("linear_cross_entropy: target {} at row {} is outside the vocabulary of {}", values[i], i,
           vocabulary);
    }
  }
}

// x as a batch of one, for a matrix product.
Tensor one(const Tensor& x) {
  return unsqueeze(x, 0);
}

// The gradients of a chunk of rows from those of their logits, added up over the chunks.
template <typename T>
void add_chunk_gradients(const Tensor& logits, const Tensor& hidden, const Tensor& weight,
                         Precision precision, const Tensor& to_hidden, const CrossEntropyResult& out) {
  call::Matmul{one(logits), one(weight), {.precision = precision}, false, one(to_hidden)}.run(Cpu{});
  MatmulOptions options{.precision = precision};
  if (out.bias.defined()) options.row_sums = Tensor(out.bias.shape(), out.bias.dtype());
  call::Matmul{one(transpose(logits)), one(hidden), options, true, one(out.weight)}.run(Cpu{});
  if (!out.bias.defined()) return;
  row_spans<T>().add(out.bias.data<T>(), options.row_sums.template data<T>(), out.bias.elements());
}

}  // namespace

void call::LinearCrossEntropy::run(Cpu) const {
  // The logits' gradients are float32, and a product takes two operands of one dtype. Losses alone need no
  // copy of hidden and weight.
  if (hidden.dtype() == Dtype::bfloat16 && row_weights.defined()) return run_in_float32(*this);
  const Tensor wide_bias = widened(bias);
  const int64_t rows = hidden.size(0), vocabulary = weight.size(0);
  check_targets(targets, ignored, vocabulary);
  const int64_t chunk = rows_of_logits(rows, vocabulary);
  const Tensor buffer({chunk, vocabulary}, out.losses.dtype());
  dispatch_real(buffer.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if (out.weight.defined()) std::fill_n(out.weight.data<T>(), out.weight.elements(), T{0});
    if (out.bias.defined()) std::fill_n(out.bias.data<T>(), out.bias.elements(), T{0});
    for (int64_t first = 0; first < rows; first += chunk) {
      const int64_t last = std::min(rows, first + chunk);
      const Tensor logits = slice(buffer, 0, 0, last - first), hidden_rows = slice(hidden, 0, first, last);
      call::Matmul{one(hidden_rows),
                   one(transpose(weight)),
                   {.bias = wide_bias, .precision = precision},
                   false,
                   one(logits)}
          .run(Cpu{});
      chunk_losses<T>(logits, targets.data<int32_t>() + first, ignored,
                      row_weights.defined() ? row_weights.data<T>() + first : nullptr,
                      out.losses.data<T>() + first);
      if (!row_weights.defined()) continue;
      add_chunk_gradients<T>(logits, hidden_rows, weight, precision, slice(out.hidden, 0, first, last), out);
    }
  });
}

}  // namespace haze
