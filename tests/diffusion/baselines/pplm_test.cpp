#include "haze/diffusion/baselines/pplm.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/baselines/ancestral_sampling.h"

#include "diffusion/baselines/toy_hidden.h"
#include "error_of.h"

namespace haze {
namespace {

using namespace diffusion_test;
using testing::error_of;
using Tokens = std::vector<int32_t>;

constexpr TextEnd kEndAt6{.end_id = kHiddenEnd, .max_length = 6};

Tensor random(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return normal(shape, generator, 0, 1, Dtype::float64);
}

// Two texts of four tokens, the fourth of which is the last row, behind a past that has moved already.
PplmState some_state(const CausalTransformer& network, const HiddenAttribute& attribute) {
  const NoGradient scope;
  const Tensor tokens = Tensor::from<int32_t>({5, 0, 1, 2, 5, 3, 3, 4}, {2, 4});
  TransformerCache cache;
  const Tensor before = network.hidden_after(contiguous(slice(tokens, 1, 0, 3)), cache).value();
  PplmState state;
  state.last = Tensor::from<int32_t>({2, 4}, {2});
  for (PastRows& rows : cache.past(3)) {
    const uint64_t seed = 10 + state.past.size();
    state.past.push_back(
        {Variable(add(rows.keys.value(), scale_shift(random(rows.keys.shape(), seed), 0.2, 0))),
         Variable(clone(rows.values.value()))});
  }
  const Tensor hidden = network.hidden_after(reshape(state.last, {2, 1}), cache).value();
  state.original = cache.past(4);
  state.hidden_sum = sum(reshape(before, {2, 3, before.size(1)}), {1});
  state.log_p = log_softmax(network.logits(Variable(hidden)).value());
  state.controls = attribute.read_controls(TextBatch::of(std::vector<Tokens>{{0}, {1}}));
  return state;
}

using Matrix = std::vector<std::vector<double>>;

Matrix rows_of(const Tensor& x) {
  Matrix result;
  for (int64_t i = 0; i < x.size(0); ++i) result.push_back(slice(x, 0, i, i + 1).to_vector<double>());
  return result;
}

std::vector<PastRows> past_of(const std::vector<Tensor>& tensors) {
  std::vector<PastRows> past;
  for (size_t i = 0; i < tensors.size(); i += 2) past.push_back({tensors[i], tensors[i + 1]});
  return past;
}

// The loss of text `text` in plain numbers. The last row's state is read from `fixed`: in p(a) it is
// constant.
double loss_by_hand(const CausalTransformer& network, const Tensor& w, const PplmState& state,
                    const std::vector<PastRows>& past, const std::vector<PastRows>& fixed, double kl_weight,
                    size_t text) {
  const NoGradient scope;
  const Variable x = index_select(network.token_vectors(), 0, state.last);
  const Matrix logits = rows_of(network.logits(network.hidden_after(x, past)).value());
  const Matrix constant = rows_of(network.hidden_after(x, fixed).value());
  const Matrix vectors = rows_of(network.token_vectors().value()), sums = rows_of(state.hidden_sum);
  const Matrix log_p = rows_of(state.log_p);
  std::vector<double> next(vectors[0].size(), 0);
  double total = 0, divergence = 0;
  for (const double logit : logits[text]) total += std::exp(logit);
  for (size_t v = 0; v < vectors.size(); ++v) {
    const double p = std::exp(logits[text][v]) / total;
    divergence += p * (std::log(p) - log_p[text][v]);
    for (size_t j = 0; j < next.size(); ++j) next[j] += p * vectors[v][j];
  }
  std::vector<double> both = next;  // the other text's row does not matter
  both.insert(both.end(), next.begin(), next.end());
  const Tensor expected = Tensor::from(both, {2, static_cast<int64_t>(next.size())});
  const Matrix after = rows_of(network.hidden_after(Variable(expected), state.original).value());
  const std::vector<double> weights = w.to_vector<double>();
  double c = 0;
  for (size_t j = 0; j < weights.size(); ++j)
    c += weights[j] * (sums[text][j] + constant[text][j] + after[text][j]) / 5;  // of five states
  if (text == 1) c = -c;                                                         // its control is 1
  return std::log1p(std::exp(-c)) + kl_weight * divergence;
}

// One step of the paper's program, with a gradient by central differences.
std::vector<Tensor> step_by_hand(const CausalTransformer& network, const Tensor& w, const PplmState& state,
                                 const std::vector<Tensor>& now, const PplmOptions& options) {
  constexpr double kSmall = 1e-5;
  std::vector<Tensor> result;
  for (const Tensor& rows : now) result.push_back(clone(rows));
  const int64_t length = now[0].size(1);
  for (int64_t text = 0; text < 2; ++text) {
    for (size_t layer = 0; layer < now.size(); layer += 2) {
      std::vector<std::vector<double>> g(2);
      double squares = 0;
      for (size_t part = 0; part < 2; ++part) {
        const Tensor& rows = now[layer + part];
        const int64_t numbers = rows.elements() / 2, in_row = numbers / length;
        for (int64_t i = 0; i < numbers; ++i) {
          double loss[2];
          for (const int side : {0, 1}) {
            std::vector<Tensor> moved = now;
            std::vector<double> values = rows.to_vector<double>();
            values[static_cast<size_t>(text * numbers + i)] += side == 0 ? -kSmall : kSmall;
            moved[layer + part] = Tensor::from(values, rows.shape());
            loss[side] = loss_by_hand(network, w, state, past_of(moved), past_of(now), options.kl_weight,
                                      static_cast<size_t>(text));
          }
          const bool in_window = options.window == 0 || i / in_row >= length - options.window;
          g[part].push_back(in_window ? (loss[1] - loss[0]) / (2 * kSmall) : 0);
          squares += g[part].back() * g[part].back();
        }
      }
      for (size_t part = 0; part < 2; ++part) {
        std::vector<double> values = result[layer + part].to_vector<double>();
        for (size_t i = 0; i < g[part].size(); ++i) {
          values[static_cast<size_t>(text) * g[part].size() + i] -=
              options.step_size * g[part][i] / std::pow(std::sqrt(squares), options.gamma);
        }
        result[layer + part] = Tensor::from(values, now[layer + part].shape());
      }
    }
  }
  return result;
}

std::vector<Tensor> tensors_of(const std::vector<PastRows>& past) {
  std::vector<Tensor> result;
  for (const PastRows& rows : past) {
    result.push_back(rows.keys.value());
    result.push_back(rows.values.value());
  }
  return result;
}

std::vector<Tokens> drawn(const LanguageModel& model, const std::vector<Continuation>& continuations,
                          uint64_t seed = 3) {
  Generator generator(seed);
  return sample_continuations(model, continuations, kEndAt6, {}, generator).texts;
}

// Controls 0 and 1 in turn, with prompts of several lengths.
std::vector<Continuation> controlled(int32_t count) {
  std::vector<Continuation> result;
  for (int32_t i = 0; i < count; ++i)
    result.push_back({.context = {i % 2, 4, kHiddenEnd}, .prompt = Tokens(static_cast<size_t>(i % 3), 2)});
  return result;
}

}  // namespace

TEST_CASE("pplm: steps on keys and values are the paper's, with gradients by central differences (float64)") {
  const nn_test::ThreadScope one(1);
  const auto network = random_network();
  const Tensor w = random({8}, 5);
  const LinearAttribute attribute(w);
  const PplmState state = some_state(*network, attribute);
  for (const PplmOptions& options :
       {PplmOptions{.iterations = 2, .step_size = 0.002, .gamma = 1.5, .kl_weight = 0.3},
        PplmOptions{.iterations = 1, .step_size = 0.2, .gamma = 1, .kl_weight = 0, .window = 2}}) {
    std::vector<Tensor> expected = tensors_of(state.past);
    for (int64_t i = 0; i < options.iterations; ++i)
      expected = step_by_hand(*network, w, state, expected, options);
    const std::vector<Tensor> moved = tensors_of(perturbed_past(*network, attribute, state, options));
    const std::vector<Tensor> before = tensors_of(state.past);
    for (size_t i = 0; i < moved.size(); ++i) {
      const std::vector<double> x = moved[i].to_vector<double>(), y = expected[i].to_vector<double>();
      const std::vector<double> start = before[i].to_vector<double>();
      double largest = 0, change = 0;
      for (size_t j = 0; j < x.size(); ++j) {
        largest = std::max(largest, std::abs(x[j] - y[j]));
        change = std::max(change, std::abs(x[j] - start[j]));
      }
      CHECK(largest < 1e-5 * change);
      CHECK(change > 1e-4);
    }
  }
}

TEST_CASE("pplm: without iterations texts are the language model's own") {
  const auto network = random_network(Dtype::float32);
  const LinearAttribute attribute(cast(random({8}, 5), Dtype::float32));
  const std::vector<Continuation> controls = controlled(60);
  std::vector<Continuation> plain = controls;
  for (Continuation& one : plain) one.context = {kHiddenEnd};
  const std::vector<Tokens> expected = drawn(*network, plain);
  CHECK(drawn(Pplm(*network, attribute, {.iterations = 0, .end_id = kHiddenEnd}), controls) == expected);
  CHECK(drawn(Pplm(*network, attribute, {.step_size = 1, .fusion = 0, .end_id = kHiddenEnd}), controls) ==
        expected);
  CHECK(drawn(Pplm(*network, attribute, {.step_size = 0, .end_id = kHiddenEnd}), controls) == expected);
  CHECK(drawn(Pplm(*network, attribute, {.step_size = 1, .end_id = kHiddenEnd}), controls) != expected);
}

TEST_CASE("pplm: a large weight of the divergence leads back to the language model's own distribution") {
  const auto network = random_network();
  const LinearAttribute attribute(random({8}, 5));
  const PplmState state = some_state(*network, attribute);
  const auto divergence = [&](const std::vector<PastRows>& past) {
    const NoGradient scope;
    const Variable x = index_select(network->token_vectors(), 0, state.last);
    const Tensor log_p = log_softmax(network->logits(network->hidden_after(x, past)).value());
    return sum(multiply(unary(UnaryOp::exp, log_p), subtract(log_p, state.log_p))).item();
  };
  const double before = divergence(state.past);
  REQUIRE(before > 1e-3);
  const auto after = [&](double weight) {
    return divergence(perturbed_past(*network, attribute, state,
                                     {.iterations = 40, .step_size = 0.01, .gamma = 1, .kl_weight = weight}));
  };
  CHECK(after(1000) < 0.1 * before);
  CHECK(after(0) > before);
}

TEST_CASE("pplm: a text depends on the seed and its index alone, whatever the others' controls") {
  const auto network = random_network();
  const LinearAttribute attribute(random({8}, 5));
  const Pplm pplm(*network, attribute, {.step_size = 0.3, .end_id = kHiddenEnd});
  const std::vector<Tokens> all = drawn(pplm, controlled(24));
  for (const int32_t count : {1, 5}) {
    CHECK(drawn(pplm, controlled(count)) ==
          std::vector<Tokens>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
  }
}

TEST_CASE("pplm: after select() a decoder is one that has read the selected texts") {
  const auto network = random_network();
  const LinearAttribute attribute(random({8}, 5));
  const Pplm pplm(*network, attribute, {.step_size = 0.3, .end_id = kHiddenEnd});
  const Tensor first = Tensor::from<int32_t>({0, kHiddenEnd, 1, 1, kHiddenEnd, 2, 1, kHiddenEnd, 3}, {3, 3});
  const Tensor second = Tensor::from<int32_t>({4, 0, 1}, {3, 1}),
               third = Tensor::from<int32_t>({2, 3}, {2, 1});
  const Tensor kept = Tensor::from<int32_t>({2, 0}, {2});
  const auto all = pplm.decoder(), some = pplm.decoder();
  all->read(first);
  all->read(second);
  all->select(kept);
  some->read(index_select(first, 0, kept));
  some->read(index_select(second, 0, kept));
  const std::vector<double> x = all->read(third).to_vector<double>(),
                            y = some->read(third).to_vector<double>();
  for (size_t i = 0; i < x.size(); ++i) CHECK(x[i] == doctest::Approx(y[i]).epsilon(1e-10));
}

// The attribute: the mean of hidden states lies where texts with many tokens 1 have it.
TEST_CASE("pplm: the share of tokens that an attribute stands for rises (99.9 %, one-sided, 300 texts)") {
  const nn_test::ThreadScope one(1);
  const auto network = random_network(Dtype::float32);
  const NoGradient scope;
  const auto state_after = [&](int32_t token) {  // mean state of a text of six such tokens
    const Tokens ids(6, token);
    const Tensor hidden =
        network->hidden_of(Tensor::from(ids, {6}), Sequences::of_lengths(std::vector<int64_t>{6})).value();
    return reduce(ReduceOp::mean, hidden, {0});
  };
  Tensor w = state_after(1);
  for (const int32_t other : {0, 2, 3, 4}) w = subtract(w, scale_shift(state_after(other), 0.25, 0));
  const LinearAttribute attribute(scale_shift(w, 2, 0));
  const auto share = [&](int64_t iterations) {
    const Pplm pplm(*network, attribute, {.iterations = iterations, .step_size = 0.3, .end_id = kHiddenEnd});
    double counted = 0, tokens = 0;
    for (const Tokens& text : drawn(pplm, std::vector<Continuation>(300, {.context = {0, kHiddenEnd}}))) {
      counted += static_cast<double>(std::count(text.begin(), text.end(), 1));
      tokens += static_cast<double>(text.size());
    }
    return std::pair(counted / tokens, tokens);
  };
  const auto [led, led_tokens] = share(3);
  const auto [own, own_tokens] = share(0);
  const double error = std::sqrt(own * (1 - own) / own_tokens + led * (1 - led) / led_tokens);
  CAPTURE(own);
  CAPTURE(led);
  CHECK(led - own > 3.1 * error);
}

TEST_CASE("pplm: options outside their range give a sentence") {
  const auto network = random_network();
  const LinearAttribute attribute(random({8}, 5));
  const auto error = [&](const PplmOptions& options) {
    return error_of([&] { Pplm(*network, attribute, options); });
  };
  CHECK(error({.iterations = -1}) == "pplm: -1 iterations are negative");
  CHECK(error({.step_size = -0.1}) == "pplm: the step size -0.1 is negative");
  CHECK(error({.kl_weight = -1}) == "pplm: the weight -1 of the divergence is negative");
  CHECK(error({.fusion = 1.5}) == "pplm: the share 1.5 of the changed distribution is not in [0, 1]");
  CHECK(error({.window = -1}) == "pplm: a window of -1 rows is negative");
}

}  // namespace haze
