#include "haze/engine/cpu/simd/spans.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/activations-inl.h"
#include "haze/engine/cpu/simd/normal-inl.h"
#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

// out[i] = f(x[i]); the last vector, which may be partial, goes through a buffer.
template <typename T, class F>
HWY_INLINE void MapSpan(const T* x, T* out, int64_t count, F f) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) hn::StoreU(f(d, hn::LoadU(d, x + i)), d, out + i);
  if (i == count) return;
  HWY_ALIGN T buffer[HWY_MAX_BYTES / sizeof(T)] = {};
  std::copy(x + i, x + count, buffer);
  hn::Store(f(d, hn::Load(d, buffer)), d, buffer);
  std::copy(buffer, buffer + (count - i), out + i);
}

constexpr int64_t kPrefetchedBytes = 2 << 10;  // half a page behind the elements in use, by measurement

template <typename T, class F>
HWY_INLINE void ZipSpan(const T* x, const T* y, T* out, int64_t count, F f) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    if constexpr (HWY_TARGET != HWY_SCALAR) {
      prefetch(x + i, kPrefetchedBytes / sizeof(T));
      prefetch(y + i, kPrefetchedBytes / sizeof(T));
    }
    hn::StoreU(f(d, hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, out + i);
  }
  if (i == count) return;
  HWY_ALIGN T x_buffer[HWY_MAX_BYTES / sizeof(T)] = {};
  HWY_ALIGN T y_buffer[HWY_MAX_BYTES / sizeof(T)] = {};
  std::copy(x + i, x + count, x_buffer);
  std::copy(y + i, y + count, y_buffer);
  hn::Store(f(d, hn::Load(d, x_buffer), hn::Load(d, y_buffer)), d, x_buffer);
  std::copy(x_buffer, x_buffer + (count - i), out + i);
}

// A span kernel from an expression in d, v (and a, b): each case below is one.
template <typename T, class F>
HWY_INLINE UnarySpan<T> Unary(F) {
  return [](const T* x, T* out, int64_t count, T a, T b) {
    MapSpan(x, out, count, [a, b](auto d, auto v) HWY_ATTR { return F{}(d, v, a, b); });
  };
}

template <typename T, class F>
HWY_INLINE BinarySpan<T> Binary(F) {
  return [](const T* x, const T* y, T* out, int64_t count) {
    ZipSpan(x, y, out, count, [](auto d, auto v, auto w) HWY_ATTR { return F{}(d, v, w); });
  };
}

// The C library's function on each lane.
template <typename T, class F>
HWY_INLINE UnarySpan<T> Scalar(F) {
  return [](const T* x, T* out, int64_t count, T a, T) {
    for (int64_t i = 0; i < count; ++i) out[i] = F{}(x[i], a);
  };
}

template <typename T>
UnarySpan<T> ChooseUnary(UnaryOp op) {
  using U = UnaryOp;
  switch (op) {
    case U::scale_shift:
      return Unary<T>([](auto d, auto v, T a, T b)
                          HWY_ATTR { return hn::MulAdd(v, hn::Set(d, a), hn::Set(d, b)); });
    case U::absolute:
      return Unary<T>([](auto, auto v, T, T) HWY_ATTR { return hn::Abs(v); });
    case U::sign:
      return Scalar<T>([](T v, T) { return v > 0 ? T{1} : v < 0 ? T{-1} : v; });
    case U::floor:
      return Unary<T>([](auto, auto v, T, T) HWY_ATTR { return hn::Floor(v); });
    case U::ceil:
      return Unary<T>([](auto, auto v, T, T) HWY_ATTR { return hn::Ceil(v); });
    case U::round:
      return Unary<T>([](auto, auto v, T, T) HWY_ATTR { return hn::Round(v); });
    case U::square:
      return Unary<T>([](auto, auto v, T, T) HWY_ATTR { return hn::Mul(v, v); });
    case U::sqrt:
      return Unary<T>([](auto, auto v, T, T) HWY_ATTR { return hn::Sqrt(v); });
    case U::rsqrt:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return hn::Div(hn::Set(d, T{1}), hn::Sqrt(v)); });
    case U::reciprocal:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return hn::Div(hn::Set(d, T{1}), v); });
    case U::power:
      return Scalar<T>([](T v, T a) { return std::pow(v, a); });
    case U::exp:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Exp(d, v); });
    case U::expm1:
      return Scalar<T>([](T v, T) { return std::expm1(v); });
    case U::log:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Log(d, v); });
    case U::log1p:
      return Scalar<T>([](T v, T) { return std::log1p(v); });
    case U::sin:
      return Scalar<T>([](T v, T) { return std::sin(v); });
    case U::cos:
      return Scalar<T>([](T v, T) { return std::cos(v); });
    case U::tanh:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Tanh(d, v); });
    case U::erf:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Erf(d, v); });
    case U::erfcx:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Erfcx(d, v); });
    case U::erfinv:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Erfinv(d, v); });
    case U::log_ndtr:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return LogNdtr(d, v); });
    case U::sigmoid:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Sigmoid(d, v); });
    case U::softplus:
      return Scalar<T>([](T v, T) { return (v > 0 ? v : T{0}) + std::log1p(std::exp(-std::abs(v))); });
    case U::relu:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Relu(d, v); });
    case U::leaky_relu:
      return Unary<T>([](auto d, auto v, T a, T) HWY_ATTR {
        return hn::IfThenElse(hn::Gt(v, hn::Zero(d)), v, hn::Mul(v, hn::Set(d, a)));
      });
    case U::gelu:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Gelu(d, v); });
    case U::gelu_tanh:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return GeluTanh(d, v); });
    case U::silu:
      return Unary<T>([](auto d, auto v, T, T) HWY_ATTR { return Silu(d, v); });
    case U::clamp:
      return Unary<T>([](auto d, auto v, T a, T b) HWY_ATTR {
        const auto low = hn::Set(d, a), high = hn::Set(d, b);
        const auto raised = hn::IfThenElse(hn::Lt(v, low), low, v);
        return hn::IfThenElse(hn::Gt(raised, high), high, raised);
      });
    case U::kCount:
      break;
  }
  fail("unary: unknown operation");
}

