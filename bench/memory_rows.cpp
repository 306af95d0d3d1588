#include <algorithm>

#include "haze/bench/kernel_case.h"
#include "haze/engine/cpu/machine.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/machine_spans.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

constexpr int64_t kWidth = 1024;  // of a row, where a kernel works on rows
constexpr int64_t kVocabulary = 30522;
constexpr int64_t kEmbeddingWidth = 256;
constexpr int64_t kMiB = int64_t{1} << 20;

/// Elements of a float32 tensor that does not fit in the last-level cache, a multiple of kWidth.
int64_t large_tensor_elements() {
  const int64_t bytes = std::max(64 * kMiB, last_level_cache_bytes() * 3 / 2);
  return bytes / static_cast<int64_t>(sizeof(float)) / kWidth * kWidth;
}

Tensor random_rows(uint64_t seed) {
  Generator generator(seed);
  return normal({large_tensor_elements() / kWidth, kWidth}, generator);
}

/// Copies a large tensor, each thread its own part of it, with stores that pass by the caches: the fastest
/// copy there is.
std::function<void()> copy_of_memory() {
  const Tensor source = ones({large_tensor_elements()}), target = zeros({large_tensor_elements()});
  return [=] {
    const int64_t rows = source.elements() / kWidth, share = (rows + threads() - 1) / threads();
    parallel_for(rows, share, [&](int64_t first, int64_t last) {
      machine_spans().copy_past_cache(source.data<float>() + first * kWidth,
                                      target.data<float>() + first * kWidth, (last - first) * kWidth);
    });
  };
}

/// A row whose work is proportional to the elements of a large tensor.
KernelRow row_of(const std::string& name, double operations_an_element, double bytes_an_element,
                 std::function<std::function<void()>()> prepare) {
  const auto elements = static_cast<double>(large_tensor_elements());
  KernelRow row;
  row.name = name;
  row.operations = operations_an_element * elements;
  row.bytes = bytes_an_element * elements;
  row.prepare = [prepare] { return KernelCase{prepare(), copy_of_memory()}; };
  row.peer_bytes = 2 * static_cast<double>(sizeof(float)) * elements;
  return row;
}

std::function<void()> prepare_layer_norm() {
  const Tensor x = random_rows(1), weight = ones({kWidth}), bias = zeros({kWidth});
  return [=] { layer_norm(x, weight, bias, 1e-5); };
}

std::function<void()> prepare_layer_norm_gradient() {
  const Tensor x = random_rows(1), g = random_rows(2), weight = ones({kWidth}), bias = zeros({kWidth});
  const NormResult saved = layer_norm(x, weight, bias, 1e-5);
  return [=] { layer_norm_gradient(g, x, weight, saved, true); };
}

std::function<void()> prepare_softmax_gradient() {
  const Tensor y = softmax(random_rows(1)), g = random_rows(2);
  return [=] { softmax_gradient(y, g); };
}

std::function<void()> prepare_adamw() {
  const Tensor parameter = random_rows(1), gradient = random_rows(2);
  const std::vector<AdamWSlot> slots{
      {parameter, gradient, zeros(parameter.shape()), zeros(parameter.shape())}};
  return [=] { adamw_step(slots, {.weight_decay = 0.01}); };
}

std::function<void()> prepare_global_norm() {
  const std::vector<Tensor> tensors{random_rows(1)};
  return [=] { global_norm(tensors); };
}

/// Random tokens' gradients summed by token. It must read them once and write the table once.
KernelRow embedding_gradient_row() {
  KernelRow row = row_of("embedding gradient", 1, sizeof(float), [] {
    Generator generator(3);
    const Tensor g = reshape(random_rows(1), {-1, kEmbeddingWidth});
    const Tensor ids = cast(uniform({g.size(0)}, generator, 0, kVocabulary), Dtype::int32);
    return [=] { embedding_gradient(g, ids, kVocabulary); };
  });
  row.bytes += static_cast<double>(kVocabulary * kEmbeddingWidth) * sizeof(float);
  row.bytes += static_cast<double>(large_tensor_elements() / kEmbeddingWidth) * sizeof(int32_t);
  return row;
}

template <typename Kernel>
std::function<std::function<void()>()> of_one(Kernel kernel) {
  return [kernel] { return [kernel, x = random_rows(1)] { kernel(x); }; };
}

template <typename Kernel>
std::function<std::function<void()>()> of_two(Kernel kernel) {
  return [kernel] { return [kernel, x = random_rows(1), y = random_rows(2)] { kernel(x, y); }; };
}

}  // namespace

KernelGroup memory_kernels() {
  // Operations and bytes of an element: numbers read and written once each, four bytes a number.
  KernelGroup group{"memory", "copy", true, {}};
  group.rows = {
      row_of("add", 1, 12, of_two([](const Tensor& x, const Tensor& y) { add(x, y); })),
      row_of("add in place", 1, 12, of_two([](const Tensor& x, const Tensor& y) { add_into(x, y); })),
      row_of("gelu", 5, 8, of_one([](const Tensor& x) { unary(UnaryOp::gelu, x); })),
      row_of("gelu tanh", 9, 8, of_one([](const Tensor& x) { unary(UnaryOp::gelu_tanh, x); })),
      row_of("gelu tanh gradient", 18, 12,
             of_two([](const Tensor& x, const Tensor& g) { binary(BinaryOp::gelu_tanh_gradient, x, g); })),
      row_of("dropout", 1, 8, of_one([](const Tensor& x) { dropout(x, 0.1, {}); })),
      row_of("column sum", 1, 4, of_one([](const Tensor& x) { sum(x, {0}); })),
      row_of("layer norm", 7, 8, prepare_layer_norm),
      row_of("layer norm gradient", 14, 12, prepare_layer_norm_gradient),
      row_of("softmax", 4, 8, of_one([](const Tensor& x) { softmax(x); })),
      row_of("softmax gradient", 4, 12, prepare_softmax_gradient),
      embedding_gradient_row(),
      row_of("AdamW", 14, 28, prepare_adamw),
      row_of("global norm", 2, 4, prepare_global_norm),
  };
  return group;
}

}  // namespace haze
