#include "haze/engine/ops/indexing.h"

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

// Dense int32; their values are for the kernel to check.
Tensor dense_indices(const char* operation, const char* argument, const Tensor& indices) {
  check_dtype(operation, argument, indices, Dtype::int32);
  return contiguous(indices);
}

Shape with_last(Shape shape, int64_t extent) {
  shape.append(extent);
  return shape;
}

// The shape of an index of gather, scatter and scatter_add against that of x.
void check_index_shape(const char* operation, const Tensor& x, const Tensor& index) {
  check_defined(operation, "index", index);
  bool fits = index.rank() == x.rank();
  for (int axis = 0; fits && axis < x.rank(); ++axis) fits = index.size(axis) <= x.size(axis);
  if (!fits) {
    fail("{}: index has shape {}, it takes as many axes as x of shape {} and extents at most its", operation,
         index.shape().to_string(), x.shape().to_string());
  }
}

Tensor scattered(const char* operation, bool adds, const Tensor& x, int axis, const Tensor& index,
                 const Tensor& source) {
  check_same_dtype(operation, x, source);
  const int resolved = checked_axis(operation, x, axis);
  check_index_shape(operation, x, index);
  check_shape(operation, "source", source, index.shape());
  const Tensor dense = dense_indices(operation, "index", index);
  Tensor result = clone(x);
  launch(call::Scatter{adds, resolved, dense, contiguous(source), result});
  return result;
}

}  // namespace

Tensor embedding(const Tensor& weight, const Tensor& ids) {
  check_rank("embedding", "weight", weight, 2);
  const Tensor indices = dense_indices("embedding", "ids", ids);
  Tensor result(with_last(ids.shape(), weight.size(1)), weight.dtype(), weight.device());
  launch(call::IndexSelect{"embedding", as_outer_count_inner(weight, 0), reshape(indices, {ids.elements()}),
                           reshape(result, {1, ids.elements(), weight.size(1)})});
  return result;
}

Tensor embedding_gradient(const Tensor& g, const Tensor& ids, int64_t vocabulary) {
  check_floating("embedding_gradient", "g", g);
  if (vocabulary < 0) fail("embedding_gradient: the vocabulary of {} is negative", vocabulary);
  const Tensor indices = dense_indices("embedding_gradient", "ids", ids);
  if (g.rank() == 0 || !(g.shape() == with_last(ids.shape(), g.size(-1)))) {
    fail("embedding_gradient: g has shape {}, it takes that of ids, {}, and the width", g.shape().to_string(),
         ids.shape().to_string());
  }
  const int64_t count = ids.elements(), width = g.size(-1);
  Tensor result = zeros({vocabulary, width}, g.dtype(), g.device());
  launch(call::IndexAdd{"embedding_gradient", reshape(indices, {count}),
                        reshape(contiguous(g), {1, count, width}), reshape(result, {1, vocabulary, width})});
  return result;
}

Tensor index_select(const Tensor& x, int axis, const Tensor& indices) {
  const int resolved = checked_axis("index_select", x, axis);
  check_rank("index_select", "indices", indices, 1);
  const Tensor dense = dense_indices("index_select", "indices", indices);
  Shape shape = x.shape();
  shape[resolved] = indices.elements();
  Tensor result(shape, x.dtype(), x.device());
  launch(call::IndexSelect{"index_select", as_outer_count_inner(x, resolved), dense,
                           as_outer_count_inner(result, resolved)});
  return result;
}

void index_add_into(const Tensor& target, int axis, const Tensor& indices, const Tensor& source) {
  check_same_dtype("index_add_into", target, source);
  check_floating_or_int32("index_add_into", "target", target);
  check_contiguous("index_add_into", "the target", target);
  const int resolved = checked_axis("index_add_into", target, axis);
  check_rank("index_add_into", "indices", indices, 1);
  Shape shape = target.shape();
  shape[resolved] = indices.elements();
  check_shape("index_add_into", "source", source, shape);
  const Tensor dense = dense_indices("index_add_into", "indices", indices);
  launch(call::IndexAdd{"index_add_into", disjoint(dense, target),
                        as_outer_count_inner(disjoint(source, target), resolved),
                        as_outer_count_inner(target, resolved)});
}

Tensor gather(const Tensor& x, int axis, const Tensor& index) {
  const int resolved = checked_axis("gather", x, axis);
  check_index_shape("gather", x, index);
  const Tensor dense = dense_indices("gather", "index", index);
  Tensor result(index.shape(), x.dtype(), x.device());
  launch(call::Gather{x, resolved, dense, result});
  return result;
}

Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source) {
  check_floating("scatter_add", "x", x);
  return scattered("scatter_add", true, x, axis, index, source);
}

Tensor scatter(const Tensor& x, int axis, const Tensor& index, const Tensor& source) {
  return scattered("scatter", false, x, axis, index, source);
}

}  // namespace haze
