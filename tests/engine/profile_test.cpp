#include "haze/engine/profile.h"

#include <algorithm>
#include <set>
#include <thread>

#include <doctest/doctest.h>

#include "haze/engine/guarded_runtime.h"

#include "engine/op_table/table.h"
#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

Tensor zeros_of(const Shape& shape) {
  return full(shape, 0);
}

template <typename Work>
Profile profile_of(Work&& work) {
  Profile profile;
  const ProfileScope scope(profile);
  work();
  return profile;
}

// The one call that `work` makes of kernels with this name.
template <typename Work>
ProfileCall call_of(const std::string& operation, Work&& work) {
  const Profile profile = profile_of(work);
  const auto is_it = [&](const ProfileCall& call) { return call.operation == operation; };
  CAPTURE(operation);
  REQUIRE(std::count_if(profile.calls.begin(), profile.calls.end(), is_it) == 1);
  return *std::find_if(profile.calls.begin(), profile.calls.end(), is_it);
}

}  // namespace

TEST_CASE("under a profile every operation of the table gives what the reference gives, and is recorded") {
  Profile profile;
  {
    const ProfileScope scope(profile);
    for (auto section : {creation_rows, view_rows, elementwise_rows, reduction_rows, norm_rows, matmul_rows,
                         attention_rows, indexing_rows, image_rows, convolution_rows, training_rows}) {
      for (const Row& row : section()) check_row(shortened(row), Device::cpu);
    }
  }
  std::set<std::string> recorded;
  for (const ProfileCall& call : profile.calls) recorded.insert(call.operation);
  CHECK(recorded.size() > 80);
  for (int op = 0; op < static_cast<int>(UnaryOp::kCount); ++op) {
    CHECK(recorded.contains(name(static_cast<UnaryOp>(op))));
  }
  for (int op = 0; op < static_cast<int>(BinaryOp::kCount); ++op) {
    CHECK(recorded.contains(name(static_cast<BinaryOp>(op))));
  }
}

TEST_CASE("a product of m x k and k x n has 2 m n k operations, and moves its operands once") {
  const Tensor a = zeros_of({7, 5}), b = zeros_of({5, 3}), b_transposed = zeros_of({3, 5});
  const ProfileCall plain = call_of("matmul a b", [&] { matmul(a, b); });
  CHECK(plain.extents == Shape{7, 3, 5});
  CHECK(plain.flops == 2 * 7 * 3 * 5);
  CHECK(plain.bytes == 4 * (7 * 5 + 5 * 3 + 7 * 3));
  const ProfileCall batched = call_of("matmul a b^T", [&] {
    matmul(zeros_of({4, 7, 5}), transpose(b_transposed));
  });
  CHECK(batched.flops == 4 * plain.flops);
  CHECK(batched.bytes <= 4 * (4 * 7 * 5 + 5 * 3 + 4 * 7 * 3));
  const ProfileCall added = call_of("matmul a^T b +target", [&] {
    matmul_into(zeros_of({5, 3}), transpose(a), zeros_of({7, 3}));
  });
  CHECK(added.extents == Shape{5, 3, 7});
  CHECK(added.bytes == 4 * (5 * 7 + 7 * 3 + 2 * 5 * 3));
  const ProfileCall fused = call_of("matmul a b +bias +gelu", [&] {
    matmul(a, b, {.bias = zeros_of({3}), .activation = Activation::gelu});
  });
  CHECK(fused.flops == plain.flops);
}

TEST_CASE("a broadcast operand is read once, and an embedding only the rows it takes") {
  CHECK(call_of("add", [] { add(zeros_of({100, 8}), zeros_of({8})); }).bytes == 4 * (800 + 8 + 800));
  const Tensor ids = Tensor::from<int32_t>({3, 1}, {2});
  CHECK(call_of("embedding", [&] { embedding(zeros_of({1000, 8}), ids); }).bytes == 4 * (2 + 2 * 16));
}

TEST_CASE("the operations of attention are those of the pairs that see each other, counted one by one") {
  constexpr int64_t kBatch = 2, kQueries = 6, kKeys = 9, kHeads = 3, kSize = 4;
  const Tensor query = zeros_of({kBatch, kQueries, kHeads, kSize}),
               key = zeros_of({kBatch, kKeys, kHeads, kSize});
  const std::vector<int32_t> lengths = {9, 4};
  double pairs = 0;
  for (int32_t length : lengths) {
    for (int64_t i = 0; i < kQueries; ++i) {
      for (int64_t j = 0; j < length; ++j) pairs += j <= i + kKeys - kQueries;
    }
  }
  const AttentionOptions options{.causal = true, .key_lengths = Tensor::from<int32_t>(lengths, {2})};
  const double product = 2 * pairs * kHeads * kSize;
  AttentionResult result;
  CHECK(call_of("attention", [&] { result = attention(query, key, key, options); }).flops == 2 * product);
  CHECK(call_of("attention_gradient", [&] {
          attention_gradient(query, query, key, key, result, options);
        }).flops == 5 * product);

  const Tensor rows = zeros_of({1, 10, kHeads, kSize});
  const AttentionOptions ragged{.query_offsets = Tensor::from<int32_t>({0, 3, 3, 10}, {4})};
  CHECK(call_of("attention", [&] { attention(rows, rows, rows, ragged); }).flops ==
        2 * 2.0 * (3 * 3 + 7 * 7) * kHeads * kSize);
  const AttentionOptions cross{.causal = true,
                               .key_lengths = Tensor::from<int32_t>({4, 0, 2}, {3}),
                               .query_offsets = Tensor::from<int32_t>({0, 3, 3, 10}, {4}),
                               .key_offsets = Tensor::from<int32_t>({0, 5, 6, 9}, {4})};
  // The first sequence sees 3, 4 and 4 of its keys; of the last, four queries come before any key.
  CHECK(call_of("attention", [&] {
          attention(rows, zeros_of({1, 9, 1, kSize}), zeros_of({1, 9, 1, kSize}), cross);
        }).flops == 2 * 2.0 * (3 + 4 + 4 + 1 + 2 + 2) * kHeads * kSize);
}

