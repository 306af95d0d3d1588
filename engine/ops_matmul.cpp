#include <algorithm>
#include <functional>

#include "haze/engine/backend.h"
#include "haze/engine/checks.h"

// Matrix products, attention, cross-entropy and the optimiser step of ops.h.
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
  if (overlap(dense.pre_activation, dense.row_sums)) fail("matmul: pre_activation and row_sums overlap");
  for (Tensor* x : {&dense.bias, &dense.residual, &dense.slope_at}) *x = apart_from_written(*x, dense);
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
  if (!target.is_contiguous()) fail("matmul_into: the target must be dense");
  run_matmul(disjoint(a, target), disjoint(b, target), {.precision = precision}, true, target);
}

namespace {

Tensor unit_last_stride(const Tensor& x) {
  return x.size(-1) == 1 || x.stride(-1) == 1 ? x : clone(x);
}

void check_attention_inputs(const char* operation, const Tensor& query, const Tensor& key,
                            const Tensor& value) {
  for (const auto& [argument, tensor] :
       {std::pair("query", &query), std::pair("key", &key), std::pair("value", &value)}) {
    check_real(operation, argument, *tensor);
    check_rank(operation, argument, *tensor, 4);
    check_same_dtype(operation, query, *tensor);
  }
  check_shape(operation, "key", key, {query.size(0), key.size(1), query.size(2), query.size(3)});
  check_shape(operation, "value", value, key.shape());
  if (query.size(3) == 0) fail("{}: the head size is 0", operation);
}

void check_offsets(const char* operation, const Tensor& query, const Tensor& key, const Tensor& offsets) {
  check_dtype(operation, "sequence_offsets", offsets, Dtype::int32);
  check_rank(operation, "sequence_offsets", offsets, 1);
  const std::vector<int32_t> values = offsets.to_vector<int32_t>();
  const bool valid = !values.empty() && values.front() == 0 && values.back() == query.size(1) &&
                     std::is_sorted(values.begin(), values.end());
  if (!valid || query.size(0) != 1 || key.size(1) != query.size(1)) {
    fail(
        "{}: sequence_offsets must rise from 0 to the number of rows, with queries and keys [1, rows, ...]; "
        "query has "
        "shape {}, key {}",
        operation, query.shape().to_string(), key.shape().to_string());
  }
}

AttentionOptions checked_options(const char* operation, const Tensor& query, const Tensor& key,
                                 const AttentionOptions& options) {
  AttentionOptions result = options;
  if (!(options.scale >= 0)) fail("{}: scale {} is negative", operation, options.scale);
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail("{}: dropout {} is not in [0, 1)", operation, options.dropout);
  if (options.sequence_offsets.defined()) {
    check_offsets(operation, query, key, options.sequence_offsets);
    if (options.key_lengths.defined() || options.block_mask.defined()) {
      fail("{}: sequence_offsets cannot be combined with key_lengths or block_mask", operation);
    }
    result.sequence_offsets = contiguous(options.sequence_offsets);
  }
  if (options.key_lengths.defined()) {
    check_dtype(operation, "key_lengths", options.key_lengths, Dtype::int32);
    check_shape(operation, "key_lengths", options.key_lengths, {query.size(0)});
    for (int32_t length : options.key_lengths.to_vector<int32_t>()) {
      if (length < 0 || length > key.size(1))
        fail("{}: key length {} is not in 0..{}", operation, length, key.size(1));
    }
    result.key_lengths = contiguous(options.key_lengths);
  }
  if (options.block_mask.defined()) {
    if (options.block_size < 1) fail("{}: block_mask needs a block_size of at least 1", operation);
    const auto blocks = [&](int64_t length) {
      return (length + options.block_size - 1) / options.block_size;
    };
    check_dtype(operation, "block_mask", options.block_mask, Dtype::uint8);
    check_shape(operation, "block_mask", options.block_mask, {blocks(query.size(1)), blocks(key.size(1))});
    result.block_mask = contiguous(options.block_mask);
  }
  return result;
}

}  // namespace

