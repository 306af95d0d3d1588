#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

constexpr int64_t kElements = 1 << 14;
constexpr size_t kBlock = kElements * sizeof(float);  // a power of two: the allocator rounds nothing up

Variable sines(Variable x, int count) {
  for (int i = 0; i < count; ++i) x = unary(UnaryOp::sin, x);
  return x;
}

/// The peak while `f` runs, in blocks of kBlock over what was in use before; scalars count as nothing.
template <typename F>
size_t peak_blocks(F&& f) {
  const size_t before = memory_statistics().in_use;
  reset_peak_memory();
  f();
  return (memory_statistics().peak - before) / kBlock;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.to_vector<float>() == b.to_vector<float>();
}

}  // namespace

TEST_CASE("a backward pass frees saved values and gradients as it goes") {
  constexpr size_t kDepth = 40;
  const Variable x = Variable::leaf(full({kElements}, 0.5));
  const size_t before = memory_statistics().in_use;
  Variable root = sum(sines(x, kDepth));
  const size_t saved = (memory_statistics().in_use - before) / kBlock;
  CHECK(saved == kDepth - 1);  // the input of every sine; the first one's is x itself
  // At any time: the saved values of the sines not yet passed, the gradient of the one under way, its cosine
  // and its product. Keeping every gradient, or what was saved, would take kDepth blocks more.
  CHECK(peak_blocks([&] { backward(root); }) <= 3);
  CHECK((memory_statistics().in_use - before) / kBlock == 1);  // the gradient of x
  root = Variable();
  CHECK((memory_statistics().in_use - before) / kBlock == 1);
}

TEST_CASE("a backward pass lets go of what was saved for a value that is still held") {
  const Variable x = Variable::leaf(full({kElements}, 0.5));
  const size_t before = memory_statistics().in_use;
  const Variable y = square(x * 1.5);  // saves x * 1.5
  CHECK((memory_statistics().in_use - before) / kBlock == 2);
  backward(sum(y));
  CHECK((memory_statistics().in_use - before) / kBlock == 2);  // y and the gradient of x
}

TEST_CASE("a retained tape keeps what was saved, and lets go of it with the last value") {
  constexpr size_t kDepth = 10;
  const Variable x = Variable::leaf(full({kElements}, 0.5));
  const size_t before = memory_statistics().in_use;
  {
    const Variable root = sum(sines(x, kDepth));
    backward(root, {}, {.retain_graph = true});
    CHECK((memory_statistics().in_use - before) / kBlock == kDepth);
  }
  CHECK((memory_statistics().in_use - before) / kBlock == 1);
}

TEST_CASE("an operation saves only what its rule reads") {
  const Variable x = Variable::leaf(full({kElements}, 0.5));
  const Tensor weight = full({kElements}, 2);
  const auto saved_by = [&](const std::function<Variable(const Variable&)>& f) {
    const size_t before = memory_statistics().in_use;
    const Variable root = sum(f(x * 1.5));
    return (memory_statistics().in_use - before) / kBlock;
  };
  CHECK(saved_by([](const Variable& y) { return y + y; }) == 0);
  CHECK(saved_by([&](const Variable& y) { return y * weight; }) == 0);
  CHECK(saved_by([&](const Variable& y) { return y / weight; }) == 0);
  CHECK(saved_by([](const Variable& y) { return y * y; }) == 1);    // y
  CHECK(saved_by([](const Variable& y) { return tanh(y); }) == 1);  // the result
  CHECK(saved_by([](const Variable& y) { return gelu(y); }) == 1);  // y
  CHECK(saved_by([](const Variable& y) {
          Generator generator(1);
          return dropout(y, 0.1, generator);
        }) == 0);  // the position in the stream
}

TEST_CASE("fused layers save their input, where a weight's rule reads it, and what they activate") {
  const Variable x = Variable::leaf(full({128, 128}, 0.5));  // kElements
  const Tensor weight = full({128, 128}, 0.01), scale = ones({128});
  const Variable leaf = Variable::leaf(weight);
  const auto saved_by = [&](const std::function<Variable(const Variable&)>& f) {
    const size_t before = memory_statistics().in_use;
    const Variable root = sum(f(x * 1.5));
    return (memory_statistics().in_use - before) / kBlock;
  };
  for (const Activation activation : {Activation::relu, Activation::gelu, Activation::silu}) {
    const auto layer = [&](const Variable& w) {
      return saved_by([&](const Variable& y) { return linear(y, w, {}, activation); });
    };
    const auto two_layers = [&](const Variable& w) {
      return saved_by([&](const Variable& y) { return mlp(y, w, {}, w, {}, activation); });
    };
    CHECK(layer(weight) == 1);
    CHECK(layer(leaf) == 2);
    CHECK(two_layers(weight) == 1);
    CHECK(two_layers(leaf) == 2);
  }
  // The mean and deviation of each row are far smaller than a block.
  CHECK(saved_by([&](const Variable& y) { return layer_norm(y, scale, {}, 1e-5); }) == 1);
  CHECK(saved_by([&](const Variable& y) { return rms_norm(y, scale, 1e-5); }) == 1);
}

