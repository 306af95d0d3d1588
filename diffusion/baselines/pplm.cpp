#include "haze/diffusion/baselines/pplm.h"

#include <algorithm>

#include "haze/diffusion/baselines/control_pairs.h"
#include "haze/diffusion/baselines/fudge.h"

namespace haze {
namespace {

// The next token's log-probabilities and what is minimised, of the past plus its change.
Variable loss_of(const CausalTransformer& network, const HiddenAttribute& attribute, const PplmState& state,
                 const std::vector<PastRows>& past, double kl_weight) {
  const Variable hidden = network.hidden_after(index_select(network.token_vectors(), 0, state.last), past);
  const Variable log_p = log_softmax(network.logits(hidden));
  const Variable p = exp(log_p);
  // The token that is expected next, as one vector, behind the rows as they were.
  const Variable next = network.hidden_after(matmul(p, network.token_vectors()), state.original);
  const auto rows = static_cast<double>(past.front().keys.size(1) + 2);
  const Variable mean = (Variable(state.hidden_sum) + hidden.detach() + next) * (1 / rows);
  const Variable c = attribute.logits(mean, Variable(state.controls));
  const Variable loss = sum(unary(UnaryOp::softplus, c * -1));
  return kl_weight > 0 ? loss + sum(p * (log_p - Variable(state.log_p))) * kl_weight : loss;
}

// 1 for the last `window` rows, [rows, 1, 1].
Tensor window_mask(const Tensor& rows, int64_t window) {
  const int64_t length = rows.size(1);
  std::vector<double> mask(static_cast<size_t>(length), 1);
  if (window > 0) std::fill_n(mask.begin(), std::max<int64_t>(length - window, 0), 0.0);
  return to(cast(Tensor::from(mask, {length, 1, 1}), rows.dtype()), rows.device());
}

// A step of one layer, keys and values together.
void descend(Tensor& keys, Tensor& values, const Tensor& key_gradient, const Tensor& value_gradient,
             const PplmOptions& options) {
  constexpr double kSmallest = 1e-15;  // of the paper's program, so that a norm of 0 divides nothing
  const Tensor mask = window_mask(keys, options.window);
  const Tensor masked_keys = multiply(key_gradient, mask), masked_values = multiply(value_gradient, mask);
  const auto squares = [](const Tensor& g) { return sum(unary(UnaryOp::square, g), {1, 2, 3}, true); };
  const Tensor norm = unary(UnaryOp::sqrt, add(squares(masked_keys), squares(masked_values)));
  const Tensor divisor = unary(UnaryOp::power, scale_shift(norm, 1, kSmallest), options.gamma);
  const auto step = [&](const Tensor& g) { return scale_shift(divide(g, divisor), options.step_size, 0); };
  keys = subtract(keys, step(masked_keys));
  values = subtract(values, step(masked_values));
}

}  // namespace

std::vector<PastRows> perturbed_past(const CausalTransformer& network, const HiddenAttribute& attribute,
                                     const PplmState& state, const PplmOptions& options) {
  std::vector<Tensor> changed;  // keys and values of each layer in turn
  for (const PastRows& rows : state.past) {
    changed.push_back(rows.keys.value());
    changed.push_back(rows.values.value());
  }
  for (int64_t i = 0; i < options.iterations; ++i) {
    const EnableGradient scope;
    std::vector<Variable> leaves;
    for (const Tensor& rows : changed) leaves.push_back(Variable::leaf(rows));
    std::vector<PastRows> past;
    for (size_t j = 0; j < leaves.size(); j += 2) past.push_back({leaves[j], leaves[j + 1]});
    const Variable loss = loss_of(network, attribute, state, past, options.kl_weight);
    const Gradients gradients = gradient(loss, leaves);
    for (size_t j = 0; j < changed.size(); j += 2)
      descend(changed[j], changed[j + 1], gradients[j].value(), gradients[j + 1].value(), options);
  }
  std::vector<PastRows> result;
  for (size_t j = 0; j < changed.size(); j += 2)
    result.push_back({Variable(changed[j]), Variable(changed[j + 1])});
  return result;
}

namespace {

class PplmDecoder : public Decoder {
 public:
  PplmDecoder(const CausalTransformer& network, const HiddenAttribute& attribute, const PplmOptions& options)
      : network_(network), attribute_(attribute), options_(options) {}

