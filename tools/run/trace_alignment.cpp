#include <algorithm>
#include <cstdint>

#include "haze/engine/error.h"
#include "haze/tools/run/trace.h"

namespace haze {
namespace {

// A substitution is dearer than an insertion, so that no token is lost to save one, and cheaper than a
// deletion and an insertion.
constexpr std::int64_t kInsertion = 2, kDeletion = 2, kSubstitution = 3;
constexpr std::int64_t kMaskSubstitution = 2;               // of a mask and a token
constexpr std::int64_t kGivenLost = std::int64_t{1} << 32;  // more than all else together

bool is_padding(const std::optional<std::string>& token) {
  return token && token->empty();
}

// Aligns the tokens of two texts at the least cost.
class Aligner {
 public:
  Aligner(const TraceTokens& before, const TraceTokens& now, const std::vector<bool>& fixed)
      : before_(before), now_(now), fixed_(fixed), before_end_(before.size()), now_end_(now.size()) {
    trim();
  }

  std::vector<AlignedToken> align() {
    std::vector<AlignedToken> tokens;
    for (std::size_t i = 0; i < begin_; ++i) tokens.push_back({i, i});
    append_cheapest(tokens);
    for (std::size_t i = before_end_, j = now_end_; i < before_.size();) tokens.push_back({i++, j++});
    return tokens;
  }

 private:
  bool given(std::size_t i) const { return !fixed_.empty() && fixed_[i]; }

  // Pairs equal beginnings and ends at once, so that a text that grows by a token a step takes linear time.
  // This is optimal, except that a token that is not given may not take the place of a given one.
  void trim() {
    auto given_left = std::count(fixed_.begin(), fixed_.end(), true);
    const auto may_pair = [&](std::size_t i, std::size_t j) {
      if (before_[i] != now_[j] || (!given(i) && given_left > 0)) return false;
      given_left -= given(i) ? 1 : 0;
      return true;
    };
    while (begin_ < std::min(before_end_, now_end_) && may_pair(begin_, begin_)) ++begin_;
    while (begin_ < std::min(before_end_, now_end_) && may_pair(before_end_ - 1, now_end_ - 1)) {
      --before_end_;
      --now_end_;
    }
  }

  std::int64_t deletion(std::size_t i) const { return kDeletion + (given(i) ? kGivenLost : 0); }
  std::int64_t pairing(std::size_t i, std::size_t j) const {
    if (before_[i] == now_[j]) return 0;
    const bool never = given(i) || (before_[i] && now_[j] && is_padding(before_[i]) != is_padding(now_[j]));
    if (never) return deletion(i) + kInsertion + 1;  // a deletion and an insertion cost less
    return before_[i].has_value() == now_[j].has_value() ? kSubstitution : kMaskSubstitution;
  }

  // costs[i][j] of aligning what is left of both texts from the i-th and j-th token on.
  std::vector<std::vector<std::int64_t>> least_costs() const {
    const std::size_t n = before_end_ - begin_, m = now_end_ - begin_;
    std::vector<std::vector<std::int64_t>> costs(n + 1, std::vector<std::int64_t>(m + 1));
    for (std::size_t j = m; j-- > 0;) costs[n][j] = kInsertion + costs[n][j + 1];
    for (std::size_t i = n; i-- > 0;) {
      costs[i][m] = deletion(begin_ + i) + costs[i + 1][m];
      for (std::size_t j = m; j-- > 0;) {
        costs[i][j] = std::min({pairing(begin_ + i, begin_ + j) + costs[i + 1][j + 1],
                                deletion(begin_ + i) + costs[i + 1][j], kInsertion + costs[i][j + 1]});
      }
    }
    return costs;
  }

  // Of equally cheap ways, tokens are paired as early as possible, and deleted before others are inserted.
  void append_cheapest(std::vector<AlignedToken>& tokens) const {
    const auto costs = least_costs();
    const std::size_t n = before_end_ - begin_, m = now_end_ - begin_;
    for (std::size_t i = 0, j = 0; i < n || j < m;) {
      const std::size_t from = begin_ + i, to = begin_ + j;
      if (i < n && j < m && costs[i][j] == pairing(from, to) + costs[i + 1][j + 1]) {
        tokens.push_back({from, to});
        ++i, ++j;
      } else if (i < n && costs[i][j] == deletion(from) + costs[i + 1][j]) {
        tokens.push_back({from, {}});
        ++i;
      } else {
        tokens.push_back({{}, to});
        ++j;
      }
    }
  }

  const TraceTokens& before_;
  const TraceTokens& now_;
  const std::vector<bool>& fixed_;
  std::size_t begin_ = 0, before_end_, now_end_;  // of what trim() leaves
};

std::vector<AlignedToken> align_by_position(const TraceStep* before, const TraceStep& now) {
  std::vector<AlignedToken> tokens;
  for (std::size_t i = 0; i < now.tokens.size(); ++i)
    tokens.push_back({before ? std::optional(i) : std::nullopt, i});
  return tokens;
}

TokenState state_of(const AlignedToken& token, const TraceStep* before, const TraceStep& now,
                    const std::vector<bool>& fixed) {
  if (!token.now) return TokenState::kDeleted;
  const std::optional<std::size_t> origin = before ? token.before : token.now;
  if (origin && !fixed.empty() && fixed[*origin]) return TokenState::kFixed;
  if (!now.tokens[*token.now]) return TokenState::kMasked;
  const bool same = token.before && before->tokens[*token.before] == now.tokens[*token.now];
  return same ? TokenState::kOld : TokenState::kNew;
}

std::vector<AlignedToken> align(const TraceStep* before, const TraceStep& now, const std::vector<bool>& fixed,
                                bool by_position) {
  const std::size_t length = (before ? *before : now).tokens.size();
  if (!fixed.empty() && fixed.size() != length)
    fail("a trace has {} tokens and says of {} whether they are fixed", length, fixed.size());
  std::vector<AlignedToken> tokens = !before || by_position
                                         ? align_by_position(before, now)
                                         : Aligner(before->tokens, now.tokens, fixed).align();
  for (AlignedToken& token : tokens) token.state = state_of(token, before, now, fixed);
  return tokens;
}

bool has_one_length(const Trace& trace) {
  return std::all_of(trace.steps.begin(), trace.steps.end(), [&](const TraceStep& step) {
    return step.tokens.size() == trace.steps.front().tokens.size();
  });
}

}  // namespace

std::vector<AlignedToken> align_steps(const TraceStep* before, const TraceStep& now,
                                      const std::vector<bool>& fixed) {
  return align(before, now, fixed, before && before->tokens.size() == now.tokens.size());
}

std::vector<std::vector<AlignedToken>> align_trace(const Trace& trace) {
  const bool by_position = has_one_length(trace);
  std::vector<std::vector<AlignedToken>> alignments;
  std::vector<bool> fixed = trace.fixed;
  const TraceStep* before = nullptr;
  for (const TraceStep& step : trace.steps) {
    alignments.push_back(align(before, step, fixed, by_position));
    fixed.clear();
    for (const AlignedToken& token : alignments.back()) {
      if (token.now) fixed.push_back(token.state == TokenState::kFixed);
    }
    before = &step;
  }
  return alignments;
}

}  // namespace haze
