#include <optional>

#include <oneapi/dnnl/dnnl.hpp>

#include "haze/bench/peers.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"

// oneDNN's convolutions as PyTorch calls them: the primitive chooses the layouts that it is fastest in, and
// every call brings plain operands into them and the result out of it.
namespace haze {
namespace {

using dnnl::memory;

memory::dims dims_of(const Tensor& x) {
  return {x.shape().begin(), x.shape().end()};
}

/// A dense tensor in a layout of the primitive's choice, and the copy that takes it there or back.
class Reordered {
 public:
  Reordered(const Tensor& x, const memory::desc& chosen, bool read, const dnnl::engine& engine)
      : tensor_(x), read_(read) {
    const auto axes = x.rank() == 1   ? memory::format_tag::a
                      : x.rank() == 4 ? memory::format_tag::abcd
                                      : memory::format_tag::abcde;
    memory::dims dims = dims_of(x);
    plain_ = memory(memory::desc(dims, memory::data_type::f32, axes), engine, tensor_.raw());
    if (chosen == plain_.get_desc()) return;
    chosen_ = memory(chosen, engine);
    reorder_ = read ? dnnl::reorder(plain_, *chosen_) : dnnl::reorder(*chosen_, plain_);
  }

  const memory& chosen() const { return chosen_ ? *chosen_ : plain_; }
  void before(dnnl::stream& stream) {
    if (chosen_ && read_) reorder_.execute(stream, plain_, *chosen_);
  }
  void after(dnnl::stream& stream) {
    if (chosen_ && !read_) reorder_.execute(stream, *chosen_, plain_);
  }

 private:
  Tensor tensor_;  // held because the memory knows only its address
  bool read_;
  memory plain_;
  std::optional<memory> chosen_;
  dnnl::reorder reorder_;
};

struct Argument {
  int name;
  Reordered tensor;
};

std::function<void()> calling(const dnnl::primitive& primitive, const dnnl::engine& engine,
                              std::vector<Argument> tensors) {
  std::unordered_map<int, memory> arguments;
  for (const Argument& argument : tensors) arguments.emplace(argument.name, argument.tensor.chosen());
  dnnl::stream stream(engine);
  return [=]() mutable {
    for (Argument& argument : tensors) argument.tensor.before(stream);
    primitive.execute(stream, arguments);
    for (Argument& argument : tensors) argument.tensor.after(stream);
    stream.wait();
  };
}

memory::desc any_layout(const Tensor& x) {
  return {dims_of(x), memory::data_type::f32, memory::format_tag::any};
}

}  // namespace

std::function<void()> onednn_convolution(ConvolutionPass pass, const Tensor& x, const Tensor& weight,
                                         const ConvolutionOptions& o, const Tensor& y) {
  omp_set_num_threads(threads());  // oneDNN shares its OpenMP threads with haze
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const memory::dims strides{o.stride_h, o.stride_w}, dilates{o.dilation_h - 1, o.dilation_w - 1};
  const memory::dims before{o.top, o.left}, after{o.bottom, o.right};
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const memory::desc x_any = any_layout(x), w_any = any_layout(weight), y_any = any_layout(y);
  const dnnl::convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, algorithm, x_any, w_any, y_any, strides, dilates, before, after},
      engine);
  if (pass == ConvolutionPass::forward) {
    return calling(dnnl::convolution_forward(forward), engine,
                   {{DNNL_ARG_SRC, {x, forward.src_desc(), true, engine}},
                    {DNNL_ARG_WEIGHTS, {weight, forward.weights_desc(), true, engine}},
                    {DNNL_ARG_DST, {y, forward.dst_desc(), false, engine}}});
  }
  if (pass == ConvolutionPass::gradient_x) {
    const dnnl::convolution_backward_data::primitive_desc backward(
        {algorithm, x_any, w_any, y_any, strides, dilates, before, after}, engine, forward);
    return calling(dnnl::convolution_backward_data(backward), engine,
                   {{DNNL_ARG_DIFF_DST, {y, backward.diff_dst_desc(), true, engine}},
                    {DNNL_ARG_WEIGHTS, {weight, backward.weights_desc(), true, engine}},
                    {DNNL_ARG_DIFF_SRC, {x, backward.diff_src_desc(), false, engine}}});
  }
  const dnnl::convolution_backward_weights::primitive_desc backward(
      {algorithm, x_any, w_any, y_any, strides, dilates, before, after}, engine, forward);
  return calling(dnnl::convolution_backward_weights(backward), engine,
                 {{DNNL_ARG_SRC, {x, backward.src_desc(), true, engine}},
                  {DNNL_ARG_DIFF_DST, {y, backward.diff_dst_desc(), true, engine}},
                  {DNNL_ARG_DIFF_WEIGHTS, {weight, backward.diff_weights_desc(), false, engine}}});
}

}  // namespace haze
