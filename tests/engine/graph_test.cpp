#include "haze/engine/graph.h"

#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/library_choice.h"
#include "haze/engine/ops.h"
#include "haze/engine/profile.h"
#include "haze/engine/simt/launch.h"

#include "engine/thread_bits.h"
#include "error_of.h"
#include "gpus.h"

using namespace haze;
using namespace haze::test;
using haze::testing::error_of;

namespace {

using Floats = std::vector<float>;

Tensor on(Device device, const Floats& values) {
  return Tensor::from(values, {std::ssize(values)}, device);
}

// Runs the work once, as a first run loads kernels, and captures it.
template <typename Work>
Graph captured(Device device, Work&& work) {
  work();
  return Graph::capture(device, work);
}

/// While it lives, kernels of the emulated GPU are checked, or not, and a library computes, or not.
struct Choices {
  Choices(bool checked, std::optional<MatmulBy> matmul, std::optional<ConvolutionBy> convolution) {
    simt::set_checked(checked);
    set_matmul_by(matmul);
    set_convolution_by(convolution);
  }
  ~Choices() {
    simt::set_checked(false);
    set_matmul_by({});
    set_convolution_by({});
  }
  Choices(const Choices&) = delete;
  Choices& operator=(const Choices&) = delete;
};

// Captures sum += work(operands), a float32 sum of this shape, and checks that each of two replays adds what
// the operands hold by then: `others`, whose value is computed on the processor.
template <typename Work>
void check_recorded(const std::vector<Tensor>& operands, const std::vector<Tensor>& others,
                    const Shape& shape, Work&& work) {
  std::vector<Tensor> on_gpu;
  for (const Tensor& operand : operands) on_gpu.push_back(to(operand, Device::simt));
  const Tensor sum = zeros(shape, Dtype::float32, Device::simt);
  const Graph graph = Graph::capture(Device::simt, [&] { add_into(sum, work(on_gpu)); });
  CHECK(same_bits(to(sum, Device::cpu), zeros(shape)));  // nothing has run
  for (size_t i = 0; i < others.size(); ++i) copy_into(on_gpu[i], to(others[i], Device::simt));
  graph.replay();
  graph.replay();
  const Tensor difference = subtract(scale_shift(work(others), 2, 0), to(sum, Device::cpu));
  CHECK(reduce(ReduceOp::max, unary(UnaryOp::absolute, difference)).item() < 1e-4);
}

}  // namespace

TEST_CASE("graph: a capture runs nothing, and each replay does all of it again, to the same memory") {
  for (Device device : gpus()) {
    const Tensor x = on(device, {1, 2}), y = on(device, {0, 0});
    const Graph graph = captured(device, [&] {
      copy_into(y, multiply(x, x));
      add_into(x, ones_like(x));
    });
    CHECK(graph.size() > 2);
    CHECK(x.to_vector<float>() == Floats{2, 3});
    graph.replay();
    graph.replay();
    CHECK(x.to_vector<float>() == Floats{4, 5});
    CHECK(y.to_vector<float>() == Floats{9, 16});
    copy_into(x, full_like(x, 10));  // an input, changed between two replays
    graph.replay();
    CHECK(y.to_vector<float>() == Floats{100, 100});
    const Graph nothing = Graph::capture(device, [] {});
    nothing.replay();
    Graph().replay();
    CHECK(nothing.size() + Graph().size() == 0);
  }
}

TEST_CASE("graph: on the emulated GPU, checked kernels and the stand-in of cuBLAS are recorded, too") {
  Generator generator(1);
  const auto draw = [&](const Shape& shape) { return normal(shape, generator); };
  for (bool checked : {false, true}) {
    for (MatmulBy by : {MatmulBy::hand, MatmulBy::cublas}) {
      CAPTURE(checked);
      const Choices choices(checked, by, {});
      check_recorded({draw({8, 16}), draw({16, 8})}, {draw({8, 16}), draw({16, 8})}, {8, 8},
                     [](const std::vector<Tensor>& x) { return matmul(x[0], x[1]); });
    }
  }
}

TEST_CASE("graph: on the emulated GPU, the stand-in of cuDNN is recorded, too") {
  Generator generator(1);
  const auto draw = [&](const Shape& shape) { return normal(shape, generator); };
  const Choices choices(false, {}, ConvolutionBy::cudnn);
  check_recorded({draw({1, 2, 5, 5}), draw({3, 2, 3, 3})}, {draw({1, 2, 5, 5}), draw({3, 2, 3, 3})},
                 {1, 3, 3, 3},
                 [](const std::vector<Tensor>& x) { return conv2d(x[0], x[1], Tensor(), 1, 0); });
}

