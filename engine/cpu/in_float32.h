#pragma once

#include <algorithm>
#include <vector>

#include "haze/engine/call.h"
#include "haze/engine/cpu/grain.h"
#include "haze/engine/ops.h"
#include "haze/engine/ops/copy.h"

/// Kernels for bfloat16 out of those for float32: operands are widened, the kernel computes in float32, and
/// what it writes is rounded once. A kernel whose operands are large does this by chunks.
namespace haze {

/// bfloat16 as float32, any other x itself. An element that broadcasting repeats is converted once.
inline Tensor widened(const Tensor& x) {
  if (!x.defined() || x.dtype() != Dtype::bfloat16) return x;
  Tensor stored = x;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x.stride(axis) == 0) stored = slice(stored, axis, 0, std::min<int64_t>(x.size(axis), 1));
  }
  const Tensor result(stored.shape(), Dtype::float32);
  call::Copy{stored, result}.run(Cpu{});
  return expand(result, x.shape());
}

/// Runs the float32 kernel of a call, some of whose operands are bfloat16.
template <typename Call>
void run_in_float32(const Call& call) {
  Call wide = call;
  std::vector<Tensor> narrow;  // the operands of `call`
  wide.each_operand([&](Use use, const char*, const Tensor& x) {
    narrow.push_back(x);
    if (!x.defined() || x.dtype() != Dtype::bfloat16) return;
    // `wide` is not const
    const_cast<Tensor&>(x) = use == Use::write ? Tensor(x.shape(), Dtype::float32) : widened(x);
  });
  wide.run(Cpu{});
  size_t i = 0;
  wide.each_operand([&](Use use, const char*, const Tensor& x) {
    const Tensor& target = narrow[i++];
    if (use == Use::read || !x.defined() || x.dtype() == target.dtype()) return;
    call::Copy{x, target}.run(Cpu{});
  });
}

/// The same by chunks of rows: `part(first, last)` is the call for those rows. A row has about `elements`
/// elements.
template <typename Part>
void run_rows_in_float32(int64_t rows, int64_t elements, Part&& part) {
  parallel_for(rows, rows_per_task(elements),
               [&](int64_t first, int64_t last) { run_in_float32(part(first, last)); });
}

}  // namespace haze
