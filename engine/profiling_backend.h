#pragma once

#include "haze/engine/backend.h"
#include "haze/engine/profile.h"

namespace haze {

/// Passes each call on to the kernels of a device, and records it with its time and what it had to do.
class ProfilingBackend final : public Backend {
 public:
  ProfilingBackend(Backend& device, ProfileScope& scope) : device_(device), scope_(scope) {}

  void fill(const Tensor& out, double value) override;
  void copy(const Tensor& x, const Tensor& out) override;
  void arange(const Tensor& out) override;
  void unary(UnaryOp op, const Tensor& x, double a, double b, const Tensor& out) override;
  void binary(BinaryOp op, const Tensor& x, const Tensor& y, const Tensor& out) override;
  void compare(CompareOp op, const Tensor& x, const Tensor& y, const Tensor& out) override;
  void where(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& out) override;
  void uniform(RandomPosition position, double low, double high, const Tensor& out) override;
  void normal(RandomPosition position, double mean, double standard_deviation, const Tensor& out) override;
  void dropout(const Tensor& x, double probability, RandomPosition position, const Tensor& out) override;

  void reduce(ReduceOp op, const Tensor& x, double correction, const Tensor& out) override;
  void argmax(const Tensor& x, const Tensor& out) override;
  void cumulative_sum(const Tensor& x, const Tensor& out) override;
  double sum_of_squares(const Tensor& x) override;
  bool all_finite(const Tensor& x) override;

  void layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
                  const NormResult& out) override;
  void layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                           const NormGradient& out) override;
  void rms_norm(const Tensor& x, const Tensor& weight, double epsilon, const NormResult& out) override;
  void rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                         const NormGradient& out) override;
  void sort(const Tensor& x, bool descending, const Tensor& values, const Tensor& indices) override;
  void top_k(const Tensor& x, const Tensor& values, const Tensor& indices) override;
  void categorical(const Tensor& log_probabilities, const Tensor& uniforms, const Tensor& out) override;

  void matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, bool accumulate,
              const Tensor& out) override;
  void linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                            const Tensor& targets, const Tensor& row_weights, Precision precision,
                            const CrossEntropyResult& out) override;

  void index_select(const Tensor& x, const Tensor& indices, const Tensor& out) override;
  void index_add(const Tensor& indices, const Tensor& source, const Tensor& target) override;
  void gather(const Tensor& x, int axis, const Tensor& index, const Tensor& out) override;
  void scatter_add(int axis, const Tensor& index, const Tensor& source, const Tensor& target) override;

  void unfold(const Tensor& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding,
              const Tensor& out) override;
  void fold(const Tensor& columns, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding,
            const Tensor& out) override;
  void average_pool(const Tensor& x, int64_t size, const Tensor& out) override;
  void max_pool(const Tensor& x, int64_t size, const Tensor& out, const Tensor& indices) override;
  void upsample(const Tensor& x, int64_t size, const Tensor& out) override;

  void adamw(std::span<const AdamWSlot> slots, const AdamWOptions& options) override;

 private:
  struct Call;
  template <typename Kernel>
  void record(Call call, Kernel&& kernel);

  Backend& device_;
  ProfileScope& scope_;
};

}  // namespace haze
