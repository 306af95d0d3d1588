#include "haze/engine/ops/group_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/simd/spans.h"

// A group is a row of channels / groups channels of `pixels` elements, which lie side by side. Within it a
// channel has one weight and one bias, so that the element-wise work is an affine map a channel.
namespace haze {
namespace {

// Calls body(group) for all groups of the batch, in parallel.
template <typename Body>
void for_each_group(const Tensor& x, int64_t groups, Body&& body) {
  const int64_t elements = x.size(1) / groups * x.size(2);
  parallel_for(x.size(0) * groups, rows_per_task(2 * elements), [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) body(group);
  });
}

template <typename T>
void normalize_groups(const call::GroupNorm& call) {
  const int64_t pixels = call.x.size(2), channels = call.x.size(1) / call.groups, count = channels * pixels;
  const RowSpans<T>& rows = row_spans<T>();
  const UnarySpan<T> affine = unary_span<T>(UnaryOp::scale_shift);
  for_each_group(call.x, call.groups, [&](int64_t group) {
    const T* x = call.x.data<T>() + group * count;
    T* out = call.out.output.template data<T>() + group * count;
    const T mean = static_cast<T>(rows.sum(x, count) / static_cast<double>(count));
    const double variance = rows.sum_square(x, count, mean) / static_cast<double>(count);
    const T rstd = static_cast<T>(1 / std::sqrt(variance + call.epsilon));
    call.out.mean.template data<T>()[group] = mean;
    call.out.rstd.template data<T>()[group] = rstd;
    const int64_t first = group % call.groups * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const T weight = call.weight.defined() ? call.weight.data<T>()[first + c] : T{1};
      const T bias = call.bias.defined() ? call.bias.data<T>()[first + c] : T{0};
      const T* from = x + c * pixels;
      T* to = out + c * pixels;
      affine(from, to, pixels, T{1}, -mean);  // first: x near the mean has digits that x - mean keeps
      affine(to, to, pixels, rstd * weight, bias);
    }
  });
}

// Of one channel of one image: sum(g) and sum(g xhat).
struct ChannelSums {
  double g = 0, g_xhat = 0;
};

template <typename T>
ChannelSums channel_sums(const T* g, const T* x, int64_t pixels, T mean, T rstd) {
  constexpr int64_t kBlock = 1024;  // elements that are summed in T
  constexpr int64_t kLanes = 16;    // independent sums, which a compiler puts side by side
  ChannelSums sums;
  for (int64_t first = 0; first < pixels; first += kBlock) {
    const int64_t last = std::min(pixels, first + kBlock);
    T g_sums[kLanes] = {}, dots[kLanes] = {};
    int64_t i = first;
    for (; i + kLanes <= last; i += kLanes) {
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        g_sums[lane] += g[i + lane];
        dots[lane] += g[i + lane] * (x[i + lane] - mean);
      }
    }
    for (; i < last; ++i) {
      g_sums[0] += g[i];
      dots[0] += g[i] * (x[i] - mean);
    }
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      sums.g += static_cast<double>(g_sums[lane]);
      sums.g_xhat += static_cast<double>(dots[lane]);
    }
  }
  sums.g_xhat *= static_cast<double>(rstd);
  return sums;
}

// With gw = g weight: dx = rstd (gw - mean(gw) - xhat mean(gw xhat)), the means over a group. The sums of g
// and g xhat a channel and image serve both these means and the gradients of weight and bias.
template <typename T>
void group_gradients(const call::GroupNormGradient& call) {
  const int64_t batch = call.x.size(0), all_channels = call.x.size(1), pixels = call.x.size(2);
  const int64_t channels = all_channels / call.groups, count = channels * pixels;
  std::vector<ChannelSums> sums(static_cast<size_t>(batch * all_channels));
  const T* weight = call.weight.defined() ? call.weight.data<T>() : nullptr;
  for_each_group(call.x, call.groups, [&](int64_t group) {
    const T* x = call.x.data<T>() + group * count;
    const T* g = call.g.data<T>() + group * count;
    T* out = call.out.x.template data<T>() + group * count;
    const T mean = call.saved.mean.template data<T>()[group],
            rstd = call.saved.rstd.template data<T>()[group];
    const int64_t first = group % call.groups * channels;
    ChannelSums* of_channels = sums.data() + group * channels;
    double gw_sum = 0, gw_xhat_sum = 0;
    for (int64_t c = 0; c < channels; ++c) {
      of_channels[c] = channel_sums(g + c * pixels, x + c * pixels, pixels, mean, rstd);
      const double w = weight ? static_cast<double>(weight[first + c]) : 1;
      gw_sum += w * of_channels[c].g;
      gw_xhat_sum += w * of_channels[c].g_xhat;
    }
    const T mean_gw = static_cast<T>(gw_sum / static_cast<double>(count));
    const T slope = static_cast<T>(gw_xhat_sum / static_cast<double>(count)) * rstd;
    for (int64_t c = 0; c < channels; ++c) {
      const T w = weight ? weight[first + c] : T{1};
      for (int64_t i = c * pixels; i < (c + 1) * pixels; ++i) {
        out[i] = rstd * (g[i] * w - mean_gw - (x[i] - mean) * slope);
      }
    }
  });
  const auto sum_over_batch = [&](const Tensor& to, double ChannelSums::*part) {
    if (!to.defined()) return;
    for (int64_t c = 0; c < all_channels; ++c) {
      double sum = 0;
      for (int64_t i = 0; i < batch; ++i) sum += sums[static_cast<size_t>(i * all_channels + c)].*part;
      to.data<T>()[c] = static_cast<T>(sum);
    }
  };
  sum_over_batch(call.out.weight, &ChannelSums::g_xhat);
  sum_over_batch(call.out.bias, &ChannelSums::g);
}

}  // namespace

void call::GroupNorm::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  if (x.elements() == 0) return;
  dispatch_real(x.dtype(), [&](auto tag) { normalize_groups<decltype(tag)>(*this); });
}

void call::GroupNormGradient::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  dispatch_real(x.dtype(), [&](auto tag) { group_gradients<decltype(tag)>(*this); });
}

}  // namespace haze
