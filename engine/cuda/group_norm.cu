#include "haze/engine/cuda/norm.h"
#include "haze/engine/ops/group_norm.h"

// The elements of a group lie side by side, so that a group of an image is a row of norm.h. The
// gradients of weight and bias have a block a channel, which sums over the images and their pixels.
namespace haze::HAZE_KERNELS {
namespace {

/// A weight and a bias a channel; null stands for 1 and 0.
template <typename T>
struct OfChannel {
  const T *weight, *bias;
  int64_t groups, channels, pixels;  // channels of a group

  __device__ int64_t channel(int64_t row, int64_t i) const { return row % groups * channels + i / pixels; }

  /// Whether all elements of a vector belong to one channel.
  bool takes_vectors() const { return pixels % kWidest<T> == 0; }

  __device__ bool accepts(int64_t) const { return true; }
  template <int kWidth>
  __device__ auto scale(int64_t row, int64_t i) const {
    return repeated<kWidth>(weight ? Wide<T>(weight[channel(row, i * kWidth)]) : Wide<T>(1));
  }
  template <int kWidth>
  __device__ auto shift(int64_t row, int64_t i) const {
    return repeated<kWidth>(bias ? Wide<T>(bias[channel(row, i * kWidth)]) : Wide<T>(0));
  }
};

template <typename T>
OfChannel<T> of_channel(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups) {
  return {elements_of<const T>(weight), elements_of<const T>(bias), groups, x.size(1) / groups, x.size(2)};
}

template <typename T>
__global__ void __launch_bounds__(kRowBlock)
    channel_gradients(const T* g, const T* x, const Wide<T>* means, const Wide<T>* rstds, T* weight_out,
                      T* bias_out, int64_t batch, int64_t groups, int64_t channels, int64_t pixels) {
  using W = Wide<T>;
  SHARED(double, scratch, [kRowBlock / kWarp]);
  const int64_t channel = blockIdx.x, group = channel / channels;
  double g_sum = 0, g_xhat_sum = 0;
  for (int64_t image = 0; image < batch; ++image) {
    const int64_t first = (image * groups * channels + channel) * pixels;
    const W mean = means[image * groups + group], rstd = rstds[image * groups + group];
    for (int64_t i = threadIdx.x; i < pixels; i += kRowBlock) {
      const W gi = W(g[first + i]);
      g_sum += static_cast<double>(gi);
      g_xhat_sum += static_cast<double>(gi * ((W(x[first + i]) - mean) * rstd));
    }
  }
  g_sum = over_block<kRowBlock>(g_sum, scratch, Plus());
  g_xhat_sum = over_block<kRowBlock>(g_xhat_sum, scratch, Plus());
  if (threadIdx.x != 0) return;
  if (weight_out) weight_out[channel] = T(static_cast<W>(g_xhat_sum));
  if (bias_out) bias_out[channel] = T(static_cast<W>(g_sum));
}

}  // namespace

template <>
void run_kernels(const call::GroupNorm& call) {
  const Tensor& x = call.x;
  if (x.elements() == 0) return;
  dispatch_floating(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto affine = of_channel<T>(x, call.weight, call.bias, call.groups);
    launch_normalize<T>(call.name(), x, affine, affine.takes_vectors(), call.epsilon, call.out,
                        affine.channels * affine.pixels);
  });
}

template <>
void run_kernels(const call::GroupNormGradient& call) {
  const Tensor& x = call.x;
  dispatch_floating(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto *g = elements_of<const T>(call.g), *values = elements_of<const T>(x);
    const auto *means = elements_of<const Wide<T>>(call.saved.mean),
               *rstds = elements_of<const Wide<T>>(call.saved.rstd);
    const auto affine = of_channel<T>(x, call.weight, Tensor(), call.groups);
    if (x.elements() > 0) {
      launch_normalize_gradient<T>(call.name(), call.g, x, affine, affine.takes_vectors(), call.saved,
                                   call.out.x, affine.channels * affine.pixels);
    }
    if (x.size(1) > 0 && (call.out.weight.defined() || call.out.bias.defined())) {
      launch_kernel(call.name(), channel_gradients<T>, RowPlan<kRowBlock, 1>::launch(x.size(1)), g, values,
                    means, rstds, elements_of<T>(call.out.weight), elements_of<T>(call.out.bias), x.size(0),
                    call.groups, affine.channels, affine.pixels);
    }
  });
}

}  // namespace haze::HAZE_KERNELS
