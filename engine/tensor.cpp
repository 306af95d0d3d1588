#include "haze/engine/tensor.h"

#include <fmt/ranges.h>

#include "haze/engine/ops.h"

namespace haze {
namespace {

// The shape itself, where its elements and bytes can be counted.
const Shape& checked_shape(const Shape& shape, Dtype dtype) {
  auto bound = static_cast<int64_t>(size_of(dtype));
  for (int64_t extent : shape) {
    if (extent < 0) fail("tensor: shape {} has a negative extent", shape.to_string());
    if (__builtin_mul_overflow(bound, std::max<int64_t>(extent, 1), &bound)) {
      fail("tensor: shape {} is too large", shape.to_string());
    }
  }
  return shape;
}

// Calls f(offset) for every element in row-major order; offsets in elements from the tensor's first.
template <typename F>
void for_each_offset(const Shape& shape, const Shape& strides, F&& f) {
  if (shape.elements() == 0) return;
  Shape index = shape;
  for (int i = 0; i < shape.rank(); ++i) index[i] = 0;
  int64_t offset = 0;
  while (true) {
    f(offset);
    int axis = shape.rank() - 1;
    for (; axis >= 0; --axis) {
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

}  // namespace

Tensor::Tensor(const Shape& shape, Dtype dtype, Device device)
    : shape_(checked_shape(shape, dtype)),
      strides_(contiguous_strides(shape)),
      elements_(shape_.elements()),
      dtype_(dtype),
      device_(device) {
  storage_ = allocate(static_cast<size_t>(elements_) * size_of(dtype), device);
}

Tensor::Tensor(Storage storage, const Shape& shape, const Shape& strides, int64_t offset, Dtype dtype,
               Device device)
    : storage_(std::move(storage)),
      shape_(checked_shape(shape, dtype)),
      strides_(strides),
      offset_(offset),
      elements_(shape_.elements()),
      dtype_(dtype),
      device_(device) {}

bool Tensor::is_contiguous() const {
  int64_t step = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != step) return elements_ == 0;
    step *= shape_[i];
  }
  return true;
}

void Tensor::fail_without_axis(int axis) const {
  fail("tensor: shape {} has no axis {}", shape_.to_string(), axis);
}

void Tensor::fail_on_device() const {
  fail("tensor on {} read by the host; item(), to_vector() and to() bring its elements here", name(device_));
}

void Tensor::check_defined() const {
  if (!defined()) fail("tensor: an undefined tensor has no elements");
}

double Tensor::item() const {
  if (elements_ != 1) fail("item: the tensor has shape {}, not one element", shape_.to_string());
  return to_vector<double>()[0];
}

double Tensor::at(std::initializer_list<int64_t> index) const {
  check_defined();
  if (static_cast<int>(index.size()) != rank())
    fail("at: {} indices for shape {}", index.size(), shape_.to_string());
  int64_t offset = 0;
  int axis = 0;
  for (int64_t i : index) {
    if (i < 0 || i >= shape_[axis])
      fail("at: index {} is outside axis {} of shape {}", i, axis, shape_.to_string());
    offset += i * strides_[axis++];
  }
  const Tensor element(storage_, {}, {}, offset_ + offset, dtype_, device_);
  return element.item();
}

template <typename T>
std::vector<T> Tensor::to_vector() const {
  check_defined();
  if (device_ != Device::cpu) return to(*this, Device::cpu).to_vector<T>();
  std::vector<T> values;
  values.reserve(elements_);
  dispatch(dtype_, [&](auto tag) {
    const auto* first = data<decltype(tag)>();
    for_each_offset(shape_, strides_, [&](int64_t offset) { values.push_back(converted<T>(first[offset])); });
  });
  return values;
}

template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<int32_t> Tensor::to_vector() const;
template std::vector<uint8_t> Tensor::to_vector() const;

std::string to_string(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined tensor";
  auto values = tensor.to_vector<double>();
  constexpr size_t kShown = 8;
  const bool cut = values.size() > kShown;
  if (cut) values.resize(kShown);
  return fmt::format("{} {}: {:.6g}{}", name(tensor.dtype()), tensor.shape().to_string(),
                     fmt::join(values, " "), cut ? " ..." : "");
}

}  // namespace haze