TEST_CASE("nothing is saved where no gradient is needed") {
  const Variable x = Variable::leaf(full({kElements}, 0.5));
  const NoGradient scope;
  CHECK(peak_blocks([&] { sum(sines(x, 20)); }) <= 2);
}

TEST_CASE("cross-entropy forms gradients in the forward pass only where one is needed") {
  const Tensor hidden = full({4, 16}, 0.1), targets = int32s({0, 1, 2, 3}, {4});
  const Variable weight = Variable::leaf(full({kElements / 16, 16}, 0.1));
  const auto peak = [&](const Variable& w) {
    return peak_blocks([&] { linear_cross_entropy(hidden, w, {}, targets, {}); });
  };
  peak(weight);  // what the product keeps between calls has been allocated from here on
  CHECK(peak(weight) > peak(weight.detach()));
  const NoGradient scope;
  CHECK(peak(weight) == peak(weight.detach()));
}

TEST_CASE(
    "a projected loss of 384 rows and 70,001 words holds less than a quarter of what whole logits take") {
  constexpr int64_t kRows = 384, kVocabulary = 70001;
  constexpr size_t kLogits = kRows * kVocabulary * sizeof(float) / kBlock;
  const Variable hidden = Variable::leaf(full({kRows, 2}, 0.1));
  const Variable weight = Variable::leaf(full({kVocabulary, 2}, 0.1));
  const Tensor q = expand(full({1}, 1.0 / kVocabulary), {kRows, kVocabulary});
  const RowLoss entropy = [&](const Variable& logits, int64_t first, int64_t last) {
    return -sum(log_softmax(logits) * slice(q, 0, first, last), {1});
  };
  const size_t chunked = peak_blocks([&] { backward(projected_loss(hidden, weight, {}, entropy).total); });
  const size_t whole = peak_blocks([&] { backward(sum(entropy(linear(hidden, weight), 0, kRows))); });
  CHECK(whole > 2 * kLogits);
  CHECK(chunked < kLogits);
  CHECK(chunked < whole / 4);
}

TEST_CASE("a checkpoint gives the same gradient bits at a lower peak") {
  constexpr int kSegments = 8, kLength = 8;
  Generator generator(3);
  const Tensor start = normal({kElements}, generator);
  const Variable x = Variable::leaf(start), y = Variable::leaf(start);
  const size_t plain = peak_blocks([&] { backward(sum(sines(x, kSegments * kLength))); });
  const size_t checkpointed = peak_blocks([&] {
    Variable value = y;
    for (int i = 0; i < kSegments; ++i) {
      value = checkpoint([](const Inputs& in, Generator*) { return sines(in[0], kLength); }, {value});
    }
    backward(sum(value));
  });
  CHECK(same_bits(x.gradient(), y.gradient()));
  CHECK(plain >= kSegments * kLength - 1);
  // The inputs of the segments, the values of one segment, and a few gradients under way.
  CHECK(checkpointed <= kSegments + kLength + 4);
}

TEST_CASE("a checkpoint with dropout and parameters gives the same bits and leaves the generator alike") {
  const Tensor start = cast(random({6, 16}), Dtype::float32);
  const auto run = [&](bool checkpointed) {
    const Variable x = Variable::leaf(start);
    std::vector<Variable> weights;
    for (uint64_t i = 0; i < 3; ++i)
      weights.push_back(Variable::leaf(cast(random({16, 16}, i), Dtype::float32)));
    Generator generator(11);
    Variable value = x;
    for (const Variable& weight : weights) {
      const auto layer = [weight](const Inputs& in, Generator* draws) {
        return dropout(linear(in[0], weight, {}, Activation::gelu), 0.3, *draws) + in[0];
      };
      value = checkpointed ? checkpoint(layer, {value}, &generator) : layer({value}, &generator);
    }
    backward(sum(square(value)));
    std::vector<Tensor> results{value.value(), x.gradient()};
    for (const Variable& weight : weights) results.push_back(weight.gradient());
    return std::pair{results, generator.state()};
  };
  const auto [plain, plain_state] = run(false);
  const auto [again, again_state] = run(true);
  for (size_t i = 0; i < plain.size(); ++i) CHECK(same_bits(plain[i], again[i]));
  CHECK(plain_state == again_state);
}

TEST_CASE("a tape of 200,000 operations is destroyed and walked back without overflowing the stack") {
  constexpr int kLength = 200000;
  const Variable x = Variable::leaf(ones({1}));
  const auto chain = [&] {
    Variable y = x;
    for (int i = 0; i < kLength; ++i) y = y + 1;
    return y;
  };
  chain();
  backward(chain());
  CHECK(x.gradient().item() == 1);
}
