#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/copy.h"
#include "haze/engine/ops/creation.h"
#include "haze/engine/ops/cross_entropy.h"
#include "haze/engine/ops/elementwise.h"
#include "haze/engine/ops/matmul.h"

// Logits of a chunk of rows come from the kernels of the matrix product. Then a block has a row of them: it
// finds the loss, and turns the row in place into its gradient, softmax(logits) - one_hot(target). Two more
// products bring that to hidden and weight.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

/// The targets of a call, whose rows begin at `first_row`.
struct Targets {
  const int32_t* targets;
  bool ignores;
  int32_t ignored;
  int64_t first_row;
};

// Where row_weights is not null, the logits become row_weight (softmax - one_hot).
template <typename T>
__global__ void __launch_bounds__(kThreads)
    losses(T* logits, int64_t vocabulary, Targets of, const T* row_weights, T* result, Refuse refuse) {
  SHARED(T, scratch, [kThreads / kWarp]);
  T* const row = logits + blockIdx.x * vocabulary;
  const int64_t number = of.first_row + blockIdx.x;
  const int32_t target = of.targets[number];
  const bool counts = !(of.ignores && target == of.ignored), fits = target >= 0 && target < vocabulary;
  if (counts && !fits && threadIdx.x == 0) refuse({.value = target, .position = number, .limit = vocabulary});
  if (!counts || !fits) {
    for (int64_t i = threadIdx.x; row_weights && i < vocabulary; i += kThreads) row[i] = 0;
    if (threadIdx.x == 0) result[number] = 0;
    return;
  }
  T max = -std::numeric_limits<T>::infinity(), sum = 0;
  for (int64_t i = threadIdx.x; i < vocabulary; i += kThreads) max = Larger()(max, row[i]);
  max = over_block<kThreads>(max, scratch, Larger());
  const T shifted_target = row[target] - max;
  for (int64_t i = threadIdx.x; i < vocabulary; i += kThreads) sum += std::exp(row[i] - max);
  sum = over_block<kThreads>(sum, scratch, Plus());
  if (threadIdx.x == 0) result[number] = std::log(sum) - shifted_target;
  if (!row_weights) return;
  const T weight = row_weights[number];
  for (int64_t i = threadIdx.x; i < vocabulary; i += kThreads)
    row[i] = std::exp(row[i] - max) * (weight / sum) - (i == target ? weight : T(0));
}

// Rows [first, last) of x as a batch of one matrix.
Tensor rows_of(const Tensor& x, int64_t first, int64_t last) {
  const int64_t columns = x.size(1);
  return Tensor(x.storage(), {1, last - first, columns}, {0, columns, 1}, x.offset() + first * columns,
                x.dtype(), x.device());
}
Tensor transposed(const Tensor& x) {
  return Tensor(x.storage(), {1, x.size(2), x.size(1)}, {0, x.stride(2), x.stride(1)}, x.offset(), x.dtype(),
                x.device());
}
Tensor all_rows(const Tensor& x) {
  return rows_of(x, 0, x.size(0));
}

/// bfloat16 as float32, any other x itself.
Tensor widened(const Tensor& x) {
  if (!x.defined() || x.dtype() != Dtype::bfloat16) return x;
  const Tensor result(x.shape(), Dtype::float32, x.device());
  run_kernels(call::Copy{x, result});
  return result;
}

// The gradients of a chunk of rows from those of their logits, added up over the chunks.
void add_chunk_gradients(const call::LinearCrossEntropy& call, const Tensor& logits, const Tensor& hidden,
                         const Tensor& to_hidden) {
  const CrossEntropyResult& out = call.out;
  run_kernels(call::Matmul{logits, all_rows(call.weight), {.precision = call.precision}, false, to_hidden});
  MatmulOptions options{.precision = call.precision};
  if (out.bias.defined()) options.row_sums = Tensor(out.bias.shape(), out.bias.dtype(), out.bias.device());
  run_kernels(call::Matmul{transposed(logits), hidden, options, true, all_rows(out.weight)});
  if (out.bias.defined()) run_kernels(call::Binary{BinaryOp::add, out.bias, options.row_sums, out.bias});
}

// Of any dtypes that matrix products take; gradients are real.
template <typename T>
void run_chunks(const call::LinearCrossEntropy& call) {
  const CrossEntropyResult& out = call.out;
  const int64_t rows = call.hidden.size(0), vocabulary = call.weight.size(0);
  const int64_t chunk = rows_of_logits(rows, vocabulary);
  const Tensor buffer({chunk, vocabulary}, out.losses.dtype(), out.losses.device()),
      bias = widened(call.bias);
  const Refuse refuse(call.name(),
                      "{operation}: target {value} at row {position} is outside the vocabulary of {limit}");
  for (const Tensor* sum : {&out.weight, &out.bias}) {
    if (sum->defined()) run_kernels(call::Fill{*sum, 0});
  }
  for (int64_t first = 0; first < rows; first += chunk) {
    const int64_t last = std::min(rows, first + chunk);
    const Tensor logits = rows_of(buffer, 0, last - first), hidden = rows_of(call.hidden, first, last);
    run_kernels(call::Matmul{hidden,
                             transposed(all_rows(call.weight)),
                             {.bias = bias, .precision = call.precision},
                             false,
                             logits});
    const Targets targets{elements_of<const int32_t>(call.targets), call.ignored.has_value(),
                          call.ignored.value_or(0), first};
    launch_kernel(call.name(), losses<T>, {{static_cast<unsigned>(last - first)}, {kThreads}},
                  elements_of<T>(logits), vocabulary, targets, elements_of<const T>(call.row_weights),
                  elements_of<T>(out.losses), refuse);
    if (call.row_weights.defined())
      add_chunk_gradients(call, logits, hidden, rows_of(out.hidden, first, last));
  }
}

}  // namespace

template <>
void run_kernels(const call::LinearCrossEntropy& call) {
  // The logits' gradients are float32, and a product takes two operands of one dtype. Losses alone need no
  // copy of hidden and weight.
  const bool widens = call.hidden.dtype() == Dtype::bfloat16 && call.row_weights.defined();
  call::LinearCrossEntropy wide = call;
  if (widens) {
    wide.hidden = widened(call.hidden);
    wide.weight = widened(call.weight);
    for (Tensor* x : {&wide.out.hidden, &wide.out.weight, &wide.out.bias}) {
      if (x->defined()) *x = Tensor(x->shape(), Dtype::float32, x->device());
    }
  }
  dispatch_real(call.out.losses.dtype(), [&](auto tag) { run_chunks<decltype(tag)>(wide); });
  if (!widens) return;
  for (const auto& [from, to] :
       {std::pair(&wide.out.hidden, &call.out.hidden), std::pair(&wide.out.weight, &call.out.weight),
        std::pair(&wide.out.bias, &call.out.bias)}) {
    if (to->defined()) run_kernels(call::Copy{*from, *to});
  }
}

}  // namespace haze::HAZE_KERNELS
