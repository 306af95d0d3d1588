#include "haze/diffusion/classifier_measures.h"

#include "haze/autograd/ops.h"

namespace haze {

Tensor accuracy(const Tensor& logits, const Tensor& targets) {
  const Tensor right = compare(CompareOp::equal, argmax(logits, 1), targets);
  return reduce(ReduceOp::mean, cast(right, Dtype::float32));
}

Tensor accuracy_of_marked(const Tensor& logits, const Tensor& targets) {
  const Tensor counts = cast(compare(CompareOp::not_equal, targets, zeros_like(targets)), Dtype::float32);
  const Tensor right = cast(compare(CompareOp::equal, argmax(logits, 1), targets), Dtype::float32);
  const Tensor all = reduce(ReduceOp::sum, counts);
  return divide(reduce(ReduceOp::sum, multiply(right, counts)),
                binary(BinaryOp::maximum, all, ones_like(all)));
}

Variable sequence_means(const Variable& rows, const Sequences& sequences) {
  std::vector<double> shares;
  for (const int64_t length : sequences.lengths)
    shares.insert(shares.end(), static_cast<size_t>(length), 1.0 / static_cast<double>(length));
  const Tensor share = Tensor::from(shares, {sequences.rows, 1});
  const Variable weighted = rows * Variable(cast(to(share, rows.device()), rows.dtype()));
  return index_scatter(weighted, 0, to(sequences.index, rows.device()), {sequences.count, rows.size(1)});
}

}  // namespace haze
