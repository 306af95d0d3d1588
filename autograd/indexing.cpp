#include "haze/autograd/rules.h"

// Indexing comes in pairs: reading at indices, and adding at indices, are each other's gradient.
namespace haze {
namespace {

/// Rows of x [..., width] summed into [vocabulary, width] at ids: the adjoint of embedding.
Variable embedding_adjoint(const Variable& x, const Tensor& ids, int64_t vocabulary) {
  // linear in x
  return Tape::record(
      "embedding_gradient", embedding_gradient(x.value(), ids, vocabulary), {x},
      [ids = Saved("ids", ids)](const Variable& g) { return Gradients{embedding(g, ids.value())}; });
}

/// uint8, shape of index: 1 where an element of scatter()'s source stays, 0 where a later one overwrites it.
Tensor last_writers(int axis, const Tensor& index, const Shape& shape) {
  const Tensor numbers = reshape(arange(index.elements(), Dtype::int32, index.device()), index.shape());
  const Tensor written = scatter(zeros(shape, Dtype::int32, index.device()), axis, index, numbers);
  return compare(CompareOp::equal, gather(written, axis, index), numbers);
}

}  // namespace

Variable embedding(const Variable& weight, const Tensor& ids) {
  Tensor value = embedding(weight.value(), ids);
  // y_i = W_(id_i): row v of W gets the sum of g_i over the i with id_i = v
  return Tape::record("embedding", std::move(value), {weight},
                      [ids = Saved("ids", ids), vocabulary = weight.size(0)](const Variable& g) {
                        return Gradients{embedding_adjoint(g, ids.value(), vocabulary)};
                      });
}

Variable index_select(const Variable& x, int axis, const Tensor& indices) {
  // y_i = x_(j_i): x_j gets the sum of g_i over the i with j_i = j
  return Tape::record("index_select", index_select(x.value(), axis, indices), {x},
                      [axis, indices = Saved("indices", indices), shape = x.shape()](const Variable& g) {
                        return Gradients{index_scatter(g, axis, indices.value(), shape)};
                      });
}

Variable index_scatter(const Variable& source, int axis, const Tensor& indices, const Shape& shape) {
  Tensor value = zeros(shape, source.dtype(), source.device());
  index_add_into(value, axis, indices, source.value());
  // y_(j_i) += s_i: s_i gets g_(j_i)
  return Tape::record("index_scatter", std::move(value), {source},
                      [axis, indices = Saved("indices", indices)](const Variable& g) {
                        return Gradients{index_select(g, axis, indices.value())};
                      });
}

Variable gather(const Variable& x, int axis, const Tensor& index) {
  // y_ij = x_(i, k_ij): the gradient of y_ij goes back to where it was read
  return Tape::record(
      "gather", gather(x.value(), axis, index), {x},
      [axis, index = Saved("index", index), shape = x.shape()](const Variable& g) {
        return Gradients{scatter_add(zeros(shape, g.dtype(), g.device()), axis, index.value(), g)};
      });
}

Variable scatter_add(const Variable& x, int axis, const Tensor& index, const Variable& source) {
  // y = x, y_(i, k_ij) += s_ij: x gets g, s_ij gets g_(i, k_ij)
  return Tape::record(
      "scatter_add", scatter_add(x.value(), axis, index, source.value()), {x, source},
      [axis, index = Saved("index", index)](const Variable& g) {
        return Gradients{needed(0) ? g : Variable(), needed(1) ? gather(g, axis, index.value()) : Variable()};
      });
}

Variable scatter(const Variable& x, int axis, const Tensor& index, const Variable& source) {
  // y = x, y_(i, k_ij) = s_ij: x gets g where nothing was written, s_ij gets g_(i, k_ij) where it stayed
  return Tape::record("scatter", scatter(x.value(), axis, index, source.value()), {x, source},
                      [axis, index = Saved("index", index), shape = x.shape()](const Variable& g) {
                        const Tensor& at = index.value();
                        Gradients gradients(2);
                        if (needed(0))
                          gradients[0] = scatter(g, axis, at, zeros(at.shape(), g.dtype(), g.device()));
                        if (needed(1))
                          gradients[1] = masked(last_writers(axis, at, shape), gather(g, axis, at));
                        return gradients;
                      });
}

}  // namespace haze