TEST_CASE("graph: a capture does not need the memory of the step before it a second time") {
  for (Device device : gpus()) {
    constexpr int64_t kCount = 100'000;
    const Tensor x = full({kCount}, 1, Dtype::float32, device);
    const auto work = [&] {
      std::vector<Tensor> kept = {x};
      for (int i = 0; i < 8; ++i) kept.push_back(scale_shift(kept.back(), 2, 0));
      copy_into(x, kept.back());
    };
    release_cached_memory(device);
    const size_t before = memory_statistics(device).reserved;
    work();
    const size_t step = memory_statistics(device).reserved - before;
    CHECK(step >= 8 * kCount * sizeof(float));
    const Graph graph = Graph::capture(device, work);
    // Nothing is given back during a capture, so this is the most that there was.
    CHECK(memory_statistics(device).reserved - before < step + step / 2);
    graph.replay();
    CHECK(x.at({kCount - 1}) == 65536);
  }
}

TEST_CASE("graph: a capture that is refused at its beginning leaves the device as it was") {
  for (Device device : gpus()) {
    const Tensor x = on(device, {1, 2});
    const MemoryPool pool(device);
    {
      const MemoryPoolScope scope(pool);
      CHECK(error_of([&] { Graph::capture(device, [] {}); }) ==
            "memory: none of " + std::string(name(device)) + " is given back while a pool of it is in use");
    }
    const MemoryPool of_cpu(Device::cpu);
    {
      const MemoryPoolScope scope(of_cpu);
      CHECK(error_of([&] { Graph::capture(device, [] {}); }) ==
            "memory: the scopes of two pools do not nest");
    }
    CHECK(slice(add(x, x), 0, 1, 2).item() == 4);
    const Graph graph = captured(device, [&] { add_into(x, x); });
    graph.replay();
    CHECK(x.to_vector<float>() == Floats{4, 8});
  }
}

TEST_CASE("graph: kernels use the memory of those before them again, and nobody else gets it") {
  for (Device device : gpus()) {
    constexpr int64_t kCount = 3000;
    const Tensor x = full({kCount}, 1, Dtype::float32, device);
    const auto work = [&] {
      for (int i = 0; i < 5; ++i) copy_into(x, scale_shift(scale_shift(x, 2, 0), 1, 1));
    };
    work();
    release_cached_memory(device);
    const size_t before = memory_statistics(device).reserved;
    {
      const Graph graph = Graph::capture(device, work);
      const MemoryStatistics kept = memory_statistics(device);
      CHECK(kept.pooled == kept.reserved - before);
      CHECK(kept.pooled > 2 * kCount * sizeof(float));
      CHECK(kept.pooled < 3 * kCount * sizeof(float));  // of ten results, two at a time
      // Whatever is allocated now lies elsewhere.
      std::vector<Tensor> others;
      for (int i = 0; i < 10; ++i)
        others.push_back(full({kCount}, std::numeric_limits<double>::quiet_NaN(), Dtype::float32, device));
      fill(x, 1);
      graph.replay();
      CHECK(x.at({kCount - 1}) == 63);
      for (const Tensor& other : others) fill(other, 7);
      graph.replay();
      for (const Tensor& other : others) CHECK(other.at({0}) == 7);
      release_cached_memory(device);  // not the graph's
      graph.replay();
      CHECK(x.at({0}) == 65535);
    }
    CHECK(memory_statistics(device).pooled == 0);
    release_cached_memory(device);
    CHECK(memory_statistics(device).reserved == before);
  }
}

