#include "haze/nn/parameter_groups.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "haze/engine/profile.h"

#include "nn/optimizers.h"
#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::all_bytes;
using nn_test::Element;
using nn_test::elements_of;
using nn_test::error_of;
using nn_test::kBiasElements;
using nn_test::Kind;
using nn_test::kKinds;
using nn_test::kWeightDecay;
using nn_test::kWeightElements;
using nn_test::Pair;

/// Ten blocks and a head: names as a transformer has them.
class Tower : public Module {
 public:
  Tower() {
    add_parameter("token_embedding.weight", variables_[0], zeros({2, 2}));
    for (size_t i = 1; i <= 10; ++i) {
      add_parameter("blocks." + std::to_string(i) + ".weight", variables_[i], zeros({2, 2}));
    }
    add_parameter("head.weight", variables_[11], zeros({2, 2}));
    add_parameter("head.bias", variables_[12], zeros({2}));
  }

 private:
  Variable variables_[13];
};

std::vector<std::string> names_of(const ParameterGroup& group) {
  std::vector<std::string> names;
  for (const NamedParameter& parameter : group.parameters) names.push_back(parameter.name);
  return names;
}

std::string refusal(const char* text) {
  Tower tower;
  return error_of([&] { parameter_groups(tower.parameters(), text); });
}

ParameterGroup group_of(const char* name, Variable& variable, double rate = 1,
                        std::optional<double> weight_decay = {}) {
  return {{{name, &variable}}, rate, weight_decay};
}

}  // namespace

TEST_CASE("parameter groups: a rule takes the names below its prefix, and the rest are the last group") {
  Tower tower;
  const auto groups = parameter_groups(tower.parameters(),
                                       "\n token_embedding: rate 0.1, decay 0;\n blocks.1 : decay 1e-3 ;"
                                       "head.bias: rate 2;head:frozen");
  REQUIRE(groups.size() == 5);
  CHECK(names_of(groups[0]) == std::vector<std::string>{"token_embedding.weight"});
  CHECK(groups[0].rate == 0.1);
  CHECK(groups[0].weight_decay == 0.0);
  CHECK(names_of(groups[1]) == std::vector<std::string>{"blocks.1.weight"});
  CHECK(groups[1].rate == 1);
  CHECK(groups[1].weight_decay == 1e-3);
  CHECK(names_of(groups[2]) == std::vector<std::string>{"head.bias"});
  CHECK(groups[2].rate == 2);
  CHECK_FALSE(groups[2].weight_decay);
  CHECK(names_of(groups[3]) == std::vector<std::string>{"head.weight"});
  CHECK(groups[3].rate == 0);
  CHECK(groups[4].parameters.size() == 9);
  CHECK(groups[4].parameters[8].name == "blocks.10.weight");
  CHECK(groups[4].rate == 1);
  CHECK_FALSE(groups[4].weight_decay);
}

TEST_CASE("parameter groups: an empty text is one group of all, and rules may leave no rest") {
  Tower tower;
  for (const char* text : {"", " \n"}) {
    const auto groups = parameter_groups(tower.parameters(), text);
    REQUIRE(groups.size() == 1);
    CHECK(groups[0].parameters.size() == tower.parameters().size());
    CHECK(groups[0].rate == 1);
  }
  const auto groups =
      parameter_groups(tower.parameters(), "token_embedding: frozen; blocks: rate 0; head: decay 0.5");
  CHECK(groups.size() == 3);
}

