#include "haze/engine/ops/matmul.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

const char* name_of(Activation activation) {
  constexpr std::array kNames = {"none", "relu", "gelu", "gelu_tanh", "silu"};
  return kNames[static_cast<size_t>(activation)];
}

// Whether a matrix of a product lies in memory column by column.
bool is_transposed(const Tensor& x) {
  return x.stride(-1) != 1 && x.size(-1) > 1 && x.stride(-2) == 1;
}

// x with its leading axes broadcast to `batch`.
Tensor with_batch(const Tensor& x, const Shape& batch) {
  Shape shape = batch;
  shape.append(x.size(-2));
  shape.append(x.size(-1));
  return expand(x, shape);
}

// Whether the leading axes are evenly spaced, so that one axis can stand for them.
bool batch_merges(const Tensor& x) {
  for (int axis = x.rank() - 3; axis > 0; --axis) {
    if (x.size(axis - 1) != 1 && x.stride(axis - 1) != x.stride(axis) * x.size(axis)) return false;
  }
  return true;
}

// Entry i of the first axis; undefined stays undefined.
Tensor entry(const Tensor& x, int64_t i) {
  if (!x.defined()) return x;
  Shape shape, strides;
  for (int axis = 1; axis < x.rank(); ++axis) {
    shape.append(x.size(axis));
    strides.append(x.stride(axis));
  }
  return Tensor(x.storage(), shape, strides, x.offset() + i * x.stride(0), x.dtype(), x.device());
}

Shape leading(const Tensor& x) {
  return Shape(std::span(x.shape().begin(), static_cast<size_t>(x.rank() - 2)));
}

void check_matmul(const char* operation, const Tensor& a, const Tensor& b) {
  check_same_dtype(operation, a, b);
  if (a.dtype() != Dtype::bfloat16) check_real(operation, "a", a);
  if (a.rank() < 2 || b.rank() < 2 || a.size(-1) != b.size(-2)) {
    fail("{}: shapes {} and {} are not [..., m, k] and [..., k, n]", operation, a.shape().to_string(),
         b.shape().to_string());
  }
}

// [..., m, k] x [k, n] is one product of all the rows, where they lie evenly spaced.
bool rows_merge(const Tensor& a, const Tensor& b) {
  if (b.rank() != 2 || a.rank() == 2) return false;
  for (int axis = a.rank() - 2; axis > 0; --axis) {
    if (a.size(axis - 1) != 1 && a.stride(axis - 1) != a.stride(axis) * a.size(axis)) return false;
  }
  return true;
}

Tensor merged_rows(const Tensor& x) {
  return reshape(x, {leading(x).elements() * x.size(-2), x.size(-1)});
}

// options with `change` made to every tensor of the result's shape.
template <typename Change>
MatmulOptions with_each(const MatmulOptions& options, Change&& change) {
  MatmulOptions result = options;
  for (Tensor* x : {&result.residual, &result.pre_activation, &result.slope_at}) {
    if (x->defined()) *x = change(*x);
  }
  return result;
}

void run_matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, bool accumulate,
                const Tensor& out) {
  if (out.elements() == 0 && !options.row_sums.defined()) return;
  if (rows_merge(a, b)) {
    return run_matmul(merged_rows(a), b, with_each(options, merged_rows), accumulate, merged_rows(out));
  }
  const Shape batch = leading(out);
  const Tensor wide_a = with_batch(a, batch), wide_b = with_batch(b, batch);
  if (!batch_merges(wide_a) || !batch_merges(wide_b)) {
    for (int64_t i = 0; i < out.size(0); ++i) {  // rather than to copy an operand
      const auto part = [i](const Tensor& x) { return entry(x, i); };
      run_matmul(part(wide_a), part(wide_b), with_each(options, part), accumulate, part(out));
    }
    return;
  }
  const auto flat = [count = batch.elements()](const Tensor& x) {
    return reshape(x, {count, x.size(-2), x.size(-1)});
  };
  launch(call::Matmul{flat(wide_a), flat(wide_b), with_each(options, flat), accumulate, flat(out)});
}

// x, copied where the product writes to its memory besides the result.
Tensor apart_from_written(const Tensor& x, const MatmulOptions& options) {
  return disjoint(disjoint(x, options.pre_activation), options.row_sums);
}