  Tensor read(const Tensor& tokens) override {
    const NoGradient scope;
    return original_.length() == 0 ? read_first(tokens) : read_next(tokens);
  }

  void select(const Tensor& entries) override {
    const std::vector<int32_t> kept = entries.to_vector<int32_t>();
    original_.select(kept);
    changed_.select(kept);
    for (Tensor* rows : {&controls_, &hidden_sum_})
      *rows = index_select(*rows, 0, to(entries, rows->device()));
  }

 private:
  Tensor read_first(const Tensor& tokens) {
    const int64_t control = control_length(tokens, options_.end_id);
    std::vector<std::vector<int32_t>> controls;
    for (int64_t i = 0; i < tokens.size(0); ++i)
      controls.push_back(slice(slice(tokens, 0, i, i + 1), 1, 0, control).to_vector<int32_t>());
    controls_ = attribute_.read_controls(TextBatch::of(controls));
    const Tensor before = slice(tokens, 1, control, tokens.size(1) - 1);
    hidden_sum_ = zeros({tokens.size(0), network_.hidden_width()}, controls_.dtype(), controls_.device());
    if (before.size(1) > 0) {
      const Tensor hidden = network_.hidden_after(contiguous(before), original_).value();
      hidden_sum_ = sum(reshape(hidden, {before.size(0), before.size(1), hidden.size(1)}), {1});
      changed_ = TransformerCache::of(original_.past(original_.length()));
    }
    return read_next(slice(tokens, 1, tokens.size(1) - 1, tokens.size(1)));
  }

  // The distribution after one more token of each text.
  Tensor read_next(const Tensor& token) {
    const Tensor last = contiguous(token);
    const Tensor hidden = network_.hidden_after(last, original_).value();
    const Tensor logits = network_.logits(Variable(hidden)).value();
    if (options_.iterations == 0) return logits;
    Tensor result = logits;
    if (changed_.length() > 0) {
      result = fused(last, log_softmax(logits));
    } else {
      changed_ = TransformerCache::of(original_.past(original_.length()));
    }
    hidden_sum_ = add(hidden_sum_, hidden);
    return result;
  }

  // log(p'^s p^(1 - s)) up to a constant a row, after the gradient steps.
  Tensor fused(const Tensor& last, const Tensor& log_p) {
    const PplmState state{.past = changed_.past(changed_.length()),
                          .original = original_.past(original_.length()),
                          .last = to(reshape(last, {last.size(0)}), network_.device()),
                          .hidden_sum = hidden_sum_,
                          .log_p = log_p,
                          .controls = controls_};
    changed_ = TransformerCache::of(perturbed_past(network_, attribute_, state, options_));
    const Tensor changed = log_softmax(network_.logits(network_.hidden_after(last, changed_)).value());
    return add(scale_shift(changed, options_.fusion, 0), scale_shift(log_p, 1 - options_.fusion, 0));
  }

  const CausalTransformer& network_;
  const HiddenAttribute& attribute_;
  PplmOptions options_;
  TransformerCache original_, changed_;
  Tensor controls_, hidden_sum_;
};

}  // namespace

Pplm::Pplm(const CausalTransformer& network, const HiddenAttribute& attribute, const PplmOptions& options)
    : network_(network), attribute_(attribute), options_(options) {
  if (options.iterations < 0) fail("pplm: {} iterations are negative", options.iterations);
  if (!(options.step_size >= 0)) fail("pplm: the step size {} is negative", options.step_size);
  if (!(options.kl_weight >= 0)) fail("pplm: the weight {} of the divergence is negative", options.kl_weight);
  if (!(options.fusion >= 0 && options.fusion <= 1))
    fail("pplm: the share {} of the changed distribution is not in [0, 1]", options.fusion);
  if (options.window < 0) fail("pplm: a window of {} rows is negative", options.window);
}

std::unique_ptr<Decoder> Pplm::decoder() const {
  return std::make_unique<PplmDecoder>(network_, attribute_, options_);
}

}  // namespace haze