TEST_CASE("parameter groups: a text that cannot be followed is refused in a sentence") {
  CHECK(refusal("decoder: frozen") == "parameter groups: no parameter has the prefix \"decoder\"");
  CHECK(refusal("hea: frozen") == "parameter groups: no parameter has the prefix \"hea\"");
  CHECK(refusal("head: frozen; head.bias: rate 1") ==
        "parameter groups: earlier prefixes take every parameter of \"head.bias\"");
  CHECK(refusal("head: frozen; head: rate 1") == "parameter groups: the prefix \"head\" occurs twice");
  for (const char* number : {"", "x", "0.1x", "-1", "nan", "inf", "1e999", "0,1"}) {
    CAPTURE(number);
    const std::string sentence = refusal((std::string("head: rate ") + number).c_str());
    CHECK(sentence.starts_with("parameter groups: "));
  }
  CHECK(refusal("head: rate 0.1x") ==
        "parameter groups: the rate of \"head\" must be a finite number, not negative, got \"0.1x\"");
  CHECK(refusal("head: decay") ==
        "parameter groups: the decay of \"head\" must be a finite number, not negative, got \"\"");
  for (const char* setting : {"", "slow", "frozen 1", "Frozen"}) {
    CHECK(refusal((std::string("head: ") + setting).c_str()) ==
          "parameter groups: \"head\" takes \"rate NUMBER\", \"decay NUMBER\" or \"frozen\", not \"" +
              std::string(setting) + "\"");
  }
  CHECK(refusal("head: rate 1, rate 2") == "parameter groups: \"head\" has rate twice");
  CHECK(refusal("head: frozen, decay 1") ==
        "parameter groups: \"head\" is frozen, so it takes no other setting");
  CHECK(refusal("head") == "parameter groups: a rule is \"PREFIX: SETTINGS\", not \"head\"");
  CHECK(refusal(": frozen") == "parameter groups: a rule is \"PREFIX: SETTINGS\", not \": frozen\"");
  CHECK(refusal("head: frozen;") == "parameter groups: a rule is \"PREFIX: SETTINGS\", not \"\"");
  CHECK(refusal("token_embedding: frozen; blocks: frozen; head: rate 0") ==
        "parameter groups: every parameter is frozen, so nothing is left to train");
}

TEST_CASE("a group's rate and weight decay enter the formulas of the papers") {
  for (const Kind& kind : kKinds) {
    for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
      CAPTURE(kind.name);
      CAPTURE(name(dtype));
      Pair pair(dtype);
      const double own_decay = 0.3;
      const auto optimizer = kind.make_of_groups(
          {group_of("weight", pair.weight, 0.25, own_decay), group_of("bias", pair.bias, 3, own_decay)});
      std::vector<Element> expected = elements_of(pair);
      std::mt19937 random(2);
      for (int step = 1; step <= 8; ++step) {
        const double learning_rate = 0.05 / step;
        pair.draw_gradients(random);
        const std::vector<double> weight = pair.weight.gradient().to_vector<double>(),
                                  bias = pair.bias.gradient().to_vector<double>();
        for (size_t i = 0; i < weight.size(); ++i) {
          kind.by_paper(expected[i], {weight[i], 0.25 * learning_rate, own_decay});
        }
        for (size_t i = 0; i < bias.size(); ++i) {
          kind.by_paper(expected[kWeightElements + i], {bias[i], 3 * learning_rate, 0});
        }
        optimizer->step(learning_rate);
      }
      const std::vector<Element> actual = elements_of(pair);
      const double tolerance = dtype == Dtype::float32 ? 4e-6 : 1e-12;
      for (size_t i = 0; i < actual.size(); ++i) CHECK(std::abs(actual[i].x - expected[i].x) < tolerance);
    }
  }
}

TEST_CASE("one group gives the bits of the plain list of parameters") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair plain, grouped;
    const auto one = kind.make(plain.parameters());
    const auto other = kind.make_of_groups({{.parameters = grouped.parameters()}});
    std::mt19937 random(6), same_random(6);
    for (int step = 1; step <= 5; ++step) {
      plain.draw_gradients(random, step == 2);
      grouped.draw_gradients(same_random, step == 2);
      one->step(0.03, 0.9);
      other->step(0.03, 0.9);
    }
    CHECK(all_bytes(parameter_tensors(plain)) == all_bytes(parameter_tensors(grouped)));
    CHECK(all_bytes(one->state()) == all_bytes(other->state()));
  }
}

