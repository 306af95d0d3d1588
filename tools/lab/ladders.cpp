#include "haze/tools/lab/ladders.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "haze/engine/library_choice.h"
#include "haze/engine/ops.h"
#include "haze/engine/ops/convolution.h"
#include "haze/engine/ops/matmul.h"

namespace haze {
namespace {

/// The problem of a call of a ladder. Its result is the operand that it writes.
template <typename Call>
Problem problem_of(const Call& call, Tensor expected, double tolerance, double flops) {
  Problem problem{.run = [call] { launch(call); },
                  .expected = std::move(expected),
                  .tolerance = tolerance,
                  .flops = flops,
                  .bytes = detail::bytes_of(call)};
  call.each_operand([&](Use use, const char* name, const Tensor& x) {
    if (!x.defined()) return;
    problem.operands.push_back({name, x});
    if (use != Use::read) problem.result = x;
  });
  return problem;
}

/// While it lives, NVIDIA's libraries compute what they can.
class ByLibraries {
 public:
  ByLibraries() {
    set_matmul_by(MatmulBy::cublas);
    set_convolution_by(ConvolutionBy::cudnn);
  }
  ~ByLibraries() {
    set_matmul_by(matmul_before_);
    set_convolution_by(convolution_before_);
  }

 private:
  const std::optional<MatmulBy> matmul_before_ = matmul_by();
  const std::optional<ConvolutionBy> convolution_before_ = convolution_by();
};

/// The same for a call of an operation that a library computes.
template <typename Call>
Problem library_problem(const Call& call, Tensor expected, double tolerance) {
  Problem problem = problem_of(call, std::move(expected), tolerance, call.flops());
  problem.run = [run = problem.run] {
    const ByLibraries libraries;
    run();
  };
  return problem;
}

/// Normally distributed: on a GPU, zeros would be faster.
Tensor numbers(const Shape& shape, uint64_t stream = 0) {
  Generator generator(1, stream);
  return normal(shape, generator);
}

Arithmetic matmul_arithmetic(unsigned rung) {
  return rung == 4 ? Arithmetic::bfloat16 : rung == 5 ? Arithmetic::tf32 : Arithmetic::float32;
}

Problem transpose_problem(unsigned rung, int64_t size, Device device) {
  const Tensor x = numbers({size, size});
  const Tensor out({size, size}, x.dtype(), device);
  return problem_of(ladder::Transpose{rung, to(x, device), out}, contiguous(transpose(x)), 0, 0);
}

Problem softmax_problem(unsigned rung, int64_t size, Device device) {
  constexpr double kOperations = 5;  // of an element: maximum, subtract, exp, add, divide
  const Tensor x = numbers({size, size});
  const ladder::Softmax call{rung, to(x, device), Tensor(x.shape(), x.dtype(), device)};
  return problem_of(call, softmax(x), 1e-5, kOperations * static_cast<double>(x.elements()));
}

Problem sum_problem(unsigned rung, int64_t size, Device device) {
  const Tensor x = numbers({size, size});
  const ladder::Sum call{rung, to(x, device), Tensor({1}, x.dtype(), device)};
  return problem_of(call, reshape(sum(cast(x, Dtype::float64)), {1}), 1e-4,
                    static_cast<double>(x.elements() - 1));
}

Problem cumulative_sum_problem(unsigned rung, int64_t size, Device device) {
  const Tensor x = numbers({size, size});
  const ladder::CumulativeSum call{rung, to(x, device), Tensor(x.shape(), x.dtype(), device)};
  return problem_of(call, cumulative_sum(cast(x, Dtype::float64), 1), 1e-5,
                    static_cast<double>(x.elements()));
}

Problem index_add_problem(unsigned rung, int64_t size, Device device) {
  constexpr int64_t kTermsOfRow = 4;
  Generator generator(1, 1);
  const Tensor source = numbers({kTermsOfRow * size, size}), target = zeros({size, size}),
               indices = random_integers({kTermsOfRow * size}, generator, 0, size);
  const ladder::IndexAdd call{rung, to(indices, device), to(source, device), to(target, device)};
  index_add_into(target, 0, indices, source);
  return problem_of(call, target, 1e-5, static_cast<double>(source.elements()));
}

Problem matmul_problem(unsigned rung, int64_t size, Device device) {
  using ladder::Matmul;
  const bool takes_float32 = Matmul::takes(rung, Dtype::float32);
  const auto operand = [&](uint64_t stream) {
    return cast(numbers({size, size}, stream), takes_float32 ? Dtype::float32 : Dtype::bfloat16);
  };
  const Tensor a = operand(0), b = operand(1);
  const Matmul call{rung, to(a, device), to(b, device), Tensor({size, size}, Dtype::float32, device)};
  constexpr double kRounded = 2e-3;  // operands of tf32 have 11 bits
  return problem_of(call, matmul(cast(a, Dtype::float32), cast(b, Dtype::float32)),
                    matmul_arithmetic(rung) == Arithmetic::tf32 ? kRounded : 1e-5, call.flops());
}

Problem cublas_problem(Dtype dtype, int64_t size, Device device) {
  const Tensor a = cast(numbers({1, size, size}, 0), dtype), b = cast(numbers({1, size, size}, 1), dtype);
  const call::Matmul call{
      .a = to(a, device), .b = to(b, device), .out = Tensor({1, size, size}, Dtype::float32, device)};
  return library_problem(call, matmul(cast(a, Dtype::float32), cast(b, Dtype::float32)), 1e-5);
}

Problem attention_problem(unsigned rung, int64_t size, Device device) {
  using ladder::Attention;
  constexpr int64_t kHeads = 4, kHeadSize = 64;
  const bool takes_float32 = Attention::takes(rung, Dtype::float32);
  const auto operand = [&](uint64_t stream) {
    return cast(numbers({kHeads, size, kHeadSize}, stream), takes_float32 ? Dtype::float32 : Dtype::bfloat16);
  };
  const Tensor query = operand(0), key = operand(1), value = operand(2);
  const auto of_rows = [&] { return Tensor({kHeads, size}, Dtype::float32, device); };
  const Attention call{.rung = rung,
                       .query = to(query, device),
                       .key = to(key, device),
                       .value = to(value, device),
                       .scale = 0.125F,
                       .causal = false,
                       .out = Tensor(query.shape(), query.dtype(), device),
                       .max = of_rows(),
                       .sum = of_rows()};
  const auto wide = [](const Tensor& x) { return cast(x, Dtype::float32); };
  const Tensor scores = scale_shift(matmul(wide(query), transpose(wide(key))), call.scale, 0);
  constexpr double kBfloat16 = 1e-2;  // the result has 8 bits
  Problem problem =
      problem_of(call, matmul(softmax(scores), wide(value)), takes_float32 ? 1e-5 : kBfloat16, call.flops());
  problem.result = call.out;
  return problem;
}

// A layer of a U-Net.
struct ConvolutionLayer {
  static constexpr int64_t kChannels = 64, kExtent = 32, kKernel = 3, kPadding = 1;
  Tensor x, weight, expected, out;

