#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "haze/nn/named_tensors.h"

namespace haze {

/// How tensors of another program's file become ours. In names, {} stands for the number of a layer, and the
/// rule holds for every layer that the file has.
struct WeightRule {
  enum class Action {
    rename,       // one tensor, as it is
    transpose,    // one matrix, with its axes exchanged
    concatenate,  // several, one after another on the first axis
    split,        // one, cut into equal parts on the first axis
    same,         // one that may be missing, and otherwise equals our tensor `to`: tied weights
    drop,         // one that may be missing, and that no parameter of ours is made of
  };
  Action action;
  std::vector<std::string> from;  // names in the file
  std::vector<std::string> to;    // names of ours
};

/// Our tensors, in the order of the rules; those that are not concatenated share the storage of `sources`.
/// Throws one Error that begins with `source_name` and lists everything that does not fit. That is missing
/// names, names that no rule takes, shapes that a rule cannot use, and tied weights that differ.
NamedTensors apply_weight_rules(const std::vector<WeightRule>& rules, const NamedTensors& sources,
                                std::string_view source_name);

/// The tensors with the first occurrence of `from` in each name replaced by `to`. It takes off a prefix that
/// only some files have, or brings older names up to date.
NamedTensors replace_in_names(NamedTensors tensors, std::string_view from, std::string_view to);

/// GPT-2 as the transformers library saves it (names without the prefix "transformer."): to a
/// TokenTransformer named `transformer`, whose head is tied to it and has no bias. The network is causal, pre
/// with learned positions.
std::vector<WeightRule> gpt2_rules(std::string_view transformer = "transformer.");

/// BERT as the transformers library saves it (names without the prefix "bert."): to a TokenTransformer of two
/// token types named `transformer`. The network is post with learned positions. The pooler and the head of
/// next-sentence prediction are dropped.
std::vector<WeightRule> bert_rules(std::string_view transformer = "transformer.");

/// bert_rules(), and those of the masked-LM head: to a TokenHead named `head` that is tied, with a bias and
/// transform gelu.
std::vector<WeightRule> bert_masked_lm_rules(std::string_view transformer = "transformer.",
                                             std::string_view head = "head.");

}  // namespace haze