AttentionResult attention(const Tensor& query, const Tensor& key, const Tensor& value,
                          const AttentionOptions& options) {
  check_attention_inputs("attention", query, key, value);
  const AttentionOptions checked = checked_options("attention", query, key, options);
  const AttentionResult result{
      Tensor(query.shape(), query.dtype(), query.device()),
      Tensor({query.size(0), query.size(2), query.size(1)}, query.dtype(), query.device())};
  if (query.elements() > 0) {
    backend(query.device())
        .attention(unit_last_stride(query), unit_last_stride(key), unit_last_stride(value), checked, result);
  }
  return result;
}

AttentionGradient attention_gradient(const Tensor& g, const Tensor& query, const Tensor& key,
                                     const Tensor& value, const AttentionResult& saved,
                                     const AttentionOptions& options, const AttentionGradient& into) {
  check_attention_inputs("attention_gradient", query, key, value);
  check_same_dtype("attention_gradient", query, g);
  check_shape("attention_gradient", "g", g, query.shape());
  const AttentionOptions checked = checked_options("attention_gradient", query, key, options);
  check_same_dtype("attention_gradient", query, saved.output);
  check_shape("attention_gradient", "the saved output", saved.output, query.shape());
  check_same_dtype("attention_gradient", query, saved.logsumexp);
  check_shape("attention_gradient", "the saved logsumexp", saved.logsumexp,
              {query.size(0), query.size(2), query.size(1)});
  const AttentionResult dense_saved{unit_last_stride(saved.output), contiguous(saved.logsumexp)};
  AttentionGradient result = into;
  for (const auto& [target, input] :
       {std::pair(&result.query, &query), std::pair(&result.key, &key), std::pair(&result.value, &value)}) {
    if (!target->defined()) *target = Tensor(input->shape(), input->dtype(), input->device());
    check_shape("attention_gradient", "a target", *target, input->shape());
    check_same_dtype("attention_gradient", query, *target);
    if (target->size(-1) > 1 && target->stride(-1) != 1)
      fail("attention_gradient: a target's last stride must be 1");
    for (const Tensor* x : {&g, &query, &key, &value, &saved.output, &saved.logsumexp}) {
      if (overlap(*x, *target)) fail("attention_gradient: a target overlaps an operand");
    }
  }
  if (query.elements() == 0) {
    fill(result.key, 0);
    fill(result.value, 0);
    return result;
  }
  backend(query.device())
      .attention_gradient(unit_last_stride(g), unit_last_stride(query), unit_last_stride(key),
                          unit_last_stride(value), dense_saved, checked, result);
  return result;
}

uint64_t attention_dropout_counters(const Tensor& query, const Tensor& key) {
  check_rank("attention_dropout_counters", "query", query, 4);
  check_rank("attention_dropout_counters", "key", key, 4);
  return static_cast<uint64_t>(query.size(0) * query.size(1) * query.size(2) * ((key.size(1) + 3) / 4));
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

namespace {

// Throws where something that the step writes to overlaps anything else.
void check_apart(std::span<const AdamWSlot> slots) {
  struct Stretch {
    const char *first, *last;
    bool written;
  };
  std::vector<Stretch> stretches;
  stretches.reserve(4 * slots.size());
  for (const AdamWSlot& slot : slots) {
    for (const Tensor* x : {&slot.parameter, &slot.gradient, &slot.first_moment, &slot.second_moment}) {
      const auto* first = static_cast<const char*>(x->address());
      const int64_t bytes = x->elements() * static_cast<int64_t>(size_of(x->dtype()));
      if (bytes > 0) stretches.push_back({first, first + bytes, x != &slot.gradient});
    }
  }
  std::sort(stretches.begin(), stretches.end(),
            [](const Stretch& a, const Stretch& b) { return std::less<>()(a.first, b.first); });
  const char *end = nullptr, *written_end = nullptr;  // of all before, and of the written ones among them
  for (const Stretch& stretch : stretches) {
    if (std::less<>()(stretch.first, stretch.written ? end : written_end)) {
      fail("adamw_step: a parameter or a moment shares memory with another tensor of the step");
    }
    end = std::max(end, stretch.last, std::less<>());
    if (stretch.written) written_end = std::max(written_end, stretch.last, std::less<>());
  }
}

}  // namespace

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
  check_apart(slots);
  backend(slots[0].parameter.device()).adamw(slots, options);
}

}  // namespace haze