  ConvolutionLayer(int64_t size, Device device) {
    x = numbers({size, kChannels, kExtent, kExtent});
    weight = numbers({kChannels, kChannels, kKernel, kKernel}, 1);
    expected = conv2d(x, weight, {}, 1, kPadding);
    x = to(x, device), weight = to(weight, device);
    out = Tensor(x.shape(), x.dtype(), device);
  }
};

Problem convolution_problem(unsigned rung, int64_t size, Device device) {
  const ConvolutionLayer of(size, device);
  const ladder::Convolution call{rung, of.x, of.weight, ConvolutionLayer::kPadding, of.out};
  return problem_of(call, of.expected, 1e-5, call.flops());
}

Problem cudnn_problem(int64_t size, Device device) {
  const ConvolutionLayer of(size, device);
  const call::Conv2d call{.x = of.x,
                          .weight = of.weight,
                          .bias = {},
                          .options = ConvolutionOptions::even(1, ConvolutionLayer::kPadding),
                          .out = of.out};
  return library_problem(call, of.expected, 1e-5);
}

}  // namespace

const std::vector<Ladder>& ladders() {
  static const std::vector<Ladder> all = {
      {.name = "transpose",
       .what = "x [size, size] in rows, to its columns in rows; float32",
       .rungs = ladder::Transpose::kRungs,
       .size = 512,
       .step_size = 32,
       .problem = transpose_problem},
      {.name = "softmax",
       .what = "softmax of each row of x [size, size]; float32",
       .rungs = ladder::Softmax::kRungs,
       .size = 1024,
       .step_size = 64,
       .problem = softmax_problem},
      {.name = "sum",
       .what = "the sum of all elements of x [size, size]; float32",
       .rungs = ladder::Sum::kRungs,
       .size = 1024,
       .step_size = 32,
       .problem = sum_problem},
      {.name = "cumulative_sum",
       .what = "the running sums of each row of x [size, size]; float32",
       .rungs = ladder::CumulativeSum::kRungs,
       .size = 1024,
       .step_size = 64,
       .problem = cumulative_sum_problem},
      {.name = "index_add",
       .what = "4 size rows added to the rows of [size, size] that their indices name; float32",
       .rungs = ladder::IndexAdd::kRungs,
       .size = 256,
       .step_size = 32,
       .problem = index_add_problem},
      {.name = "matmul",
       .what = "a [size, size] b [size, size]; float32, bfloat16 where tensor cores multiply it",
       .rungs = ladder::Matmul::kRungs,
       .size = 512,
       .step_size = 64,
       .multiple = 8,
       .problem = matmul_problem,
       .arithmetic = matmul_arithmetic,
       .peers = {{{"cuBLAS", "NVIDIA's library multiplies float32."},
                  [](int64_t size, Device device) { return cublas_problem(Dtype::float32, size, device); }},
                 {{"cuBLAS (bfloat16)", "NVIDIA's library multiplies bfloat16."},
                  [](int64_t size, Device device) {
                    return cublas_problem(Dtype::bfloat16, size, device);
                  }}}},
      {.name = "attention",
       .what = "4 heads, size queries and keys of 64 numbers; float32, bfloat16 on tensor cores",
       .rungs = ladder::Attention::kRungs,
       .size = 512,
       .step_size = 64,
       .problem = attention_problem,
       .arithmetic =
           [](unsigned rung) {
             return ladder::Attention::takes(rung, Dtype::float32) ? Arithmetic::float32
                                                                   : Arithmetic::bfloat16;
           }},
      {.name = "convolution",
       .what = "size images of 64 channels, 32 x 32, by kernels of 3 x 3, to 64 channels; float32",
       .rungs = ladder::Convolution::kRungs,
       .size = 4,
       .step_size = 1,
       .problem = convolution_problem,
       .peers = {{{"cuDNN", "NVIDIA's library convolves float32."}, cudnn_problem}}},
  };
  return all;
}

const Ladder& ladder_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Ladder& ladder : ladders()) {
    if (ladder.name == name) return ladder;
    names.push_back(ladder.name);
  }
  fail("there is no ladder '{}'; the ladders are {}", name, fmt::join(names, ", "));
}

unsigned rung_named(const Ladder& ladder, std::string_view name) {
  std::vector<std::string> names;
  for (unsigned rung = 0; rung < ladder.rungs.size(); ++rung) {
    if (ladder.rungs[rung].name == name || fmt::format("{}", rung + 1) == name) return rung;
    names.push_back(ladder.rungs[rung].name);
  }
  fail("the ladder {} has no rung '{}'; its rungs are {}", ladder.name, name, fmt::join(names, ", "));
}

}  // namespace haze
