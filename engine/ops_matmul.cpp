#include "haze/engine/backend.h"
#include "haze/engine/checks.h"

// Matrix products, cross-entropy and the optimiser step of ops.h.
namespace haze {
namespace {

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
  backend(out.device()).matmul(flat(wide_a), flat(wide_b), with_each(options, flat), accumulate, flat(out));
}

}  // namespace

namespace {

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
    if (!dense.pre_activation.is_contiguous()) fail("matmul: pre_activation must be dense");
  }
  if (dense.row_sums.defined()) {
    if (a.rank() != 2 || shape.rank() != 2) {
      fail("matmul: row_sums belong to a product of two matrices, a has shape {}, the result {}",
           a.shape().to_string(), shape.to_string());
    }
    check("row_sums", dense.row_sums, {a.size(0)});
    if (!dense.row_sums.is_contiguous()) fail("matmul: row_sums must be dense");
  }
  return dense;
}

}  // namespace

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
  run_matmul(a, b, dense, false, result);
  return wanted == computed ? result : cast(result, wanted);
}

void matmul_into(const Tensor& target, const Tensor& a, const Tensor& b, Precision precision) {
  check_matmul("matmul_into", a, b);
  check_dtype("matmul_into", "target", target, a.dtype() == Dtype::bfloat16 ? Dtype::float32 : a.dtype());
  Shape shape = broadcast_shape(leading(a), leading(b), "matmul_into");
  shape.append(a.size(-2));
  shape.append(b.size(-1));
  check_shape("matmul_into", "target", target, shape);
  if (!target.is_contiguous()) fail("matmul_into: the target must be dense");
  run_matmul(a, b, {.precision = precision}, true, target);
}

namespace {

void check_targets(const Tensor& targets, int64_t vocabulary) {
  const int32_t* values = targets.data<int32_t>();
  for (int64_t i = 0; i < targets.elements(); ++i) {
    if (values[i] < 0 || values[i] >= vocabulary) {
      fail("linear_cross_entropy: target {} at row {} is outside the vocabulary of {}", values[i], i,
           vocabulary);
    }
  }
}

}  // namespace

CrossEntropyResult linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                        const Tensor& targets, const Tensor& row_weights,
                                        Precision precision) {
  constexpr const char* kName = "linear_cross_entropy";
  check_real(kName, "hidden", hidden);
  check_rank(kName, "hidden", hidden, 2);
  check_same_dtype(kName, hidden, weight);
  check_rank(kName, "weight", weight, 2);
  check_shape(kName, "weight", weight, {weight.size(0), hidden.size(1)});
  check_dtype(kName, "targets", targets, Dtype::int32);
  check_shape(kName, "targets", targets, {hidden.size(0)});
  if (bias.defined()) {
    check_same_dtype(kName, hidden, bias);
    check_shape(kName, "bias", bias, {weight.size(0)});
  }
  const Tensor dense_targets = contiguous(targets);
  check_targets(dense_targets, weight.size(0));
  CrossEntropyResult result;
  result.losses = Tensor({hidden.size(0)}, hidden.dtype(), hidden.device());
  if (row_weights.defined()) {
    check_same_dtype(kName, hidden, row_weights);
    check_shape(kName, "row_weights", row_weights, {hidden.size(0)});
    result.hidden = Tensor(hidden.shape(), hidden.dtype(), hidden.device());
    result.weight = Tensor(weight.shape(), weight.dtype(), weight.device());
    if (bias.defined()) result.bias = Tensor(bias.shape(), bias.dtype(), bias.device());
  }
  const auto dense = [](const Tensor& x) { return x.defined() ? contiguous(x) : x; };
  backend(hidden.device())
      .linear_cross_entropy(contiguous(hidden), contiguous(weight), dense(bias), dense_targets,
                            dense(row_weights), precision, result);
  return result;
}

void adamw_step(std::span<const AdamWSlot> slots, const AdamWOptions& options) {
  if (options.step < 1) fail("adamw_step: step {} counts from 1", options.step);
  if (slots.empty()) return;
  for (const AdamWSlot& slot : slots) {
    check_real("adamw_step", "parameter", slot.parameter);
    for (const Tensor* tensor : {&slot.parameter, &slot.gradient, &slot.first_moment, &slot.second_moment}) {
      check_same_dtype("adamw_step", slot.parameter, *tensor);
      check_shape("adamw_step", "gradient and moments", *tensor, slot.parameter.shape());
      if (!tensor->is_contiguous()) fail("adamw_step: parameter, gradient and moments must be dense");
    }
  }
  backend(slots[0].parameter.device()).adamw(slots, options);
}

}  // namespace haze
