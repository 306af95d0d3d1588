#include "haze/diffusion/baselines/control_pairs.h"

#include <algorithm>

namespace haze {
namespace {

// The first text after `text`, round the batch from a random one, whose control reads otherwise; -1: none.
int64_t other_control(const TextBatch& controls, int64_t text, Generator& generator) {
  const int64_t count = controls.sequences.count;
  const auto first = static_cast<int64_t>(generator.uniform() * static_cast<double>(count));
  const std::span<const int32_t> own = controls.tokens(text);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t other = (first + i) % count;
    const std::span<const int32_t> tokens = controls.tokens(other);
    if (!std::equal(own.begin(), own.end(), tokens.begin(), tokens.end())) return other;
  }
  return -1;
}

}  // namespace

ControlPairs control_pairs(const TextBatch& controls, Generator& generator) {
  ControlPairs pairs;
  std::vector<int64_t> others;
  for (int64_t i = 0; i < controls.sequences.count; ++i)
    others.push_back(other_control(controls, i, generator));
  const auto add = [&](int64_t text, int64_t control, double sign) {
    pairs.text.push_back(text);
    pairs.control.push_back(control);
    pairs.sign.push_back(sign);
    pairs.weight.push_back(others[static_cast<size_t>(text)] < 0 ? 1 : 0.5);
  };
  for (int64_t i = 0; i < std::ssize(others); ++i) add(i, i, 1);
  for (int64_t i = 0; i < std::ssize(others); ++i) {
    if (others[static_cast<size_t>(i)] >= 0) add(i, others[static_cast<size_t>(i)], -1);
  }
  return pairs;
}

Tensor log_sigmoid(const Tensor& c) {
  return scale_shift(unary(UnaryOp::softplus, scale_shift(c, -1, 0)), -1, 0);
}

Loss binary_loss(const Variable& logits, const Tensor& signs, const Tensor& weights) {
  const Tensor sign = cast(to(signs, logits.device()), logits.dtype());
  const Tensor weight = cast(to(weights, logits.device()), logits.dtype());
  const Variable margin = logits * Variable(sign);
  const Variable total = sum(unary(UnaryOp::softplus, margin * -1) * Variable(weight));
  const Tensor right = compare(CompareOp::greater, margin.value(), zeros_like(margin.value()));
  return {.total = total,
          .log = {{"cross_entropy", total.value()},
                  {"accuracy", sum(multiply(cast(right, weight.dtype()), weight))}},
          .inputs = {{"signs", signs}, {"weights", weights}}};
}

void check_same_texts(std::string_view classifier, const DataFacts& learned, const DataFacts& facts) {
  if (learned.vocabulary != facts.vocabulary || learned.end_id != facts.end_id) {
    fail(
        "{}: it has learned from texts of {} tokens, and these have {}; both must be trained on the same "
        "data",
        classifier, learned.vocabulary, facts.vocabulary);
  }
  if (learned.max_length < facts.max_length || learned.max_source_length < facts.max_source_length) {
    fail("{}: it reads texts of up to {} and controls of up to {} tokens, and these have up to {} and {}",
         classifier, learned.max_length, learned.max_source_length, facts.max_length,
         facts.max_source_length);
  }
}

}  // namespace haze
