#pragma once

#include <span>
#include <string>
#include <vector>

#include "haze/engine/dtype.h"
#include "haze/engine/memory.h"
#include "haze/engine/shape.h"

namespace haze {

/// A strided view of shared storage. Copying a Tensor copies the view, never the elements; it does not touch
/// the heap. A default-constructed Tensor is undefined: it has no storage, and defined() is false.
class Tensor {
 public:
  Tensor() = default;
  /// Dense, uninitialised, row-major. Throws Error on a negative extent.
  explicit Tensor(const Shape& shape, Dtype dtype = Dtype::float32, Device device = Device::cpu);
  /// View of `storage`, whose device is `device`; `offset` and `strides` in elements.
  Tensor(Storage storage, const Shape& shape, const Shape& strides, int64_t offset, Dtype dtype,
         Device device);

  /// Dense copy of `values`, which must number as many as `shape` has elements.
  template <typename T>
  static Tensor from(std::span<const T> values, const Shape& shape, Device device = Device::cpu) {
    Tensor result(shape, dtype_of<T>(), device);
    if (static_cast<int64_t>(values.size()) != result.elements()) {
      fail("Tensor::from: {} values do not fill shape {}", values.size(), shape.to_string());
    }
    runtime(device).copy_from_host(result.address(), values.data(), values.size_bytes());
    return result;
  }
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = Device::cpu) {
    return from(std::span<const T>(values), shape, device);
  }
  template <typename T>
  static Tensor from(std::initializer_list<T> values, const Shape& shape, Device device = Device::cpu) {
    return from(std::span<const T>(values.begin(), values.size()), shape, device);
  }

  bool defined() const { return static_cast<bool>(storage_); }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }
  int rank() const { return shape_.rank(); }
  /// Extent of an axis; a negative axis counts from the last. Throws Error where there is none.
  int64_t size(int axis) const { return shape_[checked_axis(axis)]; }
  int64_t stride(int axis) const { return strides_[checked_axis(axis)]; }
  int64_t elements() const { return elements_; }
  Dtype dtype() const { return dtype_; }
  Device device() const { return device_; }
  const Storage& storage() const { return storage_; }
  int64_t offset() const { return offset_; }
  /// Whether elements are contiguous in row-major order.
  bool is_contiguous() const;

  /// First element, as T, for the host. Throws Error where T is not the tensor's dtype, and on every device
  /// but the cpu: what lies elsewhere is read by item(), to_vector() and to().
  template <typename T>
  T* data() const {
    if (dtype_of<T>() != dtype_) fail("tensor of {} read as {}", name(dtype_), name(dtype_of<T>()));
    check_on_host();
    return static_cast<T*>(storage_.data()) + offset_;
  }
  /// First element, untyped, for the host. Throws Error on every device but the cpu.
  void* raw() const {
    check_on_host();
    return address();
  }
  /// The address of the first element in its device's memory: for kernels and for a DeviceRuntime.
  void* address() const {
    return static_cast<char*>(storage_.data()) + offset_ * static_cast<int64_t>(size_of(dtype_));
  }

  /// The one element of a tensor with one element, as double. This and the next two wait for the device.
  double item() const;
  /// Element at `index` (one number an axis), as double. For tests and printing, not for loops.
  double at(std::initializer_list<int64_t> index) const;
  /// All elements in row-major order, converted as by cast().
  template <typename T>
  std::vector<T> to_vector() const;

 private:
  int checked_axis(int axis) const {
    const int resolved = axis < 0 ? axis + rank() : axis;
    if (resolved < 0 || resolved >= rank()) fail_without_axis(axis);
    return resolved;
  }
  [[noreturn]] void fail_without_axis(int axis) const;
  [[noreturn]] void fail_on_device() const;
  void check_defined() const;
  void check_on_host() const {
    if (device_ != Device::cpu) fail_on_device();
  }

  Storage storage_;
  Shape shape_;
  Shape strides_;
  int64_t offset_ = 0;
  int64_t elements_ = 0;
  Dtype dtype_ = Dtype::float32;
  Device device_ = Device::cpu;
};

/// Shape, dtype and the first few elements, for people.
std::string to_string(const Tensor& tensor);

}  // namespace haze
