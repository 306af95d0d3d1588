#include <limits>

#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

constexpr int64_t kWidth = 3;

/// A vocabulary so large that a chunk has the fewest rows, 64, and rows for two chunks.
constexpr int64_t kLargeVocabulary = 70001, kRows = 70;

/// The whole logits at once: what projected_loss computes by chunks.
Variable unchunked(const Inputs& in, const RowLoss& row_loss, const Tensor& row_weights) {
  return sum(row_loss(linear(in[0], in[1], in[2]), 0, in[0].size(0)) * row_weights);
}

Inputs leaves_of(const std::vector<Tensor>& tensors) {
  Inputs leaves;
  for (const Tensor& x : tensors) leaves.push_back(x.defined() ? Variable::leaf(x) : Variable());
  return leaves;
}

double largest(const Tensor& x) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, x)).item();
}

void check_close(const Tensor& got, const Tensor& expected, double tolerance) {
  CHECK(largest(subtract(got, expected)) <= tolerance * largest(expected));
}

/// Gradients of f at `at`, and the products of its Hessian with `v`.
std::pair<Gradients, Gradients> derivatives(const DifferentiableFunction& f, const std::vector<Tensor>& at,
                                            const std::vector<Tensor>& v) {
  const Inputs in = leaves_of(at);
  const Gradients first = gradient(f(in), in, {.create_graph = true});
  Variable along = sum(first[0] * v[0]);
  for (size_t i = 1; i < v.size(); ++i) along = along + sum(first[i] * v[i]);
  return {gradient(f(in), in), gradient(along, in)};
}

/// Value, gradients and Hessian-vector products by chunks against whole logits in float64, and gradcheck.
void check_against_whole(const std::string& what, const RowLoss& row_loss, int64_t vocabulary) {
  CAPTURE(what);
  constexpr int64_t kFew = 6;
  const Tensor row_weights = random_between(0, 2, {kFew}, 4);
  const std::vector<Tensor> at{random({kFew, kWidth}), random({vocabulary, kWidth}, 2),
                               random({vocabulary}, 3)};
  const std::vector<Tensor> v{random({kFew, kWidth}, 5), random({vocabulary, kWidth}, 6),
                              random({vocabulary}, 7)};
  const auto by_chunks = [&](const Inputs& in) {
    return projected_loss(in[0], in[1], in[2], row_loss, row_weights).total;
  };
  const auto whole = [&](const Inputs& in) { return unchunked(in, row_loss, row_weights); };
  CHECK(by_chunks(leaves_of(at)).value().item() ==
        doctest::Approx(whole(leaves_of(at)).value().item()).epsilon(1e-13));
  const auto [first, second] = derivatives(by_chunks, at, v);
  const auto [first_whole, second_whole] = derivatives(whole, at, v);
  for (size_t i = 0; i < at.size(); ++i) {
    CAPTURE(i);
    check_close(first[i].value(), first_whole[i].value(), 1e-13);
    check_close(second[i].value(), second_whole[i].value(), 1e-13);
  }
  check_first_and_second(what, by_chunks, at);
}

/// D3PM (Austin et al. 2021, equations 3 and 5): KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) of each row,
/// and 0.1 times the cross-entropy of x_0. Q is the transition of step t, `before` those of steps 1 to t - 1.
/// The posterior of x_0 is proportional to Q[:, x_t] before[x_0, :], and p's is its mean under
/// softmax(logits).
RowLoss hybrid_loss(const Variable& q_step, const Tensor& before, const Tensor& x_t, const Tensor& x_0) {
  return [=](const Variable& logits, int64_t first, int64_t last) {
    const Tensor now = slice(x_t, 0, first, last), target = slice(x_0, 0, first, last);
    const Variable likelihood = transpose(index_select(q_step, 1, now));  // [rows, V]: q(x_t | x_{t-1})
    const auto normalised = [&](const Variable& mass) {
      const Variable joint = likelihood * mass;
      return joint / sum(joint, {1}, true);
    };
    const Variable truth = normalised(index_select(before, 0, target));
    const Variable model = normalised(matmul(softmax(logits), before));
    const Variable kl = sum(truth * (log(truth) - log(model)), {1});
    const Variable nll = -gather(log_softmax(logits), 1, unsqueeze(target, 1));
    return kl + reshape(nll, {last - first}) * 0.1;
  };
}