template <typename T>
BinarySpan<T> ChooseBinary(BinaryOp op) {
  using B = BinaryOp;
  switch (op) {
    case B::add:
      return Binary<T>([](auto, auto v, auto w) HWY_ATTR { return hn::Add(v, w); });
    case B::subtract:
      return Binary<T>([](auto, auto v, auto w) HWY_ATTR { return hn::Sub(v, w); });
    case B::multiply:
      return Binary<T>([](auto, auto v, auto w) HWY_ATTR { return hn::Mul(v, w); });
    case B::divide:
      return Binary<T>([](auto, auto v, auto w) HWY_ATTR { return hn::Div(v, w); });
    // A NaN on either side comes through.
    case B::maximum:
      return Binary<T>([](auto, auto v, auto w)
                           HWY_ATTR { return hn::IfThenElse(hn::Or(hn::IsNaN(v), hn::Gt(v, w)), v, w); });
    case B::minimum:
      return Binary<T>([](auto, auto v, auto w)
                           HWY_ATTR { return hn::IfThenElse(hn::Or(hn::IsNaN(v), hn::Lt(v, w)), v, w); });
    case B::gelu_gradient:
      return Binary<T>([](auto d, auto x, auto g) HWY_ATTR { return hn::Mul(g, GeluDerivative(d, x)); });
    case B::gelu_tanh_gradient:
      return Binary<T>([](auto d, auto x, auto g) HWY_ATTR { return hn::Mul(g, GeluTanhDerivative(d, x)); });
    case B::silu_gradient:
      return Binary<T>([](auto d, auto x, auto g) HWY_ATTR { return hn::Mul(g, SiluDerivative(d, x)); });
    case B::kCount:
      break;
  }
  fail("binary: unknown operation");
}

UnarySpan<float> UnaryFloat(UnaryOp op) {
  return ChooseUnary<float>(op);
}
UnarySpan<double> UnaryDouble(UnaryOp op) {
  return ChooseUnary<double>(op);
}
BinarySpan<float> BinaryFloat(BinaryOp op) {
  return ChooseBinary<float>(op);
}
BinarySpan<double> BinaryDouble(BinaryOp op) {
  return ChooseBinary<double>(op);
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(UnaryFloat);
HWY_EXPORT(UnaryDouble);
HWY_EXPORT(BinaryFloat);
HWY_EXPORT(BinaryDouble);

template <>
UnarySpan<float> unary_span<float>(UnaryOp op) {
  return HWY_DYNAMIC_DISPATCH(UnaryFloat)(op);
}
template <>
UnarySpan<double> unary_span<double>(UnaryOp op) {
  return HWY_DYNAMIC_DISPATCH(UnaryDouble)(op);
}
template <>
BinarySpan<float> binary_span<float>(BinaryOp op) {
  return HWY_DYNAMIC_DISPATCH(BinaryFloat)(op);
}
template <>
BinarySpan<double> binary_span<double>(BinaryOp op) {
  return HWY_DYNAMIC_DISPATCH(BinaryDouble)(op);
}

namespace {

template <class F>
BinarySpan<int32_t> integers(F) {
  return [](const int32_t* x, const int32_t* y, int32_t* out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) out[i] = F{}(x[i], y[i]);
  };
}

int32_t wrapped(int64_t value) {
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint64_t>(value)));
}

}  // namespace

BinarySpan<int32_t> integer_binary_span(BinaryOp op) {
  switch (op) {
    case BinaryOp::add:
      return integers([](int64_t a, int64_t b) { return wrapped(a + b); });
    case BinaryOp::subtract:
      return integers([](int64_t a, int64_t b) { return wrapped(a - b); });
    case BinaryOp::multiply:
      return integers([](int64_t a, int64_t b) { return wrapped(a * b); });
    case BinaryOp::divide:
      return integers([](int64_t a, int64_t b) { return b == 0 ? 0 : wrapped(a / b); });
    case BinaryOp::maximum:
      return integers([](int64_t a, int64_t b) { return wrapped(std::max(a, b)); });
    case BinaryOp::minimum:
      return integers([](int64_t a, int64_t b) { return wrapped(std::min(a, b)); });
    default:
      fail("{}: not for int32", name(op));
  }
}

}  // namespace haze
#endif
