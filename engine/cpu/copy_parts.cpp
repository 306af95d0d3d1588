#include "haze/engine/cpu/copy_parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/copy_parts.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// A number of parts that the compiler knows: their offsets stay in registers.
template <int64_t kCount, typename T>
void CopySomeParts(const T* HWY_RESTRICT source, const int64_t* HWY_RESTRICT offsets, int64_t rows,
                   const RowPart* parts, T* HWY_RESTRICT out, int64_t panel) {
  const hn::ScalableTag<T> d;
  RowPart part[kCount];
  for (int64_t i = 0; i < kCount; ++i) part[i] = parts[i];
  for (int64_t r = 0; r < rows; ++r, out += panel) {
    const T* from = source + offsets[r];
#pragma GCC unroll 8
    for (int64_t i = 0; i < kCount; ++i) hn::StoreU(hn::LoadU(d, from + part[i].from), d, out + part[i].to);
  }
}

template <typename T>
void CopyParts(const T* HWY_RESTRICT source, const int64_t* HWY_RESTRICT offsets, int64_t rows,
               const RowPart* HWY_RESTRICT parts, int64_t count, T* HWY_RESTRICT out, int64_t panel) {
  if (count == 1) return CopySomeParts<1>(source, offsets, rows, parts, out, panel);
  if (count == 2) return CopySomeParts<2>(source, offsets, rows, parts, out, panel);
  if (count == 3) return CopySomeParts<3>(source, offsets, rows, parts, out, panel);
  if (count == 4) return CopySomeParts<4>(source, offsets, rows, parts, out, panel);
  const hn::ScalableTag<T> d;
  for (int64_t r = 0; r < rows; ++r, out += panel) {
    const T* from = source + offsets[r];
    for (int64_t i = 0; i < count; ++i) hn::StoreU(hn::LoadU(d, from + parts[i].from), d, out + parts[i].to);
  }
}

template <typename T>
void CopySpaced(const T* HWY_RESTRICT from, int64_t step, int64_t count, T* HWY_RESTRICT to) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  for (; step == 2 && i + n <= count; i += n) {
    const auto low = hn::LoadU(d, from + 2 * i);
    const auto high = hn::LoadU(d, from + 2 * i + n - 1);  // ends with the last element that is wanted
    hn::StoreU(hn::ConcatUpperLower(d, hn::ConcatOdd(d, high, high), hn::ConcatEven(d, low, low)), d, to + i);
  }
#endif
  for (; i < count; ++i) to[i] = from[i * step];
}

template <typename T>
void CopyRows(const T* HWY_RESTRICT from, int64_t from_stride, int64_t step, int64_t rows, int64_t count,
              T* HWY_RESTRICT to, int64_t to_stride) {
  if (step != 1) {
    for (int64_t r = 0; r < rows; ++r) CopySpaced(from + r * from_stride, step, count, to + r * to_stride);
    return;
  }
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  // Down the columns, as rows are short.
  for (; i + n <= count; i += n) {
    for (int64_t r = 0; r < rows; ++r) {
      hn::StoreU(hn::LoadU(d, from + r * from_stride + i), d, to + r * to_stride + i);
    }
  }
  if (i == count) return;
  const auto rest = hn::FirstN(d, static_cast<size_t>(count - i));
  for (int64_t r = 0; r < rows; ++r) {
    StorePart(LoadPart(rest, d, from + r * from_stride + i), rest, d, to + r * to_stride + i);
  }
}

template <typename T>
const PartCopies<T>* Copies() {
  static const PartCopies<T> copies{static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>())), CopyParts<T>,
                                    CopyRows<T>};
  return &copies;
}
const PartCopies<float>* CopiesFloat() {
  return Copies<float>();
}
const PartCopies<double>* CopiesDouble() {
  return Copies<double>();
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(CopiesFloat);
HWY_EXPORT(CopiesDouble);

template <>
const PartCopies<float>& part_copies<float>() {
  return *HWY_DYNAMIC_DISPATCH(CopiesFloat)();
}
template <>
const PartCopies<double>& part_copies<double>() {
  return *HWY_DYNAMIC_DISPATCH(CopiesDouble)();
}

}  // namespace haze
#endif
