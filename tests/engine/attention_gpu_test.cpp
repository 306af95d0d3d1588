#include <cmath>
#include <functional>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"
#include "haze/engine/simt/launch.h"

#include "engine/ladder/rungs.h"
#include "engine/thread_bits.h"
#include "error_of.h"

// Kernels of attention on a GPU: what they refuse, and where a softmax has no value. The operation
// table has their numbers.
using namespace haze;
using haze::testing::error_of;

namespace {

Tensor numbers(const std::vector<int32_t>& values, Device device) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}, device);
}

// The sentence with which attention, or its gradient, refuses `options` for six queries and keys.
std::string refusal(Device device, bool gradient,
                    const std::function<void(AttentionOptions&, Device)>& change) {
  AttentionOptions options;
  change(options, device);
  const Tensor x = ones({1, 6, 2, 4}, Dtype::float32, device);
  return error_of([&] {
    if (gradient) {
      attention_gradient(x, x, x, x, attention(x, x, x, {}), options);
    } else {
      attention(x, x, x, options);
    }
    synchronize(device);
  });
}

// Zeros and ones, or, for a mask that is added, also -infinity, without a pattern.
Tensor scattered(const Shape& shape, Dtype dtype) {
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = i * i % 11 == 5 ? 0 : 1;
    if (dtype != Dtype::uint8) {
      values[i] = i * i % 11 == 5 ? -std::numeric_limits<float>::infinity() : static_cast<float>(i % 7) / 4;
    }
  }
  return cast(Tensor::from<float>(values, shape), dtype);
}

AttentionOptions on_device(AttentionOptions options, Device device) {
  for (Tensor* x : {&options.key_lengths, &options.query_offsets, &options.key_offsets,
                    &options.causal_offsets, &options.block_mask, &options.pair_mask}) {
    if (x->defined()) *x = to(*x, device);
  }
  return options;
}

struct Problem {
  const char* name;
  AttentionOptions options;
  int64_t batch = 2, queries = 66, keys = 130, heads = 1, key_heads = 1;
};

// A mask of every kind. Sequences begin and end within tiles, some are shorter and some longer than one.
std::vector<Problem> problems(Dtype dtype) {
  const auto list = [](const std::vector<int32_t>& values) { return numbers(values, Device::cpu); };
  const Tensor offsets = list({0, 5, 5, 72, 140}), key_offsets = list({0, 66, 70, 70, 201});
  AttentionOptions all{.scale = 0.3,
                       .causal = true,
                       .causal_offsets = list({60, 0, 3, 63}),
                       .key_lengths = list({65, 0, 0, 130}),
                       .block_mask = scattered({4, 10, 19}, Dtype::uint8),
                       .block_size = 7,
                       .query_offsets = offsets,
                       .key_offsets = key_offsets,
                       .pair_mask = scattered({1, 2, 140, 201}, dtype),
                       .dropout = 0.3,
                       .dropout_position = {1, 2, 3}};
  return {{"all", {}},
          {"causal", {.causal = true}},
          {"more queries than keys", {.causal = true}, 1, 131, 66},
          {"one head of keys", {}, 1, 70, 131, 3, 1},
          {"key_lengths", {.key_lengths = list({0, 65})}},
          {"causal_offsets", {.causal = true, .causal_offsets = list({-3, 100})}},
          {"blocks", {.block_mask = scattered({10, 19}, Dtype::uint8), .block_size = 7}},
          {"pairs", {.pair_mask = scattered({66, 130}, Dtype::uint8)}},
          {"pairs added", {.pair_mask = scattered({2, 1, 66, 130}, dtype)}},
          {"dropout", {.dropout = 0.3, .dropout_position = {1, 2, 3}}},
          {"ragged", {.query_offsets = offsets, .key_offsets = key_offsets}, 1, 140, 201},
          {"ragged dropout", {.query_offsets = offsets, .dropout = 0.3}, 1, 140, 140},
          {"everything", all, 1, 140, 201, 2, 1}};
}

struct Operands {
  Tensor query, key, value, g;

  Operands(const Problem& p, int64_t size, Dtype dtype) {
    Generator generator(1);
    const auto draw = [&](int64_t rows, int64_t heads) {
      return cast(uniform({p.batch, rows, heads, size}, generator, -2, 2), dtype);
    };
    query = draw(p.queries, p.heads);
    key = draw(p.keys, p.key_heads);
    value = draw(p.keys, p.key_heads);
    g = draw(p.queries, p.heads);
  }
};

// Output, row_max, row_sum and the three gradients.
std::vector<Tensor> results(const Operands& x, const AttentionOptions& options, Device device) {
  const AttentionOptions there = on_device(options, device);
  const Tensor query = to(x.query, device), key = to(x.key, device), value = to(x.value, device);
  const AttentionResult forward = attention(query, key, value, there);
  const AttentionGradient gradient = attention_gradient(to(x.g, device), query, key, value, forward, there);
  std::vector<Tensor> list{forward.output, forward.row_max, forward.row_sum,
                           gradient.query, gradient.key,    gradient.value};
  for (Tensor& result : list) result = to(result, Device::cpu);
  return list;
}

// The largest difference of two tensors, of elements of the size of 1 and more relatively. Infinities are
// equal where their signs are.
double difference(const Tensor& got, const Tensor& wanted) {
  const auto x = cast(got, Dtype::float64).to_vector<double>(),
             y = cast(wanted, Dtype::float64).to_vector<double>();
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = x[i] == y[i] ? 0 : std::abs(x[i] - y[i]) / std::max(1.0, std::abs(y[i]));
    if (!(error <= largest)) largest = error;  // NaN is the largest
  }
  return largest;
}