/// A stochastic matrix without zeros.
Tensor transition(int64_t vocabulary, uint64_t seed) {
  return softmax(random({vocabulary, vocabulary}, seed));
}

/// SEDD's score entropy (Lou et al. 2024, equation 5) of logits that are log s: the sum over tokens y other
/// than x_t of w_y (s_y - r_y log s_y + r_y (log r_y - 1)), with the true ratios r. Every token is a target.
RowLoss score_entropy(const Tensor& ratios, const Tensor& weights) {
  return [=](const Variable& logits, int64_t first, int64_t last) {
    const Tensor r = slice(ratios, 0, first, last), w = slice(weights, 0, first, last);
    const Tensor constant = multiply(r, scale_shift(unary(UnaryOp::log, r), 1, -1));
    return sum((exp(logits) - logits * r + constant) * w, {1});
  };
}

}  // namespace

TEST_CASE("D3PM's hybrid loss by chunks: value, gradients and Hessian products are those of whole logits") {
  for (const int64_t vocabulary : {3, 7}) {
    const Tensor x_t = int32s({0, 1, 2, 2, 0, 1}, {6}), x_0 = int32s({2, 1, 0, 2, 1, 1}, {6});
    check_against_whole("hybrid loss",
                        hybrid_loss(transition(vocabulary, 8), transition(vocabulary, 9), x_t, x_0),
                        vocabulary);
  }
}

TEST_CASE("SEDD's score entropy by chunks: value, gradients and Hessian products are those of whole logits") {
  const Tensor ratios = random_between(0.1, 3, {6, 5}, 8), weights = random_between(0, 1, {6, 5}, 9);
  check_against_whole("score entropy", score_entropy(ratios, weights), 5);
}

TEST_CASE(
    "soft targets: cross-entropy by chunks is that of log_softmax, and one-hot targets give the hard one") {
  const Tensor q = softmax(random({6, 5}, 8));
  check_against_whole(
      "soft targets",
      [&](const Variable& logits, int64_t first, int64_t last) {
        return -sum(log_softmax(logits) * slice(q, 0, first, last), {1});
      },
      5);
  const Tensor hidden = random({6, kWidth}), weight = random({5, kWidth}, 2), bias = random({5}, 3);
  const Tensor row_weights = random_between(0, 2, {6}, 4), targets = int32s({4, 0, 2, 2, 1, 3}, {6});
  const auto soft = [&](const Inputs& in) {
    return soft_cross_entropy(
               in[0], in[1], in[2], [&](int64_t first, int64_t last) { return slice(q, 0, first, last); },
               row_weights)
        .total;
  };
  check_first_and_second("soft_cross_entropy", soft, {hidden, weight, bias});
  check_first_and_second("targets that need a gradient",
                         [&](const Inputs& in) {
                           const Variable p = softmax(in[1]);
                           const auto rows_of_p = [p](int64_t first, int64_t last) {
                             return slice(p, 0, first, last);
                           };
                           return soft_cross_entropy(in[0], weight, bias, rows_of_p).total;
                         },
                         {hidden, random({6, 5}, 8)});

  const Tensor onehot = cast(compare(CompareOp::equal, unsqueeze(targets, 1), arange(5)), Dtype::float64);
  const Inputs a = leaves_of({hidden, weight, bias}), b = leaves_of({hidden, weight, bias});
  const ProjectedLoss by_onehot = soft_cross_entropy(
      a[0], a[1], a[2], [&](int64_t first, int64_t last) { return slice(onehot, 0, first, last); },
      row_weights);
  const CrossEntropy hard = linear_cross_entropy(b[0], b[1], b[2], targets, row_weights);
  check_close(by_onehot.losses, hard.losses, 1e-14);
  backward(by_onehot.total);
  backward(hard.total);
  for (size_t i = 0; i < 3; ++i) check_close(a[i].gradient(), b[i].gradient(), 1e-14);
}

