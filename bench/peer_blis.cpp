#include <blis.h>

#include "haze/bench/leading_stride.h"
#include "haze/bench/peers.h"
#include "haze/engine/cpu/parallel.h"

namespace haze {

std::function<void()> blis_matmul(const Tensor& a, const Tensor& b, const Tensor& c) {
  bli_thread_set_num_threads(threads());
  const auto width = [](int64_t extent) { return static_cast<f77_int>(extent); };
  return [=] {
    cblas_sgemm(CblasRowMajor, is_transposed(a) ? CblasTrans : CblasNoTrans,
                is_transposed(b) ? CblasTrans : CblasNoTrans, width(c.size(1)), width(c.size(2)),
                width(a.size(2)), 1.0F, a.data<float>(), width(leading_stride(a)), b.data<float>(),
                width(leading_stride(b)), 0.0F, c.data<float>(), width(c.size(2)));
  };
}

}  // namespace haze
