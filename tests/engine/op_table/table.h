#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "haze/engine/ops.h"

#include "engine/op_table/array.h"

/// The operation table: one row an operation (or a variant of one), which says what the operation is applied
/// to and what it must give. The runner holds every row against its reference on a device.
namespace haze::test {

using reference::Array;

/// How an input lies in memory. Memory between its elements holds NaN, or a number outside every axis.
enum class Layout {
  dense,
  offset,      // begins three elements into its storage
  transposed,  // axes in reverse order
  stepped,     // every second element on the last axis
  broadcast,   // stride 0 on the first axis
};

inline const std::vector<Layout> kAllLayouts = {Layout::dense, Layout::offset, Layout::transposed,
                                                Layout::stepped, Layout::broadcast};

/// An input of uniform random numbers in [low, high), or of `values` again and again; rounded to the dtype.
struct Input {
  Shape shape;
  double low = -2, high = 2;
  std::vector<double> values = {};
  std::optional<Dtype> dtype = {};  // where not that of the run
};

using Case = std::vector<Input>;
using Tensors = std::vector<Tensor>;
using Arrays = std::vector<Array>;

/// A call that must throw.
struct Refusal {
  std::string what;
  std::function<void()> call;
};

struct Row {
  std::string name;
  std::string function;  // its name in ops.h, with which its error sentences begin
  std::vector<Dtype> dtypes = {};
  std::vector<Case> cases = {};
  /// dtype is that of the run; undefined inputs stand for arguments left out.
  std::function<Tensors(const Tensors&, Dtype)> apply = {};
  std::function<Arrays(const Arrays&, Dtype)> reference = {};
  std::vector<Layout> layouts = kAllLayouts;
  std::vector<Case> refused_shapes = {};
  std::vector<Case> refused_values =
      {};  // by the kernel: another device than the cpu says so when waited for
  std::vector<Refusal> refused = {};
  bool refuses_other_dtypes = true;
  std::vector<size_t> optional_inputs = {};  // those that may be undefined
};

inline const std::vector<Dtype> kReal = {Dtype::float32, Dtype::float64};
inline const std::vector<Dtype> kFloating = {Dtype::float32, Dtype::float64, Dtype::bfloat16};
inline const std::vector<Dtype> kFloatingAndIntegers = {Dtype::float32, Dtype::float64, Dtype::bfloat16,
                                                        Dtype::int32};
inline const std::vector<Dtype> kAllDtypes = {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::int32,
                                              Dtype::uint8};

/// Input of indices of an axis.
inline Input indices(const Shape& shape, int64_t extent) {
  return {shape, 0, static_cast<double>(extent), {}, Dtype::int32};
}

/// Shapes for operations that take any: empty, one element, odd, around the lengths of vectors, larger than a
/// thread's share.
std::vector<Shape> common_shapes();

/// A copy for an operation to write to; undefined where x is, for the operation to say so.
inline Tensor copy_of(const Tensor& x) {
  return x.defined() ? clone(x) : x;
}

/// The rows of each section of ops.h.
std::vector<Row> creation_rows();
std::vector<Row> view_rows();
std::vector<Row> elementwise_rows();
std::vector<Row> reduction_rows();
std::vector<Row> norm_rows();
std::vector<Row> adaptive_norm_rows();
std::vector<Row> position_rows();
std::vector<Row> matmul_rows();
std::vector<Row> attention_rows();
std::vector<Row> indexing_rows();
std::vector<Row> image_rows();
std::vector<Row> convolution_rows();
std::vector<Row> training_rows();  // cross-entropy and the optimiser step

/// A row without the cases that take long.
Row shortened(Row row);
/// Whether the device has the kernels that the row's largest case needs.
bool has_kernels(const Row& row, Device device);
/// Runs a row over its cases, layouts, dtypes and 1 and 2 threads.
void check_row(const Row& row, Device device);
/// Checks that a row's refused inputs, dtypes it does not take and undefined inputs throw its sentences, and
/// that refused values do as soon as the device is waited for.
void check_refusals(const Row& row, Device device);

}  // namespace haze::test
