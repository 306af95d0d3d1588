#pragma once

#include "haze/engine/backend.h"

namespace haze {

/// Kernels for the processor. Each member is defined in the file of its name in this folder.
class CpuBackend final : public Backend {
 public:
  /// Settles the instruction set that the kernels run on. Throws as instruction_set() does.
  CpuBackend();

  // Element by element. Operands have the shape of `out`.
  void fill(const Tensor& out, double value) override;
  void copy(const Tensor& x, const Tensor& out) override;  // any strides and dtypes on both sides
  void arange(const Tensor& out) override;
  void unary(UnaryOp op, const Tensor& x, double a, double b, const Tensor& out) override;
  void binary(BinaryOp op, const Tensor& x, const Tensor& y, const Tensor& out) override;
  void compare(CompareOp op, const Tensor& x, const Tensor& y, const Tensor& out) override;
  void where(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& out) override;
  void uniform(RandomPosition position, double low, double high, const Tensor& out) override;
  void normal(RandomPosition position, double mean, double standard_deviation, const Tensor& out) override;
  void dropout(const Tensor& x, double probability, RandomPosition position, const Tensor& out) override;

  // Reductions. x is [outer, count, inner] and out [outer, inner]: a dense reduction of the middle axis.
  void reduce(ReduceOp op, const Tensor& x, double correction, const Tensor& out) override;
  void argmax(const Tensor& x, const Tensor& out) override;
  void cumulative_sum(const Tensor& x, const Tensor& out) override;  // out [outer, count, inner]
  double sum_of_squares(const Tensor& x) override;                   // x dense
  bool all_finite(const Tensor& x) override;                         // x dense

  // Rows: x is dense [rows, columns].
  void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
                  const NormResult& out) override;
  void layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                           const NormGradient& out) override;
  void rms_norm(const Tensor& x, const Tensor& weight, double epsilon, const NormResult& out) override;
  void rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                         const NormGradient& out) override;
  void sort(const Tensor& x, bool descending, const Tensor& values, const Tensor& indices) override;
  void top_k(const Tensor& x, const Tensor& values, const Tensor& indices) override;  // [rows, k]
  void categorical(const Tensor& log_probabilities, const Tensor& uniforms, const Tensor& out) override;

  // Matrix products. a [batch, m, k], b [batch, k, n], any strides; out dense [batch, m, n].
  void matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, bool accumulate,
              const Tensor& out) override;
  void linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                            const Tensor& targets, const Tensor& row_weights, Precision precision,
                            const CrossEntropyResult& out) override;

  // Indexing. x is [outer, count, inner] of any dtype, indices dense int32 and inside their axis.
  void index_select(const Tensor& x, const Tensor& indices, const Tensor& out) override;
  void index_add(const Tensor& indices, const Tensor& source, const Tensor& target) override;
  void gather(const Tensor& x, int axis, const Tensor& index, const Tensor& out) override;
  void scatter_add(int axis, const Tensor& index, const Tensor& source, const Tensor& target) override;

  // Images, dense.
  void unfold(const Tensor& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding,
              const Tensor& out) override;
  void fold(const Tensor& columns, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding,
            const Tensor& out) override;
  void average_pool(const Tensor& x, int64_t size, const Tensor& out) override;
  void max_pool(const Tensor& x, int64_t size, const Tensor& out, const Tensor& indices) override;
  void upsample(const Tensor& x, int64_t size, const Tensor& out) override;

  void adamw(std::span<const AdamWSlot> slots, const AdamWOptions& options) override;
};

}  // namespace haze
