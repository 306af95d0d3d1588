#include <limits>

#include "haze/autograd/checkpoint.h"
#include "haze/autograd/rules.h"
#include "haze/engine/checks.h"
#include "haze/engine/ops/cross_entropy.h"

// Losses of rows of logits, a few rows at a time: each chunk's part of the tape is gone before the next one's
// logits are formed.
namespace haze {
namespace {

constexpr const char* kName = "projected_loss";

void check_losses(const Variable& losses, int64_t rows, Dtype dtype) {
  if (losses.defined() && losses.shape() == Shape{rows} && losses.dtype() == dtype) return;
  const std::string got = losses.defined()
                              ? fmt::format("{} {}", name(losses.dtype()), losses.shape().to_string())
                              : std::string("nothing");
  fail("{}: row_loss gave {} for logits of {} rows; it gives {} [{}]", kName, got, rows, name(dtype), rows);
}

/// The losses, and the gradients of sum_i row_weights_i losses_i where they are needed, added up over chunks.
class Chunks {
 public:
  Chunks(const Variable& hidden, const Variable& weight, const Variable& bias, const RowLoss& row_loss,
         const Tensor& row_weights)
      : losses(row_weights.shape(), hidden.dtype(), hidden.device()),
        hidden_(hidden),
        weight_(weight),
        bias_(bias),
        row_loss_(row_loss),
        row_weights_(row_weights),
        projection_needs_(any_needs_gradient({&hidden, &weight, &bias})) {
    for (const Variable& x : {hidden, weight, bias}) {
      gradients.push_back(projection_needs_ && x.requires_gradient() ? zeros_like(x.value()) : Tensor());
    }
  }

  void add(int64_t first, int64_t last) {
    const Tensor rows = slice(hidden_.value(), 0, first, last);
    const Tensor product =
        matmul(rows, transpose(weight_.value()), {.bias = bias_.value(), .precision = current_precision()});
    const TapePart part;  // begins here: the logits are no value that row_loss uses from before
    const Variable logits = projection_needs_ ? Variable::leaf(product) : Variable(product);
    const Variable of_chunk = part.run([&] { return row_loss_(logits, first, last); }, used);
    check_losses(of_chunk, last - first, hidden_.dtype());
    copy_into(slice(losses, 0, first, last), of_chunk.value());
    if (!of_chunk.requires_gradient()) return;
    std::vector<Variable> values = used;
    values.push_back(logits);
    Gradients of_values = part.gradients(of_chunk, slice(row_weights_, 0, first, last), values,
                                         std::vector<bool>(values.size(), true));
    const Variable of_logits = std::move(of_values.back());
    of_values.pop_back();
    add_to_used(of_values);
    if (of_logits.defined()) add_to_projection(of_logits.value(), rows, first);
  }

  Tensor losses;
  std::vector<Variable> used;     // by row_loss, besides the logits
  std::vector<Tensor> gradients;  // of hidden, weight and bias, then of `used`

 private:
  // hidden gets d W, W gets d^T hidden, b the sum of the rows of d
  void add_to_projection(const Tensor& d, const Tensor& rows, int64_t first) {
    const Precision precision = current_precision();
    if (gradients[0].defined()) {
      matmul_into(slice(gradients[0], 0, first, first + rows.size(0)), d, weight_.value(), precision);
    }
    if (gradients[1].defined()) matmul_into(gradients[1], transpose(d), rows, precision);
    if (gradients[2].defined()) add_into(gradients[2], sum(d, {0}));
  }

  void add_to_used(const Gradients& of_chunk) {
    gradients.resize(3 + used.size());
    for (size_t i = 0; i < of_chunk.size(); ++i) {
      if (!of_chunk[i].defined()) continue;
      Tensor& total = gradients[3 + i];
      if (total.defined()) {
        add_into(total, of_chunk[i].value());
      } else {
        total = clone(of_chunk[i].value());
      }
    }
  }