TEST_CASE("graph: graphs that share a pool need the memory of one, and keep what somebody holds") {
  for (Device device : gpus()) {
    constexpr int64_t kCount = 3000;
    const Tensor x = full({kCount}, 1, Dtype::float32, device);
    const auto work = [&] { return scale_shift(scale_shift(x, 2, 0), 1, 1); };
    work();
    const auto pool = std::make_shared<const MemoryPool>(device);
    std::vector<Tensor> results;
    std::vector<Graph> graphs;
    for (int i = 0; i < 4; ++i)
      graphs.push_back(Graph::capture(
          device, [&] { results.push_back(work()); }, pool));
    const MemoryStatistics kept = memory_statistics(device);
    CHECK(kept.pooled >= kCount * sizeof(float));
    CHECK(kept.pooled < 2 * kCount * sizeof(float));  // one, in which each has the inner result
    for (size_t i = 0; i < graphs.size(); ++i) {
      fill(x, static_cast<double>(i));
      const uint32_t version = results[i].storage().version(),
                     other = results[(i + 1) % 4].storage().version();
      graphs[i].replay();
      CHECK(results[i].storage().version() == version + 1);
      CHECK(results[(i + 1) % 4].storage().version() == other);
    }
    for (size_t i = 0; i < graphs.size(); ++i) CHECK(results[i].at({7}) == 2.0 * static_cast<double>(i) + 1);
    // One graph reads what another has made, whoever drops it.
    const Tensor y = zeros({kCount}, Dtype::float32, device);
    graphs.push_back(Graph::capture(
        device, [&] { copy_into(y, results[0]); }, pool));
    results.clear();
    graphs.push_back(Graph::capture(
        device, [&] { results.push_back(work()); }, pool));
    fill(x, 5);
    graphs[0].replay();
    fill(x, 6);
    graphs[5].replay();
    graphs[4].replay();
    CHECK(y.at({0}) == 11);
    CHECK(error_of([&] {
            Graph::capture(
                Device::cpu, [] {}, pool);
          }) == "graph: a pool of " + std::string(name(device)) + " for a graph of cpu");
  }
}

TEST_CASE("graph: tensors that its kernels use stay, whoever else lets go of them") {
  for (Device device : gpus()) {
    const Tensor y = on(device, {0, 0});
    const MemoryStatistics before = memory_statistics(device);
    {
      std::optional<Graph> graph;
      {
        const Tensor x = on(device, {3, 4});
        graph.emplace(captured(device, [&] { copy_into(y, x); }));
      }
      const Tensor other = on(device, {8, 8});  // would have had the memory of x
      graph->replay();
      CHECK(y.to_vector<float>() == Floats{3, 4});
    }
    CHECK(memory_statistics(device).in_use == before.in_use);
    // One that the work itself has made outlives the graph.
    Tensor made;
    {
      const Graph graph = captured(device, [&] { made = scale_shift(y, 10, 0); });
      graph.replay();
    }
    const Tensor other = on(device, {8, 8});
    CHECK(made.to_vector<float>() == Floats{30, 40});
  }
}

TEST_CASE("graph: a replay counts as a change of all that it writes to") {
  for (Device device : gpus()) {
    const Tensor x = on(device, {1, 2}), y = on(device, {0, 0});
    Tensor made;
    const Graph graph = captured(device, [&] {
      made = add(x, x);
      add_into(y, made);
    });
    const uint32_t x_before = x.storage().version(), y_before = y.storage().version(),
                   made_before = made.storage().version();
    graph.replay();
    CHECK(x.storage().version() == x_before);
    CHECK(y.storage().version() == y_before + 1);
    CHECK(std::string(y.storage().written_by()) == "add");
    CHECK(made.storage().version() == made_before + 1);
  }
}

TEST_CASE("graph: what needs the host is refused during a capture, and the device goes on as before") {
  for (Device device : gpus()) {
    const std::string on_device(name(device));
    const Tensor x = on(device, {5});
    const Graph other = captured(device, [&] { add_into(x, zeros_like(x)); });
    const size_t pooled = memory_statistics(device).pooled;
    const std::string waits = "graph: the host waits for " + on_device +
                              " while a graph of it is captured, whose kernels run at a replay; item(), "
                              "to_vector(), to() and synchronize() come after that";
    const auto refusal = [&](auto work) {
      const std::string sentence = error_of([&] {
        Graph::capture(device, [&] {
          add_into(x, ones_like(x));
          work();
        });
      });
      CHECK(x.item() == 5);
      return sentence;
    };
    CHECK(refusal([&] { x.item(); }) == waits);
    CHECK(refusal([&] { x.to_vector<float>(); }) == waits);
    CHECK(refusal([&] { to(x, Device::cpu); }) == waits);
    CHECK(refusal([&] { to(x, Device::guarded); }) == waits);
    CHECK(refusal([&] { synchronize(device); }) == waits);
    const std::string copies = "graph: numbers of the host are copied to " + on_device +
                               " while a graph of it is captured, and each replay would find the same; copy "
                               "them into a tensor before that";
    CHECK(refusal([&] { on(device, {1}); }) == copies);
    CHECK(refusal([&] { to(ones({3}), device); }) == copies);
    CHECK(refusal([&] { Graph::capture(device, [] {}); }) ==
          "graph: one is captured already, on " + on_device + "; captures do not nest");
    CHECK(refusal([&] { other.replay(); }) ==
          "graph: replay() while another graph is captured; capture what it does instead");
    CHECK(refusal([&] { release_cached_memory(device); }) ==
          "memory: none of " + on_device + " is given back while a pool of it is in use");
    CHECK(memory_statistics(device).pooled == pooled);
    // The processor is another device, and works meanwhile.
    const Graph graph = Graph::capture(device, [&] { add_into(x, full_like(x, ones({2}).at({1}))); });
    graph.replay();
    CHECK(x.item() == 6);
  }
  for (Device device : {Device::cpu, Device::guarded}) {
    CHECK(error_of([&] { Graph::capture(device, [] {}); }) ==
          "graph: device " + std::string(name(device)) + " has none; cuda and simt have");
  }
}

