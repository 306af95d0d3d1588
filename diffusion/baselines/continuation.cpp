#include "haze/diffusion/baselines/continuation.h"

#include <algorithm>
#include <map>

namespace haze {

void check_continuations(std::span<const Continuation> continuations, const TextEnd& end) {
  if (end.max_length < 1) fail("decoding: max_length {} is not positive", end.max_length);
  for (size_t i = 0; i < continuations.size(); ++i) {
    const Continuation& one = continuations[i];
    if (one.context.empty()) fail("decoding: text {} has no context, such as a start symbol", i);
    if (std::ssize(one.prompt) > end.max_length) {
      fail("decoding: the prompt of text {} has {} tokens, a text has at most {}", i, one.prompt.size(),
           end.max_length);
    }
    if (std::find(one.prompt.begin(), one.prompt.end(), end.end_id) != one.prompt.end())
      fail("decoding: the prompt of text {} holds the end token, after which nothing follows", i);
  }
}

std::vector<std::vector<size_t>> equal_length_groups(std::span<const Continuation> continuations,
                                                     const TextEnd& end, int64_t most) {
  std::map<std::pair<int64_t, int64_t>, std::vector<std::vector<size_t>>> by_length;
  for (size_t i = 0; i < continuations.size(); ++i) {
    if (end.reached(continuations[i].prompt)) continue;
    auto& groups = by_length[{continuations[i].length(), std::ssize(continuations[i].context)}];
    if (groups.empty() || std::ssize(groups.back()) >= most) groups.emplace_back();
    groups.back().push_back(i);
  }
  std::vector<std::vector<size_t>> result;
  for (const auto& [length, groups] : by_length) result.insert(result.end(), groups.begin(), groups.end());
  return result;
}

Tensor first_tokens(std::span<const Continuation> continuations, std::span<const size_t> group) {
  std::vector<int32_t> tokens;
  for (size_t i : group) {
    for (const auto* part : {&continuations[i].context, &continuations[i].prompt})
      tokens.insert(tokens.end(), part->begin(), part->end());
  }
  const int64_t length = continuations[group.front()].length();
  return Tensor::from(tokens, {std::ssize(group), length});
}

}  // namespace haze