TEST_CASE("under a profile the host waits for a device before and after each kernel that runs there") {
  auto& device = dynamic_cast<GuardedRuntime&>(runtime(Device::guarded));
  const Tensor x = zeros({3}, Dtype::float32, Device::guarded);
  const auto waits = [&](Kernels kernels) {
    Profile profile;
    const ProfileScope scope(profile, kernels);
    const int64_t before = device.waits();
    add(x, x);
    CHECK(profile.calls.size() == 1);
    return device.waits() - before;
  };
  CHECK(waits(Kernels::run) == 2);
  CHECK(waits(Kernels::skipped) == 0);
}

TEST_CASE("calls lie in their step and phase, one after the other, and take no longer than these") {
  Profile profile;
  const Tensor x = full({200, 200}, 0.5);
  for (int step = 0; step < 3; ++step) {
    const ProfileScope scope(profile);
    ProfilePhase phase("forward");
    const Tensor y = matmul(x, x);
    phase.next("backward");
    unary(UnaryOp::tanh, y);
    add(y, x);
  }
  REQUIRE(profile.steps.size() == 3);
  REQUIRE(profile.phases.size() == 6);
  REQUIRE(profile.calls.size() == 9);
  double end = 0;
  for (size_t i = 0; i < profile.calls.size(); ++i) {
    const ProfileCall& call = profile.calls[i];
    CHECK(call.phase == (call.operation == "matmul a b" ? std::string("forward") : "backward"));
    CHECK(call.step == static_cast<int64_t>(i / 3));
    CHECK(call.start >= end);
    end = call.start + call.seconds;
    const ProfileSpan& step = profile.steps[i / 3];
    CHECK(call.start >= step.start);
    CHECK(end <= step.start + step.seconds);
    const ProfileSpan& phase = profile.phases[2 * (i / 3) + (i % 3 > 0)];
    CHECK(phase.name == call.phase);
    CHECK(call.start >= phase.start);
    CHECK(end <= phase.start + phase.seconds);
  }
}

TEST_CASE("nothing is recorded without a scope, on other threads, or of what a kernel calls") {
  Profile profile;
  {
    const ProfileScope scope(profile);
    std::thread([] { zeros_of({3}); }).join();
    CHECK(profile.calls.empty());
    {
      const ProfilePause pause;
      zeros_of({3});
    }
    CHECK(profile.calls.empty());
    // A depth of 0, of which the kernel makes other operations.
    const Tensor a({2, 0}), b({0, 2});
    matmul(a, b, {.bias = Tensor::from<float>({1, 2}, {2})});
    CHECK(profile.calls.size() == 1);
  }
  zeros_of({3});
  const ProfilePhase phase("forward");
  CHECK(profile.calls.size() == 1);
  CHECK(profile.phases.empty());
}

TEST_CASE("a profile changes no bits") {
  Generator generator(3);
  const Tensor x = uniform({64, 96}, generator, -1, 1);
  const auto result = [&] { return softmax(matmul(x, transpose(x), {.activation = Activation::gelu})); };
  const Tensor plain = result();
  Profile profile;
  const ProfileScope scope(profile);
  CHECK(same_bits(plain, result()));
  CHECK(!profile.calls.empty());
}

TEST_CASE(
    "a profile whose kernels are skipped has the calls of one whose kernels run, and results of their "
    "shapes") {
  const Tensor x = full({8, 16}, 2), y = full({16, 4}, 3);
  Profile run, skipped;
  {
    const ProfileScope scope(run);
    softmax(matmul(x, y));
  }
  {
    const ProfileScope scope(skipped, Kernels::skipped);
    CHECK(softmax(matmul(x, y)).shape() == Shape{8, 4});
    fill(x, 5);
  }
  CHECK(x.to_vector<float>() == std::vector<float>(8 * 16, 2));
  REQUIRE(skipped.calls.size() == run.calls.size() + 1);
  for (size_t i = 0; i < run.calls.size(); ++i) {
    CHECK(skipped.calls[i].operation == run.calls[i].operation);
    CHECK(skipped.calls[i].flops == run.calls[i].flops);
    CHECK(skipped.calls[i].bytes == run.calls[i].bytes);
  }
}
