#include "haze/nn/weight_rules.h"

#include <cstring>
#include <map>
#include <optional>
#include <set>

#include <fmt/ranges.h>

namespace haze {
namespace {

using Action = WeightRule::Action;

constexpr std::string_view kLayer = "{}";

// The number that stands in `name` for {} of `pattern`.
std::optional<int64_t> layer_of(std::string_view name, std::string_view pattern) {
  const size_t at = pattern.find(kLayer);
  if (at == std::string_view::npos) return {};
  const std::string_view before = pattern.substr(0, at), after = pattern.substr(at + kLayer.size());
  if (name.size() <= before.size() + after.size() || !name.starts_with(before) || !name.ends_with(after))
    return {};
  const std::string_view digits = name.substr(at, name.size() - before.size() - after.size());
  constexpr size_t kMostDigits = 9;
  if (digits.size() > kMostDigits || digits.find_first_not_of("0123456789") != std::string_view::npos)
    return {};
  return std::stoll(std::string(digits));
}

std::string with_layer(std::string pattern, int64_t layer) {
  const size_t at = pattern.find(kLayer);
  return at == std::string::npos ? pattern : pattern.replace(at, kLayer.size(), std::to_string(layer));
}

std::set<int64_t> layers_of(const std::vector<WeightRule>& rules, const NamedTensors& sources) {
  std::set<int64_t> layers;
  for (const WeightRule& rule : rules) {
    for (const std::string& pattern : rule.from) {
      for (const NamedTensor& source : sources) {
        if (const auto layer = layer_of(source.name, pattern)) layers.insert(*layer);
      }
    }
  }
  return layers;
}

bool same_elements(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype()) return false;
  const Tensor x = contiguous(a), y = contiguous(b);
  return std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.elements()) * size_of(x.dtype())) == 0;
}

// Applies rules one by one and gathers what is wrong.
class Conversion {
 public:
  explicit Conversion(const NamedTensors& sources) {
    for (const NamedTensor& source : sources) sources_.emplace(source.name, source.tensor);
  }

  void apply(const WeightRule& rule, int64_t layer) {
    const std::vector<Tensor> tensors = take(rule, layer);
    if (tensors.size() != rule.from.size()) return;
    std::vector<std::string> names;
    for (const std::string& pattern : rule.to) names.push_back(with_layer(pattern, layer));
    switch (rule.action) {
      case Action::rename:
        return give(names.at(0), tensors.at(0));
      case Action::transpose:
        if (tensors.at(0).rank() != 2) return misfits_.push_back(with_layer(rule.from[0], layer));
        return give(names.at(0), transpose(tensors[0]));
      case Action::concatenate:
        return join(rule, layer, tensors, names.at(0));
      case Action::split:
        return cut(rule, layer, tensors.at(0), names);
      case Action::same:
        return ties_.push_back({with_layer(rule.from.at(0), layer), names.at(0)});
      case Action::drop:
        return;
    }
  }

  NamedTensors finish(std::string_view source_name) {
    std::vector<std::string> leftover, differing;
    for (const auto& [name, tensor] : sources_) {
      if (!taken_.contains(name)) leftover.push_back(name);
    }
    for (const auto& [name, target] : ties_) {
      const auto ours = places_.find(target);
      if (ours == places_.end() || !same_elements(sources_.at(name), result_[ours->second].tensor))
        differing.push_back(fmt::format("{} ({})", name, target));
    }
    std::vector<std::string> complaints;
    const auto complain = [&](const char* what, const std::vector<std::string>& names) {
      if (!names.empty()) complaints.push_back(what + name_list(names));
    };
    complain("it lacks ", missing_);
    complain("no rule takes its ", leftover);
    complain("it has other shapes or types of ", misfits_);
    complain("these are not the tied weights they should be: ", differing);
    if (!complaints.empty()) fail("{} does not fit: {}", source_name, fmt::join(complaints, "; "));
    return std::move(result_);
  }

 private:
  // The tensors that a rule reads; fewer where some are missing.
  std::vector<Tensor> take(const WeightRule& rule, int64_t layer) {
    const bool optional = rule.action == Action::drop || rule.action == Action::same;
    std::vector<Tensor> tensors;
    for (const std::string& pattern : rule.from) {
      const std::string name = with_layer(pattern, layer);
      const auto found = sources_.find(name);
      if (found != sources_.end()) {
        tensors.push_back(found->second);
        taken_.insert(name);
      } else if (!optional) {
        missing_.push_back(name);
      }
    }
    return tensors;
  }

  void give(const std::string& name, const Tensor& tensor) {
    if (!places_.emplace(name, result_.size()).second) fail("weight rules: two rules give {}", name);
    result_.push_back({name, tensor});
  }

  void join(const WeightRule& rule, int64_t layer, const std::vector<Tensor>& tensors,
            const std::string& name) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      const bool fits = tensors[i].dtype() == tensors[0].dtype() && tensors[i].rank() > 0 &&
                        tensors[i].shape() == tensors[0].shape();
      if (!fits) return misfits_.push_back(with_layer(rule.from[i], layer));
    }
    give(name, concat(tensors, 0));
  }

  void cut(const WeightRule& rule, int64_t layer, const Tensor& tensor,
           const std::vector<std::string>& names) {
    const auto parts = static_cast<int64_t>(names.size());
    if (tensor.rank() == 0 || tensor.size(0) % parts != 0)
      return misfits_.push_back(with_layer(rule.from[0], layer));
    const int64_t size = tensor.size(0) / parts;
    for (int64_t i = 0; i < parts; ++i)
      give(names[static_cast<size_t>(i)], slice(tensor, 0, i * size, (i + 1) * size));
  }

  struct Tie {
    std::string name, target;
  };
  std::map<std::string, Tensor> sources_;
  std::set<std::string> taken_;
  NamedTensors result_;
  std::map<std::string, size_t> places_;  // of our names in the result
  std::vector<Tie> ties_;
  std::vector<std::string> missing_, misfits_;
};

