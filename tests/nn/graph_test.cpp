#include "haze/engine/graph.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

#include "haze/nn/heads.h"
#include "haze/nn/optimizer.h"
#include "haze/nn/token_transformer.h"

#include "engine/thread_bits.h"
#include "error_of.h"
#include "gpus.h"
#include "nn/networks.h"

using namespace haze;
using haze::testing::error_of;
using nn_test::random_ids;

namespace {

constexpr int64_t kVocabulary = 11;
const std::vector<int64_t> kLengths = {3, 7, 2};
constexpr int64_t kRows = 12;
constexpr double kMaxNorm = 0.5;
constexpr uint64_t kSeed = 5;

TransformerConfig tiny_transformer(bool checkpoint_activations) {
  return {.hidden = 16,
          .layers = 2,
          .heads = 2,
          .mlp_ratio = 2,
          .max_length = 8,
          .time = TimeConditioning::adaptive,
          .dropout = 0.2,
          .checkpoint_activations = checkpoint_activations};
}

// A language model in training on a device: inputs that each step overwrites, and all that a step changes.
class Training : public Module {
 public:
  Training(Device device, bool checkpoint_activations)
      : initial_(1),
        network_(kVocabulary, tiny_transformer(checkpoint_activations), initial_),
        head_(16, kVocabulary, initial_),
        sequences_(Sequences::of_lengths(kLengths, device)),
        t_(haze::to(Tensor::from<float>({0.1F, 0.5F, 0.9F}, {3}), device)),
        row_weights_(full({kRows}, 1.0 / kRows, Dtype::float32, device)),
        ids_(zeros({kRows}, Dtype::int32, device)),
        targets_(zeros({kRows}, Dtype::int32, device)),
        learning_rate_(zeros({}, Dtype::float64, device)),
        counter_(random_counter(0, device)),
        loss_(zeros({}, Dtype::float32, device)),
        norm_(zeros({}, Dtype::float64, device)) {
    add_module("network", network_);
    add_module("head", head_);
    nn_test::randomise(*this, 7, 0.2);
    Module::to(device);
    // Two rates, and a group that stays as it is.
    groups_.resize(3);
    const std::vector<NamedParameter> all = parameters();
    for (size_t i = 0; i < all.size(); ++i)
      groups_[i % 5 == 0 ? 0 : i == 7 ? 2 : 1].parameters.push_back(all[i]);
    groups_[0].rate = 0.5;
    groups_[2].rate = 0;
    optimizer_.emplace(groups_, AdamWHyperparameters{.weight_decay = 0.1});
  }

  void set_inputs(uint64_t step) {
    copy_into(ids_, haze::to(random_ids(kRows, kVocabulary, 2 * step), device()));
    copy_into(targets_, haze::to(random_ids(kRows, kVocabulary, 2 * step + 1), device()));
    copy_into(learning_rate_, full({}, 0.01 / static_cast<double>(step), Dtype::float64, device()));
  }

  // A step from the host's position of the random numbers and the host's learning rate.
  void step_eagerly(uint64_t step, Generator& generator) {
    pass(generator);
    optimizer_->step(0.01 / static_cast<double>(step), device_clip_scale(groups_, kMaxNorm, 1, nullptr));
  }
  // The same with all that changes from step to step on the device.
  void step_on_device() {
    Generator generator(kSeed);
    generator.set_base(random_base(counter_));
    pass(generator);
    Tensor norm;
    const Tensor scale = device_clip_scale(groups_, kMaxNorm, 1, &norm);
    copy_into(norm_, norm);
    optimizer_->step(learning_rate_, scale);
    advance_counter(counter_, generator.state().counter);
  }

  double loss() const { return loss_.item(); }
  double norm() const { return norm_.item(); }
  // Parameters, and the optimizer's state.
  std::vector<Tensor> all() {
    std::vector<Tensor> result;
    for (const NamedTensor& tensor : parameter_tensors(*this))
      result.push_back(haze::to(tensor.tensor, Device::cpu));
    for (const NamedTensor& tensor : optimizer_->state())
      result.push_back(haze::to(tensor.tensor, Device::cpu));
    return result;
  }
  Tensor& ids() { return ids_; }
  Tensor& counter() { return counter_; }
  AdamW& optimizer() { return *optimizer_; }

 private:
  void pass(Generator& generator) {
    clear_gradients();
    const Variable hidden = network_.forward(ids_, sequences_, t_, {true, &generator});
    const Variable total = head_.cross_entropy(hidden, targets_, row_weights_).total;
    backward(total);
    copy_into(loss_, total.value());
  }

  Generator initial_;
  TokenTransformer network_;
  TokenHead head_;
  Sequences sequences_;
  Tensor t_, row_weights_, ids_, targets_, learning_rate_, counter_, loss_, norm_;
  std::vector<ParameterGroup> groups_;
  std::optional<AdamW> optimizer_;
};

void check_same(Training& one, Training& other) {
  const std::vector<Tensor> a = one.all(), b = other.all();
  REQUIRE(a.size() == b.size());
  size_t different = 0;
  for (size_t i = 0; i < a.size(); ++i) different += !test::same_bits(a[i], b[i]);
  CHECK(different == 0);
}

}  // namespace