// That every GPU has the cpu's results.
void check_results(const Problem& problem, int64_t size, Dtype dtype, double bound) {
  const Operands operands(problem, size, dtype);
  const auto wanted = results(operands, problem.options, Device::cpu);
  for (Device device : test::gpus()) {
    CAPTURE(name(device));
    const auto got = results(operands, problem.options, device);
    for (size_t i = 0; i < wanted.size(); ++i) {
      CAPTURE(i);
      CHECK(difference(got[i], wanted[i]) < bound);
    }
  }
}

}  // namespace

TEST_CASE("attention: with every mask, a GPU has the processor's results past the edges of its tiles") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::bfloat16}) {
    CAPTURE(name(dtype));
    // Sums in another order, and of bfloat16 a result that may be rounded to the other side.
    const double bound = dtype == Dtype::float32 ? 3e-5 : dtype == Dtype::float64 ? 1e-13 : 0x1.02p-7;
    for (const Problem& problem : problems(dtype)) {
      CAPTURE(problem.name);
      check_results(problem, 8, dtype, bound);
    }
  }
}

TEST_CASE("attention: on a GPU, heads of any size have the processor's results") {
  const Problem problem{"causal", {.causal = true}, 1, 34, 66, 2, 1};
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::bfloat16}) {
    const double bound = dtype == Dtype::float32 ? 3e-5 : dtype == Dtype::float64 ? 1e-13 : 0x1.02p-7;
    CAPTURE(name(dtype));
    for (int64_t size : {3, 17, 64, 80, 128, 256}) {
      CAPTURE(size);
      check_results(problem, size, dtype, bound);
    }
  }
}

TEST_CASE(
    "attention: kernels with every mask have no race, and the same bits in every order of their threads") {
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const Problem everything = problems(dtype).back();
    const Operands operands(everything, 8, dtype);
    const auto fast = results(operands, everything.options, Device::simt);
    const test::CheckedRungs checked;
    const auto got = results(operands, everything.options, Device::simt);
    for (size_t i = 0; i < fast.size(); ++i) CHECK(test::same_bits(got[i], fast[i]));
  }
}

TEST_CASE("attention: a GPU refuses offsets and lengths in the words of the processor") {
  using O = AttentionOptions;
  const std::vector<std::function<void(O&, Device)>> changes = {
      [](O& o, Device d) { o.key_lengths = numbers({7}, d); },
      [](O& o, Device d) { o.key_lengths = numbers({-1}, d); },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 3, 6}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({1, 6}, d);
      },
      [](O& o, Device d) { o.query_offsets = numbers({0}, d); },
      [](O& o, Device d) {
        o.query_offsets = numbers({-2, 9, 6}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 6}, d);
        o.key_offsets = numbers({0, 7, 6}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 6}, d);
        o.key_lengths = numbers({4, 3}, d);
      },
      [](O& o, Device d) {
        o.query_offsets = numbers({0, 4, 6}, d);
        o.block_mask = ones({2, 1}, Dtype::uint8, d);
        o.block_size = 2;
      }};
  for (const auto& change : changes) {
    for (bool gradient : {false, true}) {
      const std::string expected = refusal(Device::cpu, gradient, change);
      CHECK(expected.starts_with(gradient ? "attention_gradient: " : "attention: "));
      for (Device device : test::gpus()) CHECK(refusal(device, gradient, change) == expected);
      simt::set_checked(true);  // no access is out of bounds for all that
      CHECK(refusal(Device::simt, gradient, change) == expected);
      simt::set_checked(false);
    }
  }
}

TEST_CASE("attention: on a GPU, a query that sees no key gets 0, and one without digits NaN") {
  for (Device device : test::gpus()) {
    const Tensor x = ones({3, 2, 1, 4}, Dtype::float32, device);
    fill(slice(x, 0, 1, 2), 1e5);  // scores of 2e10
    AttentionOptions options;
    options.key_lengths = numbers({0, 2, 1}, device);
    const AttentionResult result = attention(x, x, x, options);
    const AttentionGradient gradient = attention_gradient(x, x, x, x, result, options);
    const auto output = result.output.to_vector<float>(), max = result.row_max.to_vector<float>(),
               sum = result.row_sum.to_vector<float>(), of_query = gradient.query.to_vector<float>();
    for (size_t i = 0; i < 8; ++i) {
      CHECK(output[i] == 0);
      CHECK(of_query[i] == 0);
      CHECK(std::isnan(output[8 + i]));
      CHECK(output[16 + i] == 1);
    }
    for (size_t row = 0; row < 2; ++row) {
      CHECK(max[row] == -std::numeric_limits<float>::infinity());
      CHECK(sum[row] == 0);
      CHECK(max[4 + row] == 2);
      CHECK(sum[4 + row] == 1);
    }
  }
}

TEST_CASE("attention: on a GPU, dropout draws from the counter in the device's memory") {
  for (Device device : test::gpus()) {
    const Tensor x = ones({1, 9, 2, 4}, Dtype::float32, device);
    AttentionOptions options{.dropout = 0.5, .dropout_position = {3, 4, 5}};
    const auto first = attention(x, x, x, options).output.to_vector<float>();
    const Tensor counter = Tensor::from<int32_t>({100, 0}, {2}, device);  // the lower half of 64 bits first
    options.dropout_position.base = random_base(counter);
    CHECK(attention(x, x, x, options).output.to_vector<float>() != first);
    options.dropout_position = {3, 4, 105};
    const auto moved = attention(x, x, x, options).output.to_vector<float>();
    options.dropout_position = {3, 4, 5};
    options.dropout_position.base = random_base(counter);
    CHECK(attention(x, x, x, options).output.to_vector<float>() == moved);
  }
}