TEST_CASE("graph: where the work throws, its exception passes through and nothing is left of the capture") {
  for (Device device : gpus()) {
    const Tensor x = on(device, {1, 2});
    Tensor escaped;
    const MemoryStatistics before = memory_statistics(device);
    try {
      Graph::capture(device, [&] {
        escaped = add(x, x);
        add_into(x, x);
        throw std::runtime_error("no");
      });
      CHECK(false);
    } catch (const std::runtime_error& error) {
      CHECK(error.what() == std::string("no"));
    }
    escaped = {};
    CHECK(memory_statistics(device).in_use == before.in_use);
    CHECK(memory_statistics(device).pooled == 0);
    CHECK(x.to_vector<float>() == Floats{1, 2});
    CHECK(add(x, x).to_vector<float>() == Floats{2, 4});
  }
}

TEST_CASE("graph: a value that a kernel refuses at a replay is reported when the device is waited for") {
  for (Device device : gpus()) {
    const Tensor table = on(device, {1, 2, 3}), index = Tensor::from<int32_t>({2, 0}, {2}, device),
                 y = on(device, {0, 0});
    const Graph graph = captured(device, [&] { copy_into(y, index_select(table, 0, index)); });
    for (int32_t outside : {3, -1}) {
      copy_into(index, full({2}, outside, Dtype::int32, device));
      graph.replay();
      CHECK(error_of([&] { synchronize(device); }) ==
            "index_select: index " + std::to_string(outside) + " is outside an axis of extent 3");
      copy_into(index, full({2}, 1, Dtype::int32, device));
      graph.replay();
      CHECK(y.to_vector<float>() == Floats{2, 2});
    }
  }
}

TEST_CASE("graph: random numbers count on from one replay to the next, with the bits of calls one by one") {
  constexpr int kReplays = 3;
  constexpr uint64_t kFirst = 0xfffffffe;  // the lower word overflows
  for (Device device : gpus()) {
    Generator eager(Generator::State{7, 2, kFirst});
    std::vector<Tensor> wanted;
    for (int i = 0; i < kReplays; ++i) {
      wanted.push_back(to(uniform({9}, eager, 0, 1, Dtype::float32, device), Device::cpu));
      wanted.push_back(to(dropout(ones({30}, Dtype::float32, device), 0.5, eager.reserve(8)), Device::cpu));
    }
    const Tensor counter = random_counter(kFirst, device), drawn = zeros({9}, Dtype::float32, device),
                 dropped = zeros({30}, Dtype::float32, device);
    const Graph graph = Graph::capture(device, [&] {
      Generator generator(7, 2);
      generator.set_base(random_base(counter));
      copy_into(drawn, uniform({9}, generator, 0, 1, Dtype::float32, device));
      copy_into(dropped, dropout(ones({30}, Dtype::float32, device), 0.5, generator.reserve(8)));
      advance_counter(counter, generator.state().counter);
    });
    for (size_t i = 0; i < kReplays; ++i) {
      graph.replay();
      CHECK(same_bits(to(drawn, Device::cpu), wanted[2 * i]));
      CHECK(same_bits(to(dropped, Device::cpu), wanted[2 * i + 1]));
    }
  }
}

TEST_CASE("graph: in a profile a replay is one call, and its kernels none, nor what is captured") {
  for (Device device : gpus()) {
    const Tensor x = on(device, {1, 2});
    Profile profile;
    const auto work = [&] { add_into(x, ones_like(x)); };
    work();
    {
      const ProfileScope scope(profile);
      const Graph graph = Graph::capture(device, work);
      graph.replay();
      add(x, x);
    }
    REQUIRE(profile.calls.size() == 2);
    CHECK(profile.calls[0].operation == "graph");
    CHECK(profile.calls[1].operation == "add");
  }
}