MatmulOptions checked_options(const MatmulOptions& options, const Tensor& a, const Shape& shape,
                              Dtype computed) {
  MatmulOptions dense = options;
  const auto check = [&](const char* argument, const Tensor& x, const Shape& expected) {
    check_dtype("matmul", argument, x, computed);
    check_shape("matmul", argument, x, expected);
  };
  if (dense.bias.defined()) {
    check("bias", dense.bias, {shape.back()});
    dense.bias = contiguous(dense.bias);
  }
  for (const auto& [argument, x] :
       {std::pair("residual", &dense.residual), std::pair("slope_at", &dense.slope_at)}) {
    if (!x->defined()) continue;
    check(argument, *x, shape);
    *x = contiguous(*x);
  }
  if (dense.slope_at.defined() &&
      (dense.bias.defined() || dense.pre_activation.defined() || dense.residual.defined())) {
    fail("matmul: slope_at cannot be combined with bias, pre_activation or residual");
  }
  if (dense.pre_activation.defined()) {
    check("pre_activation", dense.pre_activation, shape);
    check_contiguous("matmul", "pre_activation", dense.pre_activation);
  }
  if (dense.row_sums.defined()) {
    if (a.rank() != 2 || shape.rank() != 2) {
      fail("matmul: row_sums belong to a product of two matrices, a has shape {}, the result {}",
           a.shape().to_string(), shape.to_string());
    }
    check("row_sums", dense.row_sums, {a.size(0)});
    check_contiguous("matmul", "row_sums", dense.row_sums);
  }
  if (overlap(dense.pre_activation, dense.row_sums)) fail("matmul: pre_activation and row_sums overlap");
  for (Tensor* x : {&dense.bias, &dense.residual, &dense.slope_at}) *x = apart_from_written(*x, dense);
  return dense;
}

}  // namespace

std::string call::Matmul::title() const {
  std::string text = "matmul";
  if (a.dtype() != Dtype::float32) text += fmt::format(" {}", haze::name(a.dtype()));
  text += is_transposed(a) ? " a^T" : " a";
  text += is_transposed(b) ? " b^T" : " b";
  if (options.bias.defined()) text += " +bias";
  if (options.activation != Activation::none) text += fmt::format(" +{}", name_of(options.activation));
  if (options.slope_at.defined()) text += "'";
  if (options.residual.defined()) text += " +residual";
  if (options.row_sums.defined()) text += " +row sums";
  if (options.precision == Precision::bfloat16) text += " in bfloat16";
  if (accumulate) text += " +target";
  return text;
}

Shape call::Matmul::extents() const {
  const Shape product{out.size(1), out.size(2), a.size(2)};
  return out.size(0) == 1 ? product : batch_shape(out.size(0), product);
}

double call::Matmul::flops() const {
  return 2 * static_cast<double>(out.elements()) * static_cast<double>(a.size(2));
}

Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options,
              std::optional<Dtype> out_dtype) {
  check_matmul("matmul", a, b);
  const bool narrow = a.dtype() == Dtype::bfloat16;
  const Dtype computed = narrow ? Dtype::float32 : a.dtype();
  const Dtype wanted = out_dtype.value_or(computed);
  if (wanted != computed && !(narrow && wanted == Dtype::bfloat16)) {
    fail("matmul: a product of {} cannot be {}", name(a.dtype()), name(wanted));
  }
  Shape shape = broadcast_shape(leading(a), leading(b), "matmul");
  shape.append(a.size(-2));
  shape.append(b.size(-1));
  const MatmulOptions dense = checked_options(options, a, shape, computed);
  const Tensor result(shape, computed, a.device());
  run_matmul(apart_from_written(a, dense), apart_from_written(b, dense), dense, false, result);
  return wanted == computed ? result : cast(result, wanted);
}

void matmul_into(const Tensor& target, const Tensor& a, const Tensor& b, Precision precision) {
  check_matmul("matmul_into", a, b);
  check_dtype("matmul_into", "target", target, a.dtype() == Dtype::bfloat16 ? Dtype::float32 : a.dtype());
  Shape shape = broadcast_shape(leading(a), leading(b), "matmul_into");
  shape.append(a.size(-2));
  shape.append(b.size(-1));
  check_shape("matmul_into", "target", target, shape);
  check_contiguous("matmul_into", "the target", target);
  run_matmul(disjoint(a, target), disjoint(b, target), {.precision = precision}, true, target);
}

}  // namespace haze
