#include "haze/nn/weight_rules.h"

#include <filesystem>

#include <doctest/doctest.h>

#include "haze/nn/heads.h"
#include "haze/nn/safetensors.h"
#include "haze/nn/token_transformer.h"

#include "nn/networks.h"

namespace haze {
namespace {

using nn_test::largest_difference;
using nn_test::values;
using testing::error_of;

using Action = WeightRule::Action;

const std::filesystem::path kData = HAZE_TEST_DATA;

Tensor floats(std::initializer_list<float> elements, const Shape& shape) {
  return Tensor::from<float>(elements, shape);
}

/// A transformer and a tied head, as GPT-2 and BERT have them.
struct LanguageModel : Module {
  LanguageModel(const TransformerConfig& config, int64_t token_types, const TokenHeadOptions& head_options)
      : LanguageModel(config, token_types, head_options, Generator(1)) {}

  TokenTransformer transformer;
  TokenHead head;

 private:
  LanguageModel(const TransformerConfig& config, int64_t token_types, const TokenHeadOptions& head_options,
                Generator generator)
      : transformer(40, config, generator, token_types),
        head(transformer.token_embedding(), 40, generator, head_options) {
    add_module("transformer", transformer);
    add_module("head", head);
  }
};

TransformerConfig tiny() {
  TransformerConfig config;
  config.hidden = 32;
  config.layers = 2;
  config.heads = 4;
  config.max_length = 16;
  return config;
}

std::unique_ptr<LanguageModel> tiny_gpt2() {
  TransformerConfig config = tiny();
  config.causal = true;
  return std::make_unique<LanguageModel>(config, 0, TokenHeadOptions{.bias = false});
}

std::unique_ptr<LanguageModel> tiny_bert() {
  TransformerConfig config = tiny();
  config.mlp_ratio = 2;
  config.norm = NormPlacement::post;
  return std::make_unique<LanguageModel>(config, 2, TokenHeadOptions{.transform = Activation::gelu});
}

NamedTensors tensors_of(const char* file) {
  return read_safetensors(kData / file).tensors;
}

/// Hidden states and logits that the transformers library computed (make_golden_transformers.py).
void check_outputs(const LanguageModel& model, const char* file) {
  const SafetensorsContents golden = read_safetensors(kData / file);
  const bool typed = golden.tensors.size() == 5;
  const std::vector<int32_t> counts = golden.at("lengths").to_vector<int32_t>();
  const std::vector<int64_t> lengths(counts.begin(), counts.end());
  const Variable hidden =
      model.transformer.forward(golden.at("input_ids"), Sequences::of_lengths(lengths), {}, {}, {},
                                typed ? golden.at("token_type_ids") : Tensor());
  CHECK(largest_difference(values(hidden), values(golden.at("hidden"))) < 1e-5);
  CHECK(largest_difference(values(model.head.logits(hidden)), values(golden.at("logits"))) < 1e-5);
}

}  // namespace

TEST_CASE("weight rules: GPT-2's weights give the hidden states and logits of the transformers library") {
  const auto model = tiny_gpt2();
  const NamedTensors theirs = replace_in_names(tensors_of("tiny_gpt2.safetensors"), "transformer.", "");
  copy_by_name(parameter_tensors(*model), apply_weight_rules(gpt2_rules(), theirs, "tiny_gpt2"), true,
               "tiny_gpt2");
  check_outputs(*model, "tiny_gpt2_outputs.safetensors");
}

TEST_CASE("weight rules: BERT's weights give the hidden states and logits of the transformers library") {
  const auto model = tiny_bert();
  const NamedTensors theirs = replace_in_names(tensors_of("tiny_bert.safetensors"), "bert.", "");
  copy_by_name(parameter_tensors(*model), apply_weight_rules(bert_masked_lm_rules(), theirs, "tiny_bert"),
               true, "tiny_bert");
  check_outputs(*model, "tiny_bert_outputs.safetensors");
}

TEST_CASE("weight rules: rename, transpose, concatenate, split, same and drop, for every layer there is") {
  const NamedTensors sources{
      {"h.0.w", floats({1, 2, 3, 4, 5, 6}, {2, 3})},
      {"h.11.w", floats({6, 5, 4, 3, 2, 1}, {2, 3})},
      {"h.0.q", floats({1, 2}, {2})},
      {"h.11.q", floats({3, 4}, {2})},
      {"h.0.k", floats({5, 6}, {2})},
      {"h.11.k", floats({7, 8}, {2})},
      {"pair", floats({1, 2, 3, 4}, {4})},
      {"plain", floats({9}, {1})},
      {"again", floats({9}, {1})},
      {"mask", floats({0}, {1})},
  };
  const std::vector<WeightRule> rules{
      {Action::transpose, {"h.{}.w"}, {"block.{}.weight"}},
      {Action::concatenate, {"h.{}.q", "h.{}.k"}, {"block.{}.qk"}},
      {Action::split, {"pair"}, {"left", "right"}},
      {Action::rename, {"plain"}, {"simple"}},
      {Action::same, {"again"}, {"simple"}},
      {Action::same, {"absent"}, {"simple"}},
      {Action::drop, {"mask"}, {}},
      {Action::drop, {"h.{}.mask"}, {}},
  };
  const NamedTensors ours = apply_weight_rules(rules, sources, "file");
  std::vector<std::string> names;
  std::vector<std::vector<double>> elements;
  for (const NamedTensor& tensor : ours) {
    names.push_back(tensor.name);
    elements.push_back(tensor.tensor.to_vector<double>());
  }
  CHECK(names == std::vector<std::string>{"block.0.weight", "block.11.weight", "block.0.qk", "block.11.qk",
                                          "left", "right", "simple"});
  CHECK(elements ==
        std::vector<std::vector<double>>{
            {1, 4, 2, 5, 3, 6}, {6, 3, 5, 2, 4, 1}, {1, 2, 5, 6}, {3, 4, 7, 8}, {1, 2}, {3, 4}, {9}});
  CHECK(ours[0].tensor.shape() == Shape{3, 2});
}

TEST_CASE("weight rules: everything that does not fit is in one sentence") {
  const std::vector<WeightRule> rules{
      {Action::rename, {"a.{}.weight"}, {"b.{}.weight"}},
      {Action::transpose, {"m"}, {"n"}},
      {Action::concatenate, {"a.{}.q", "a.{}.k"}, {"b.{}.qk"}},
      {Action::split, {"s"}, {"s.0", "s.1"}},
      {Action::rename, {"t"}, {"u"}},
      {Action::same, {"tied"}, {"u"}},
  };
  const auto error = [&](const NamedTensors& sources) {
    return error_of([&] { apply_weight_rules(rules, sources, "model.safetensors"); });
  };
  const Tensor two = floats({1, 2}, {2}), matrix = floats({1, 2}, {1, 2});
  const NamedTensors whole{{"a.3.weight", two}, {"m", matrix}, {"a.3.q", two},      {"a.3.k", two},
                           {"s", two},          {"t", two},    {"tied", clone(two)}};
  CHECK(error(whole).empty());
  CHECK(error({}) == "model.safetensors does not fit: it lacks m, s, t");
  NamedTensors damaged = whole;
  damaged[0].name = "a.x.weight";
  damaged[1].tensor = two;
  damaged[3].tensor = matrix;
  damaged[4].tensor = floats({1, 2, 3}, {3});
  damaged[6].tensor = floats({1, 3}, {2});
  CHECK(error(damaged) ==
        "model.safetensors does not fit: it lacks a.3.weight; no rule takes its a.x.weight; it has other "
        "shapes or types of m, a.3.k, s; these are not the tied weights they should be: tied (u)");
}

TEST_CASE("weight rules: a head that is not tied to GPT-2's embedding is refused, one that is equal is not") {
  NamedTensors theirs = replace_in_names(tensors_of("tiny_gpt2.safetensors"), "transformer.", "");
  const auto embedding = std::find_if(theirs.begin(), theirs.end(),
                                      [](const NamedTensor& tensor) { return tensor.name == "wte.weight"; });
  REQUIRE(embedding != theirs.end());
  theirs.push_back({"lm_head.weight", clone(embedding->tensor)});
  CHECK_NOTHROW(apply_weight_rules(gpt2_rules(), theirs, "gpt2"));
  fill(slice(theirs.back().tensor, 0, 0, 1), 0);
  CHECK(error_of([&] { apply_weight_rules(gpt2_rules(), theirs, "gpt2"); }) ==
        "gpt2 does not fit: these are not the tied weights they should be: lm_head.weight "
        "(transformer.token_embedding.weight)");
}

TEST_CASE("weight rules: older names are brought up to date by replacing part of each") {
  const NamedTensors renamed =
      replace_in_names({{"bert.a.LayerNorm.gamma", ones({1})}, {"b.LayerNorm.beta", ones({1})}},
                       "LayerNorm.gamma", "LayerNorm.weight");
  CHECK(renamed[0].name == "bert.a.LayerNorm.weight");
  CHECK(renamed[1].name == "b.LayerNorm.beta");
}

}  // namespace haze
