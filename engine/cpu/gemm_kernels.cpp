#include "haze/engine/cpu/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/gemm_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

const GemmKernels<float, float>* KernelsFloat() {
  return &FmaKernels<float, float>();
}
const GemmKernels<double, double>* KernelsDouble() {
  return &FmaKernels<double, double>();
}
const GemmKernels<float, bfloat16>* KernelsBfloat16() {
  return &FmaKernels<float, bfloat16>();
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(KernelsFloat);
HWY_EXPORT(KernelsDouble);
HWY_EXPORT(KernelsBfloat16);

template <>
const GemmKernels<float, float>& gemm_kernels<float, float>() {
  return *HWY_DYNAMIC_DISPATCH(KernelsFloat)();
}
template <>
const GemmKernels<double, double>& gemm_kernels<double, double>() {
  return *HWY_DYNAMIC_DISPATCH(KernelsDouble)();
}
template <>
const GemmKernels<float, bfloat16>& gemm_kernels<float, bfloat16>() {
  return *HWY_DYNAMIC_DISPATCH(KernelsBfloat16)();
}

}  // namespace haze
#endif