TEST_CASE("soft targets of 0 at words that a bias of -infinity rules out cost nothing and give no NaN") {
  const Tensor bias = float64s({0.5, -std::numeric_limits<double>::infinity(), 0.2});
  const Tensor q = Tensor::from<double>({0.3, 0, 0.7, 0, 0, 1}, {2, 3});
  const Tensor hidden = random({2, kWidth}), weight = random({3, kWidth}, 2);
  const auto loss_of = [&](const Inputs& in, const Tensor& words, const Tensor& targets) {
    return soft_cross_entropy(in[0], index_select(in[1], 0, words), index_select(bias, 0, words),
                              [=](int64_t first, int64_t last) { return slice(targets, 0, first, last); });
  };
  const Inputs a = leaves_of({hidden, weight}), b = leaves_of({hidden, weight});
  const ProjectedLoss all = loss_of(a, arange(3), q);
  const ProjectedLoss possible = loss_of(b, int32s({0, 2}, {2}), index_select(q, 1, int32s({0, 2}, {2})));
  check_close(all.losses, possible.losses, 1e-14);
  backward(all.total);
  backward(possible.total);
  for (size_t i = 0; i < 2; ++i) check_close(a[i].gradient(), b[i].gradient(), 1e-14);
}

TEST_CASE("several chunks give what one does, and each is asked for once, in order") {
  const std::vector<Tensor> at{random({kRows, kWidth}), random({kLargeVocabulary, kWidth}, 2),
                               random({kLargeVocabulary}, 3)};
  const Tensor row_weights = random_between(0, 2, {kRows}, 4);
  Generator generator(5);
  const Tensor words = random_integers({kRows, 2}, generator, 0, kLargeVocabulary);
  std::vector<std::pair<int64_t, int64_t>> asked;
  // Two targets a row, and a scale that row_loss uses without being handed it.
  const Variable scale = Variable::leaf(float64s({1.5}));
  const RowLoss two_targets = [&](const Variable& logits, int64_t first, int64_t last) {
    asked.emplace_back(first, last);
    return -sum(gather(log_softmax(logits * scale), 1, slice(words, 0, first, last)), {1});
  };
  const Inputs a = leaves_of(at), b = leaves_of(at);
  const ProjectedLoss by_chunks = projected_loss(a[0], a[1], a[2], two_targets, row_weights);
  CHECK(asked == std::vector<std::pair<int64_t, int64_t>>{{0, 64}, {64, 70}});
  const Gradients chunked = gradient(by_chunks.total * 2, {a[0], a[1], a[2], scale});
  CHECK(asked.size() == 2);  // the backward pass scales what the forward pass formed
  const Gradients whole = gradient(unchunked(b, two_targets, row_weights) * 2, {b[0], b[1], b[2], scale});
  for (size_t i = 0; i < whole.size(); ++i) check_close(chunked[i].value(), whole[i].value(), 1e-12);
  CHECK(by_chunks.losses.shape() == Shape{kRows});
  CHECK(sum(multiply(by_chunks.losses, row_weights)).item() ==
        doctest::Approx(by_chunks.total.value().item()).epsilon(1e-13));
}