  const Variable &hidden_, &weight_, &bias_;
  const RowLoss& row_loss_;
  const Tensor row_weights_;
  const bool projection_needs_;
};

/// The gradients of the total are formed in the forward pass, where the logits are at hand: a backward pass
/// scales them, or, where it is itself recorded, computes the losses again from whole logits.
struct ProjectedLossRule {
  std::vector<Tensor> formed;
  CheckpointRule again;

  Gradients operator()(const Variable& g) const {
    if (gradients_enabled()) return again(g);
    Gradients gradients(formed.size());
    for (size_t i = 0; i < formed.size(); ++i) {
      if (needed(i) && formed[i].defined()) gradients[i] = multiply(g.value(), formed[i]);
    }
    return gradients;
  }
};

void check_operands(const Variable& hidden, const Variable& weight, const Variable& bias,
                    const Tensor& row_weights) {
  const Tensor &h = hidden.value(), &w = weight.value();
  check_real(kName, "hidden", h);
  check_rank(kName, "hidden", h, 2);
  check_same_dtype(kName, h, w);
  check_rank(kName, "weight", w, 2);
  check_shape(kName, "weight", w, {w.size(0), h.size(1)});
  if (bias.defined()) {
    check_same_dtype(kName, h, bias.value());
    check_shape(kName, "bias", bias.value(), {w.size(0)});
  }
  check_same_dtype(kName, h, row_weights);
  check_shape(kName, "row_weights", row_weights, {h.size(0)});
}

}  // namespace

ProjectedLoss projected_loss(const Variable& hidden, const Variable& weight, const Variable& bias,
                             const RowLoss& row_loss, const Tensor& row_weights) {
  const Tensor weights = row_weights.defined() || !hidden.defined()
                             ? row_weights
                             : ones({hidden.size(0)}, hidden.dtype(), hidden.device());
  check_operands(hidden, weight, bias, weights);
  const int64_t rows = hidden.size(0), chunk = rows_of_logits(rows, weight.size(0));
  Chunks chunks(hidden, weight, bias, row_loss, weights);
  for (int64_t first = 0; first < rows; first += chunk) chunks.add(first, std::min(rows, first + chunk));

  const auto total_of_all = [row_loss, weights = Saved("row_weights", weights), rows](
                                const std::vector<Variable>& in, Generator*) {
    return sum(row_loss(linear(in[0], in[1], in[2]), 0, rows) * weights.value());
  };
  std::vector<Variable> inputs{hidden, weight, bias};
  CheckpointRule again(total_of_all, inputs, chunks.used);
  inputs.insert(inputs.end(), chunks.used.begin(), chunks.used.end());
  Variable total = Tape::record(kName, sum(multiply(weights, chunks.losses)), inputs,
                                ProjectedLossRule{std::move(chunks.gradients), std::move(again)});
  return {std::move(total), std::move(chunks.losses)};
}

ProjectedLoss soft_cross_entropy(const Variable& hidden, const Variable& weight, const Variable& bias,
                                 const RowTargets& targets, const Tensor& row_weights) {
  const auto row_loss = [targets](const Variable& logits, int64_t first, int64_t last) {
    const Variable q = targets(first, last), log_p = log_softmax(logits);
    if (!q.defined() || !(q.shape() == logits.shape())) {
      fail("soft_cross_entropy: the targets of rows {} to {} have shape {}, their logits {}", first, last - 1,
           q.defined() ? q.shape().to_string() : "none", logits.shape().to_string());
    }
    const auto number = [&](double value) { return full({}, value, logits.dtype(), logits.device()); };
    const Tensor ruled_out = logical_and(
        compare(CompareOp::equal, q.value(), number(0)),
        compare(CompareOp::equal, log_p.value(), number(-std::numeric_limits<double>::infinity())));
    return -sum(q * where(ruled_out, number(0), log_p), {1});
  };
  return projected_loss(hidden, weight, bias, row_loss, row_weights);
}

}  // namespace haze
