#pragma once

#include "haze/engine/ops.h"

namespace haze {

/// Kernels of one device. Called by ops*.cpp alone, which has checked shapes and dtypes, broadcast the
/// operands (stride 0) and allocated dense results; so a kernel checks nothing and allocates nothing but
/// scratch memory.
class Backend {
 public:
  virtual ~Backend() = default;

  // Element by element. Operands have the shape of `out`.
  virtual void fill(const Tensor& out, double value) = 0;
  virtual void copy(const Tensor& x, const Tensor& out) = 0;  // any strides and dtypes on both sides
  virtual void arange(const Tensor& out) = 0;
  virtual void unary(UnaryOp op, const Tensor& x, double a, double b, const Tensor& out) = 0;
  virtual void binary(BinaryOp op, const Tensor& x, const Tensor& y, const Tensor& out) = 0;
  virtual void compare(CompareOp op, const Tensor& x, const Tensor& y, const Tensor& out) = 0;
  virtual void where(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& out) = 0;
  virtual void uniform(RandomPosition position, double low, double high, const Tensor& out) = 0;
  virtual void normal(RandomPosition position, double mean, double standard_deviation, const Tensor& out) = 0;
  virtual void dropout(const Tensor& x, double probability, RandomPosition position, const Tensor& out) = 0;

  // Reductions. x is [outer, count, inner] and out [outer, inner]: a dense reduction of the middle axis.
  virtual void reduce(ReduceOp op, const Tensor& x, double correction, const Tensor& out) = 0;
  virtual void argmax(const Tensor& x, const Tensor& out) = 0;
  virtual void cumulative_sum(const Tensor& x, const Tensor& out) = 0;  // out [outer, count, inner]
  virtual double sum_of_squares(const Tensor& x) = 0;                   // x dense
  virtual bool all_finite(const Tensor& x) = 0;                         // x dense

  // Rows: x is dense [rows, columns].
  virtual void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
                          const NormResult& out) = 0;
  virtual void layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                   const NormResult& saved, const NormGradient& out) = 0;
  virtual void rms_norm(const Tensor& x, const Tensor& weight, double epsilon, const NormResult& out) = 0;
  virtual void rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                 const NormResult& saved, const NormGradient& out) = 0;
  virtual void sort(const Tensor& x, bool descending, const Tensor& values, const Tensor& indices) = 0;
  virtual void top_k(const Tensor& x, const Tensor& values, const Tensor& indices) = 0;  // [rows, k]
  // One number in [0, 1) a row (float64) says what is drawn; out gets -1 where a row has nothing to draw
  // from.
  virtual void categorical(const Tensor& log_probabilities, const Tensor& uniforms, const Tensor& out) = 0;

  // Matrix products. a [batch, m, k], b [batch, k, n], any strides; out dense [batch, m, n].
  virtual void matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, bool accumulate,
                      const Tensor& out) = 0;
  virtual void linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                    const Tensor& targets, const Tensor& row_weights, Precision precision,
                                    const CrossEntropyResult& out) = 0;

  // Indexing. x is [outer, count, inner] of any dtype, indices dense int32 and inside their axis.
  virtual void index_select(const Tensor& x, const Tensor& indices, const Tensor& out) = 0;
  virtual void index_add(const Tensor& indices, const Tensor& source, const Tensor& target) = 0;
  virtual void gather(const Tensor& x, int axis, const Tensor& index, const Tensor& out) = 0;
  virtual void scatter_add(int axis, const Tensor& index, const Tensor& source, const Tensor& target) = 0;

  // Images, dense.
  virtual void unfold(const Tensor& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding,
                      const Tensor& out) = 0;
  virtual void fold(const Tensor& columns, int64_t kernel_h, int64_t kernel_w, int64_t stride,
                    int64_t padding, const Tensor& out) = 0;
  virtual void average_pool(const Tensor& x, int64_t size, const Tensor& out) = 0;
  virtual void max_pool(const Tensor& x, int64_t size, const Tensor& out, const Tensor& indices) = 0;
  virtual void upsample(const Tensor& x, int64_t size, const Tensor& out) = 0;

  virtual void adamw(std::span<const AdamWSlot> slots, const AdamWOptions& options) = 0;
};

/// The kernels of a device.
Backend& kernels(Device device);

/// What an operation calls: the kernels of a device, or within a ProfileScope (profile.h) what records the
/// calls and passes them on.
Backend& backend(Device device);

}  // namespace haze