TEST_CASE("a frozen group keeps its bits, has no state and leaves the others as if it weren't there") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair pair, alone;
    const auto optimizer =
        kind.make_of_groups({group_of("weight", pair.weight, 0, 5.0), group_of("bias", pair.bias)});
    const auto without = kind.make_of_groups({group_of("bias", alone.bias)});
    const std::string before = all_bytes({{"", pair.weight.value()}});
    std::mt19937 random(3), same_random(3);
    for (int step = 1; step <= 3; ++step) {
      pair.draw_gradients(random);
      alone.draw_gradients(same_random);
      optimizer->step(0.1);
      without->step(0.1);
    }
    CHECK(all_bytes({{"", pair.weight.value()}}) == before);
    CHECK(all_bytes({{"", pair.bias.value()}}) == all_bytes({{"", alone.bias.value()}}));
    CHECK(all_bytes(optimizer->state()) == all_bytes(without->state()));
    for (const auto& [name, tensor] : optimizer->state()) CHECK(name.starts_with("bias."));
  }
}

TEST_CASE("AdamW makes one fused call for all that share a step, a rate and a weight decay") {
  const auto fused_calls = [](const char* text) {
    Tower tower;
    AdamW adamw(parameter_groups(tower.parameters(), text));
    for (const auto& [name, variable] : tower.parameters()) {
      backward(*variable, full(variable->shape(), 1));
    }
    Profile profile;
    {
      const ProfileScope scope(profile);
      adamw.step(0.1);
    }
    return std::count_if(profile.calls.begin(), profile.calls.end(),
                         [](const ProfileCall& call) { return call.operation.starts_with("adamw"); });
  };
  CHECK(fused_calls("") == 1);
  CHECK(fused_calls("head: rate 0.5") == 2);
  CHECK(fused_calls("head: rate 0.5; blocks.1: rate 0.5; blocks.2: decay 0.5") == 3);
  CHECK(fused_calls("head: frozen") == 1);
}

TEST_CASE("clip_scale leaves the gradients of frozen groups out, also where they are not finite") {
  Pair pair;
  const auto groups = [&](double weight_rate) {
    return std::vector<ParameterGroup>{group_of("weight", pair.weight, weight_rate),
                                       group_of("bias", pair.bias, 0.1)};
  };
  backward(pair.weight, full({4, 3}, 2));
  backward(pair.bias, full({3}, -4));
  double norm = 0;
  CHECK(clip_scale(groups(1), 2, &norm) == clip_scale(pair.parameters(), 2));
  CHECK(norm == doctest::Approx(std::sqrt(12 * 4 + 3 * 16)).epsilon(1e-12));
  CHECK(clip_scale(groups(0), 2, &norm) == doctest::Approx(2 / (std::sqrt(3 * 16) + 1e-6)).epsilon(1e-12));
  CHECK(norm == doctest::Approx(std::sqrt(3 * 16)).epsilon(1e-12));
  backward(pair.weight, full({4, 3}, INFINITY));
  CHECK(clip_scale(groups(0), 0) == 1);
  CHECK(error_of([&] { clip_scale(groups(1), 2); }) ==
        "the norm of the gradients is inf: the gradient of weight holds a number that is not finite");
}

TEST_CASE("optimizers refuse a parameter that occurs twice, and a group's numbers outside their range") {
  Pair pair;
  const auto refusal_of = [](const std::vector<ParameterGroup>& groups) {
    return error_of([&] { Sgd sgd(groups); });
  };
  CHECK(refusal_of({group_of("a", pair.weight), group_of("a", pair.bias)}) ==
        "the optimizer gets the parameter a twice");
  CHECK(refusal_of({group_of("a", pair.weight), group_of("b", pair.weight, 0)}) ==
        "the optimizer gets the parameter b twice");
  CHECK(refusal_of({group_of("a", pair.weight, -1)}) ==
        "the rate of a group of parameters must be finite and not negative, got -1");
  CHECK(refusal_of({group_of("a", pair.weight, NAN)}) != "");
  CHECK(refusal_of({group_of("a", pair.weight, 1, -0.5)}) ==
        "the optimizer's weight decay must be finite and not negative, got -0.5");
}

}  // namespace haze
