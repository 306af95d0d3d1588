#include <oneapi/dnnl/dnnl.hpp>

#include "haze/bench/leading_stride.h"
#include "haze/bench/peers.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"

namespace haze {
namespace {

using dnnl::memory;

std::function<void()> sgemm(const Tensor& a, const Tensor& b, const Tensor& c) {
  return [=] {
    dnnl_sgemm(is_transposed(a) ? 'T' : 'N', is_transposed(b) ? 'T' : 'N', c.size(1), c.size(2), a.size(2),
               1.0F, a.data<float>(), leading_stride(a), b.data<float>(), leading_stride(b), 0.0F,
               c.data<float>(), c.size(2));
  };
}

memory::desc describe(const Tensor& tensor) {
  const auto type = tensor.dtype() == Dtype::bfloat16 ? memory::data_type::bf16 : memory::data_type::f32;
  memory::dims extents, strides;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    extents.push_back(tensor.size(axis));
    strides.push_back(tensor.stride(axis));
  }
  return memory::desc(extents, type, strides);
}

std::function<void()> primitive(const Tensor& a, const Tensor& b, const Tensor& c) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const dnnl::matmul::desc desc(describe(a), describe(b), describe(c));
  const dnnl::matmul matmul(dnnl::matmul::primitive_desc(desc, engine));
  const std::unordered_map<int, memory> arguments{{DNNL_ARG_SRC, memory(describe(a), engine, a.raw())},
                                                  {DNNL_ARG_WEIGHTS, memory(describe(b), engine, b.raw())},
                                                  {DNNL_ARG_DST, memory(describe(c), engine, c.raw())}};
  dnnl::stream stream(engine);
  // a, b and c are held because the primitive knows only their addresses.
  return [matmul, arguments, stream, a, b, c]() mutable {
    matmul.execute(stream, arguments);
    stream.wait();
  };
}

}  // namespace

std::function<void()> onednn_matmul(const Tensor& a, const Tensor& b, const Tensor& c) {
  // Debian's oneDNN shares its OpenMP threads with haze.
  omp_set_num_threads(threads());
  if (a.dtype() == Dtype::float32 && a.size(0) == 1) return sgemm(a, b, c);
  try {
    return primitive(a, b, c);
  } catch (const dnnl::error& error) {
    fail("oneDNN has no product of {} {} x {} here: {}", name(a.dtype()), a.shape().to_string(),
         b.shape().to_string(), error.what());
  }
}

bool onednn_multiplies_bfloat16() {
  const Tensor a({1, 1, 1}, Dtype::bfloat16), c({1, 1, 1});
  try {
    primitive(a, a, c);
  } catch (const dnnl::error&) {
    return false;
  }
  return true;
}

}  // namespace haze