TEST_CASE("replays of a captured training step are steps one by one, bit for bit, with dropout and all") {
  const nn_test::ThreadScope one_thread(1);
  for (Device device : test::gpus()) {
    for (bool checkpoint_activations : {false, true}) {
      Training eager(device, checkpoint_activations), replayed(device, checkpoint_activations);
      Generator generator(kSeed);
      const auto step_eagerly = [&](uint64_t step) {
        eager.set_inputs(step);
        replayed.set_inputs(step);
        eager.step_eagerly(step, generator);
      };
      step_eagerly(1);
      replayed.step_on_device();
      const Graph graph = Graph::capture(device, [&] { replayed.step_on_device(); });
      std::vector<double> norms;
      for (uint64_t step = 2; step <= 5; ++step) {
        step_eagerly(step);
        graph.replay();
        CHECK(replayed.loss() == eager.loss());
        norms.push_back(replayed.norm());
      }
      check_same(eager, replayed);
      CHECK(*std::max_element(norms.begin(), norms.end()) > kMaxNorm);  // some steps are clipped
      // Steps one by one go on from there, and other graphs.
      step_eagerly(6);
      replayed.step_on_device();
      const Graph another = Graph::capture(device, [&] { replayed.step_on_device(); });
      step_eagerly(7);
      another.replay();
      step_eagerly(8);
      graph.replay();
      check_same(eager, replayed);
    }
  }
}

TEST_CASE("the chapter's example: a layer learns a sum by replays of one step") {
  for (Device device : test::gpus()) {
    Generator generator(1);
    std::vector<Tensor> inputs, outputs;
    for (int i = 0; i < 100; ++i) {
      const Tensor numbers = normal({4, 2}, generator);
      inputs.push_back(to(numbers, device));
      outputs.push_back(to(reduce(ReduceOp::sum, numbers, {1}, true), device));
    }

    Linear layer(2, 1, generator);
    layer.to(device);
    AdamW optimizer(layer.parameters());
    const Tensor x = zeros({4, 2}, Dtype::float32, device), y = zeros({4, 1}, Dtype::float32, device),
                 learning_rate = zeros({}, Dtype::float64, device), loss = zeros({}, Dtype::float32, device);
    const auto step = [&] {
      layer.clear_gradients();
      const Variable error = mean(square(layer.forward(x) - Variable(y)));
      backward(error);
      optimizer.step(learning_rate, device_clip_scale({{layer.parameters()}}, 1.0));
      copy_into(loss, error.value());
    };
    step();  // loads kernels
    const Graph graph = Graph::capture(device, step);
    for (int i = 0; i < 100; ++i) {
      copy_into(x, inputs[i]);
      copy_into(y, outputs[i]);
      fill(learning_rate, 0.1 * (100 - i) / 100);
      graph.replay();
    }

    CHECK(std::isfinite(loss.item()));
    for (const double weight : layer.weight().value().to_vector<double>())
      CHECK(weight == doctest::Approx(1).epsilon(0.2));
  }
}

TEST_CASE(
    "a captured training step refuses a token outside the vocabulary at its replay, not at its capture") {
  for (Device device : test::gpus()) {
    Training training(device, false);
    training.set_inputs(1);
    training.step_on_device();
    copy_into(training.ids(), full({kRows}, kVocabulary, Dtype::int32, device));
    const Graph graph = Graph::capture(device, [&] { training.step_on_device(); });
    synchronize(device);
    graph.replay();
    CHECK(error_of([&] { synchronize(device); }) == "embedding: index 11 is outside an axis of extent 11");
  }
}

TEST_CASE(
    "a loss that was computed before a replay has no gradient after it, as its parameters have changed") {
  for (Device device : test::gpus()) {
    const Variable weight = Variable::leaf(ones({3}, Dtype::float32, device));
    const auto step = [&] { add_into(weight.value(), ones_like(weight.value())); };
    step();
    const Graph graph = Graph::capture(device, step);
    const Variable loss = sum(square(weight));
    graph.replay();
    CHECK(error_of([&] { backward(loss); }).find("add") != std::string::npos);
  }
}

TEST_CASE("a state that is loaded between two replays is the one that the next goes on from") {
  for (Device device : test::gpus()) {
    Training straight(device, false), loaded(device, false);
    std::optional<Graph> graph;
    for (uint64_t step = 1; step <= 2; ++step) {
      for (Training* training : {&straight, &loaded}) {
        training->set_inputs(step);
        training->step_on_device();
      }
    }
    graph.emplace(Graph::capture(device, [&] { loaded.step_on_device(); }));
    NamedTensors kept_state, kept;
    for (const NamedTensor& tensor : straight.optimizer().state())
      kept_state.push_back({tensor.name, clone(tensor.tensor)});
    for (const NamedTensor& tensor : parameter_tensors(straight))
      kept.push_back({tensor.name, clone(tensor.tensor)});
    const Tensor counter = clone(straight.counter());
    loaded.set_inputs(9);
    graph->replay();  // which loading undoes
    loaded.optimizer().load_state(kept_state);
    copy_by_name(parameter_tensors(loaded), kept, true, "the kept parameters");
    copy_into(loaded.counter(), counter);
    for (Training* training : {&straight, &loaded}) training->set_inputs(3);
    straight.step_on_device();
    graph->replay();
    check_same(straight, loaded);
    CHECK(error_of([&] {
            graph->capture(device, [&] { loaded.step_on_device(); });
          }).starts_with("graph: the host waits for"));  // a loaded state is read once
    loaded.set_inputs(4);
    straight.set_inputs(4);
    straight.step_on_device();
    loaded.step_on_device();
    check_same(straight, loaded);
  }
}