// Rules for tables of names, with what is the same for all of them written once.
class RuleTable {
 public:
  explicit RuleTable(std::string_view to_prefix) : to_prefix_(to_prefix) {}

  void add(Action action, const std::string& from, const std::string& to) {
    rules_.push_back({action, {from}, {to_prefix_ + to}});
  }
  // The weight and the bias of a layer.
  void add_layer(const std::string& from, const std::string& to, Action of_weight = Action::rename) {
    add(of_weight, from + ".weight", to + ".weight");
    add(Action::rename, from + ".bias", to + ".bias");
  }
  void drop(const std::string& from) { rules_.push_back({Action::drop, {from}, {}}); }
  void add_rule(WeightRule rule) { rules_.push_back(std::move(rule)); }

  std::vector<WeightRule> rules() && { return std::move(rules_); }

 private:
  std::string to_prefix_;
  std::vector<WeightRule> rules_;
};

}  // namespace

NamedTensors apply_weight_rules(const std::vector<WeightRule>& rules, const NamedTensors& sources,
                                std::string_view source_name) {
  const std::set<int64_t> layers = layers_of(rules, sources);
  Conversion conversion(sources);
  for (const WeightRule& rule : rules) {
    const bool numbered = rule.from.at(0).find(kLayer) != std::string::npos;
    for (const int64_t layer : numbered ? layers : std::set<int64_t>{0}) conversion.apply(rule, layer);
  }
  return conversion.finish(source_name);
}

NamedTensors replace_in_names(NamedTensors tensors, std::string_view from, std::string_view to) {
  for (NamedTensor& tensor : tensors) {
    const size_t at = tensor.name.find(from);
    if (at != std::string::npos) tensor.name.replace(at, from.size(), to);
  }
  return tensors;
}

std::vector<WeightRule> gpt2_rules(std::string_view transformer) {
  RuleTable table(transformer);
  table.add(Action::rename, "wte.weight", "token_embedding.weight");
  table.add(Action::rename, "wpe.weight", "position_embedding.weight");
  // Its Conv1D holds matrices as [in, out], and c_attn query, key and value one after another.
  const std::string theirs = "h.{}.", ours = "blocks.{}.";
  table.add_layer(theirs + "ln_1", ours + "norm1");
  table.add_layer(theirs + "attn.c_attn", ours + "attention.qkv", Action::transpose);
  table.add_layer(theirs + "attn.c_proj", ours + "attention.output", Action::transpose);
  table.add_layer(theirs + "ln_2", ours + "norm2");
  table.add_layer(theirs + "mlp.c_fc", ours + "mlp.up", Action::transpose);
  table.add_layer(theirs + "mlp.c_proj", ours + "mlp.down", Action::transpose);
  table.add_layer("ln_f", "final_norm");
  table.drop(theirs + "attn.bias");  // the causal mask, and the score that it gives to what is hidden
  table.drop(theirs + "attn.masked_bias");
  table.add(Action::same, "lm_head.weight", "token_embedding.weight");
  return std::move(table).rules();
}

std::vector<WeightRule> bert_rules(std::string_view transformer) {
  RuleTable table(transformer);
  table.add(Action::rename, "embeddings.word_embeddings.weight", "token_embedding.weight");
  table.add(Action::rename, "embeddings.token_type_embeddings.weight", "type_embedding.weight");
  table.add(Action::rename, "embeddings.position_embeddings.weight", "position_embedding.weight");
  table.add_layer("embeddings.LayerNorm", "embedding_norm");
  const std::string theirs = "encoder.layer.{}.", ours = "blocks.{}.", self = theirs + "attention.self.";
  for (const char* const part : {".weight", ".bias"}) {
    table.add_rule({Action::concatenate,
                    {self + "query" + part, self + "key" + part, self + "value" + part},
                    {std::string(transformer) + ours + "attention.qkv" + part}});
  }
  table.add_layer(theirs + "attention.output.dense", ours + "attention.output");
  table.add_layer(theirs + "attention.output.LayerNorm", ours + "norm1");
  table.add_layer(theirs + "intermediate.dense", ours + "mlp.up");
  table.add_layer(theirs + "output.dense", ours + "mlp.down");
  table.add_layer(theirs + "output.LayerNorm", ours + "norm2");
  for (const char* const name : {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias",
                                 "cls.seq_relationship.weight", "cls.seq_relationship.bias"}) {
    table.drop(name);
  }
  return std::move(table).rules();
}

std::vector<WeightRule> bert_masked_lm_rules(std::string_view transformer, std::string_view head) {
  RuleTable table(head);
  table.add(Action::rename, "cls.predictions.bias", "bias");
  table.add_layer("cls.predictions.transform.dense", "transform");
  table.add_layer("cls.predictions.transform.LayerNorm", "transform_norm");
  table.add(Action::same, "cls.predictions.decoder.bias", "bias");
  table.add_rule({Action::same,
                  {"cls.predictions.decoder.weight"},
                  {std::string(transformer) + "token_embedding.weight"}});
  std::vector<WeightRule> rules = bert_rules(transformer);
  for (WeightRule& rule : std::move(table).rules()) rules.push_back(std::move(rule));
  return rules;
}

}  // namespace haze
