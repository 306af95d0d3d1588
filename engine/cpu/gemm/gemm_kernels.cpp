#include "haze/engine/cpu/gemm/bf16_amx.h"
#include "haze/engine/cpu/gemm/bf16_avx512.h"
#include "haze/engine/cpu/gemm/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/gemm/gemm_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/gemm/gemm-inl.h"

// Which kernels there are, and the choice of the best one that this processor runs.
HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3
struct Avx512Bf16Tiles : FmaTiles<float, ConvertedPairs> {
  static constexpr int64_t kRows = avx512_bf16::kRows, kMostColumns = avx512_bf16::kColumns;
  static int64_t columns() { return avx512_bf16::kColumns; }
  static MicroKernelFunction<float> kernel(int64_t rows, bool) { return avx512_bf16::kernel(rows); }
};
#endif

/// A unit that multiplies tiles of 32 x 32, with AMX's layout of packed operands.
template <class Unit>
struct TileUnit : FmaTiles<float, Pairs> {
  static constexpr int64_t kRows = amx::kRows, kMostColumns = amx::kColumns;
  static constexpr int64_t kStepK = 2 * amx::kPairs;
  static constexpr int64_t kBlockK = 480;  // a panel of rows stays in the first-level cache
  static constexpr bool kRowsAlongK = true, kWritesWholeTiles = true;
  static int64_t columns() { return amx::kColumns; }
  static void prepare() { Unit::prepare(); }
  static MicroKernelFunction<float> kernel(int64_t, bool) { return Unit::multiply; }
};

template <typename S>
const GemmKernels<float, S>* Bfloat16Products() {
#if HWY_TARGET == HWY_AVX3
  if (amx::supported()) return &KernelsOf<TileUnit<amx::Processor>, S>();
  if (avx512_bf16::supported()) return &KernelsOf<Avx512Bf16Tiles, S>();
#endif
  using Element = std::conditional_t<std::is_same_v<S, float>, RoundedElements, WholeElements<float>>;
  return &KernelsOf<FmaTiles<float, Element>, S>();
}

const GemmKernels<float, float>* KernelsFloat(Precision precision) {
  if (precision == Precision::bfloat16) return Bfloat16Products<float>();
  return &KernelsOf<FmaTiles<float>, float>();
}
const GemmKernels<double, double>* KernelsDouble() {
  return &KernelsOf<FmaTiles<double>, double>();
}
const GemmKernels<float, float>* EmulatedTileUnit() {
  return &KernelsOf<TileUnit<amx::Emulation>, float>();
}
const GemmKernels<float, bfloat16>* KernelsBfloat16() {
  return Bfloat16Products<bfloat16>();
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(KernelsFloat);
HWY_EXPORT(KernelsDouble);
HWY_EXPORT(KernelsBfloat16);
HWY_EXPORT(EmulatedTileUnit);

template <>
const GemmKernels<float, float>& gemm_kernels<float, float>(Precision precision) {
  return *HWY_DYNAMIC_DISPATCH(KernelsFloat)(precision);
}
template <>
const GemmKernels<double, double>& gemm_kernels<double, double>(Precision) {
  return *HWY_DYNAMIC_DISPATCH(KernelsDouble)();
}
template <>
const GemmKernels<float, bfloat16>& gemm_kernels<float, bfloat16>(Precision) {
  return *HWY_DYNAMIC_DISPATCH(KernelsBfloat16)();
}

const GemmKernels<float, float>& amx::emulated_kernels() {
  return *HWY_DYNAMIC_DISPATCH(EmulatedTileUnit)();
}

}  // namespace haze
#endif