TEST_CASE("what the losses use besides the logits gets its gradient, also where the projection needs none") {
  const Tensor hidden = random({6, kWidth}), weight = random({3, kWidth}, 2), before = transition(3, 9);
  const Tensor x_t = int32s({0, 1, 2, 2, 0, 1}, {6}), x_0 = int32s({2, 1, 0, 2, 1, 1}, {6});
  const auto loss = [&](const Variable& h, const Variable& numbers) {
    const Variable q_step = softmax(numbers);  // no leaf: made before the losses are
    return projected_loss(h, weight, {}, hybrid_loss(q_step, before, x_t, x_0)).total;
  };
  check_first_and_second("both", [&](const Inputs& in) { return loss(in[0], in[1]); },
                         {hidden, random({3, 3}, 8)});
  check_first_and_second("captured only", [&](const Inputs& in) { return loss(hidden, in[0]); },
                         {random({3, 3}, 8)});
  check_first_and_second("the projection's own operands",
                         [&](const Inputs& in) {
                           const RowLoss loss_of = [h = in[0], w = in[1]](const Variable& logits,
                                                                          int64_t first, int64_t last) {
                             const Variable again = matmul(slice(h, 0, first, last), transpose(w));
                             return sum(square(logits) * again, {1});
                           };
                           return projected_loss(in[0], in[1], {}, loss_of).total;
                         },
                         {hidden, weight});
  // A value that needs a gradient may be the loss itself.
  check_first_and_second("returned",
                         [&](const Inputs& in) {
                           const Variable own = square(in[0]);
                           return projected_loss(hidden, weight, {},
                                                 [own](const Variable&, int64_t, int64_t) { return own; })
                               .total;
                         },
                         {random({6}, 8)});
}

TEST_CASE("hooks of what the losses use are called once a pass, with the complete gradient") {
  const Inputs in = leaves_of({random({kRows, 1}), random({kLargeVocabulary, 1}, 2)});
  const Variable scale = Variable::leaf(float64s({1.5}));
  int calls = 0;
  scale.on_gradient([&](const Tensor&) { ++calls; });
  in[1].on_gradient([&](const Tensor&) { ++calls; });
  const Variable total = projected_loss(in[0], in[1], {}, [&](const Variable& logits, int64_t, int64_t) {
                           return reduce(ReduceOp::logsumexp, logits, {1}) * scale;
                         }).total;
  CHECK(calls == 0);
  backward(total);
  CHECK(calls == 2);
}

TEST_CASE("a projected loss inside a checkpoint gives the gradients of one outside") {
  const Tensor ratios = random_between(0.1, 3, {6, 5}, 8), weights = random_between(0, 1, {6, 5}, 9);
  const std::vector<Tensor> at{random({6, kWidth}), random({5, kWidth}, 2), float64s({0.7})};
  const auto loss = [&](const Inputs& in) {
    const RowLoss entropy = score_entropy(ratios, weights);
    return projected_loss(in[0], in[1], {},
                          [&](const Variable& logits, int64_t first, int64_t last) {
                            return entropy(logits * in[2], first, last);
                          })
        .total;
  };
  const Inputs a = leaves_of(at), b = leaves_of(at);
  backward(loss(a));
  // The weight and the scale are used without being handed over.
  backward(checkpoint([&](const Inputs& in, Generator*) { return loss({in[0], b[1], b[2]}); }, {b[0]}));
  for (size_t i = 0; i < at.size(); ++i) {
    CHECK(a[i].gradient().to_vector<double>() == b[i].gradient().to_vector<double>());
  }
  // And a checkpoint inside the losses.
  const Inputs c = leaves_of(at);
  const RowLoss entropy = score_entropy(ratios, weights);
  backward(projected_loss(c[0], c[1], {}, [&](const Variable& logits, int64_t first, int64_t last) {
             return checkpoint(
                 [=](const Inputs& in, Generator*) { return entropy(in[0] * c[2], first, last); }, {logits});
           }).total);
  for (size_t i = 0; i < at.size(); ++i) check_close(c[i].gradient(), a[i].gradient(), 1e-14);
}

TEST_CASE("a projected loss records nothing without gradients, and its backward pass sees changes in place") {
  const Variable hidden = Variable::leaf(random({6, kWidth})),
                 weight = Variable::leaf(random({5, kWidth}, 2));
  const RowLoss largest_logit = [](const Variable& logits, int64_t, int64_t) {
    return reduce(ReduceOp::logsumexp, logits, {1});
  };
  {
    const NoGradient scope;
    CHECK_FALSE(projected_loss(hidden, weight, {}, largest_logit).total.requires_gradient());
  }
  const Variable total = projected_loss(hidden, weight, {}, largest_logit).total;
  fill(weight.value(), 0);
  // The gradient has been formed already; a second derivative would read the weight.
  CHECK(contains(error_of([&] { gradient(total, {hidden}, {.create_graph = true}); }),
                 "projected_loss: its saved input was changed in place by fill"));
  CHECK(largest(gradient(total, {hidden})[0].value()) > 0);
}

TEST_CASE("a precision scope rounds the three products of a projected loss, and nothing else") {
  const auto rounded = [](const Tensor& x) { return cast(cast(x, Dtype::bfloat16), Dtype::float32); };
  const auto numbers = [](const Shape& shape, uint64_t seed) {
    return cast(random(shape, seed), Dtype::float32);
  };
  const Tensor hidden = numbers({6, 16}, 1), weight = numbers({8, 16}, 2);
  const RowLoss squares = [](const Variable& logits, int64_t, int64_t) { return sum(square(logits), {1}); };
  const Inputs in = leaves_of({hidden, weight});
  ProjectedLoss loss;
  {
    const PrecisionScope scope(Precision::bfloat16);
    loss = projected_loss(in[0], in[1], {}, squares);
  }
  backward(loss.total);
  const Tensor logits = matmul(rounded(hidden), transpose(rounded(weight)));
  const Tensor d = scale_shift(logits, 2, 0);
  check_close(loss.losses, sum(multiply(logits, logits), {1}), 1e-6);
  check_close(in[0].gradient(), matmul(rounded(d), rounded(weight)), 1e-6);
  check_close(in[1].gradient(), matmul(transpose(rounded(d)), rounded(hidden)), 1e-6);
}

TEST_CASE("a projected loss says what is wrong") {
  const Tensor hidden = random({6, kWidth}), weight = random({5, kWidth}, 2);
  const auto given = [&](const Variable& losses) {
    return error_of([&] {
      projected_loss(hidden, weight, {}, [&](const Variable&, int64_t, int64_t) { return losses; });
    });
  };
  CHECK(given(zeros({5}, Dtype::float64)) ==
        "projected_loss: row_loss gave float64 [5] for logits of 6 rows; it gives float64 [6]");
  CHECK(contains(given(zeros({6})), "row_loss gave float32 [6]"));
  CHECK(contains(given({}), "row_loss gave nothing"));
  const RowLoss zero = [](const Variable&, int64_t first, int64_t last) {
    return zeros({last - first}, Dtype::float64);
  };
  CHECK(contains(error_of([&] {
                   projected_loss(hidden, random({5, 4}), {}, zero);
                 }),
                 "projected_loss: weight"));
  CHECK(
      contains(error_of([&] { projected_loss(hidden, weight, random({4}), zero); }), "projected_loss: bias"));
  CHECK(contains(error_of([&] { projected_loss(hidden, weight, {}, zero, random({5})); }),
                 "projected_loss: row_weights"));
  CHECK(contains(error_of([&] { projected_loss({}, weight, {}, zero); }), "projected_loss: hidden"));
  CHECK(contains(error_of([&] {
                   soft_cross_entropy(hidden, weight, {}, [](int64_t, int64_t) { return zeros({6, 4}); });
                 }),
                 "soft_cross_entropy: the targets of rows 0 to 5 have shape [6, 4], their logits [6, 5]"));
  CHECK(projected_loss(random({0, kWidth}), weight, {}, zero).total.value().item() == 0);
}
