#include "haze/diffusion/baselines/fudge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/diffusion/baselines/control_pairs.h"
#include "haze/diffusion/token_filter.h"

namespace haze {
namespace {

class FudgeDecoder : public Decoder {
 public:
  FudgeDecoder(const LanguageModel& model, const PrefixModel& classifier, const FudgeOptions& options)
      : options_(options), model_(model.decoder()), classifier_(classifier.scorer()) {}

  Tensor read(const Tensor& tokens) override {
    const NoGradient scope;
    classifier_->read(tokens);
    return steered(model_->read(seen_by_model(tokens)));
  }

  void select(const Tensor& entries) override {
    model_->select(entries);
    classifier_->select(entries);
  }

 private:
  Tensor seen_by_model(const Tensor& tokens) {
    const bool first = !std::exchange(has_read_, true);
    if (!first || options_.reads_control) return tokens;
    return contiguous(slice(tokens, 1, control_length(tokens, options_.end_id), tokens.size(1)));
  }

  // log p(token | prefix) + lambda log p(control | prefix, token), up to a constant a row.
  Tensor steered(const Tensor& logits) {
    const Tensor allowed = filtered_logits(logits, {.forbidden = options_.forbidden_tokens});
    const auto [log_p, candidates] = top_k(allowed, std::min(options_.candidates, logits.size(1)));
    Tensor scores = log_p;
    if (options_.weight > 0) {
      const Tensor c = cast(to(classifier_->logits(candidates), log_p.device()), log_p.dtype());
      scores = add(log_p, scale_shift(log_sigmoid(scale_shift(c, 1, prior_log_odds())), options_.weight, 0));
    }
    const Tensor none = full_like(logits, -std::numeric_limits<double>::infinity());
    return scatter(none, 1, candidates, scores);
  }

  double prior_log_odds() const { return std::log(options_.prior / (1 - options_.prior)); }

  FudgeOptions options_;
  std::unique_ptr<Decoder> model_;
  std::unique_ptr<PrefixScorer> classifier_;
  bool has_read_ = false;
};

}  // namespace

int64_t control_length(const Tensor& tokens, int32_t end_id) {
  const std::vector<int32_t> ids = tokens.to_vector<int32_t>();
  const auto columns = static_cast<std::ptrdiff_t>(tokens.size(1));
  const auto column = std::find(ids.begin(), ids.begin() + columns, end_id) - ids.begin();
  for (std::ptrdiff_t row = 0; row < std::ssize(ids) / columns; ++row) {
    const auto begin = ids.begin() + row * columns;
    if (std::find(begin, begin + columns, end_id) - begin != column || column == columns)
      fail("control: text {} does not begin with a control of {} tokens and the end token", row, column);
  }
  return column;
}

Fudge::Fudge(const LanguageModel& model, const PrefixModel& classifier, const FudgeOptions& options)
    : model_(model), classifier_(classifier), options_(options) {
  if (!(options.weight >= 0)) fail("fudge: the weight {} is negative", options.weight);
  if (!(options.prior > 0 && options.prior < 1))
    fail("fudge: a share of {} texts that have the control is not in (0, 1)", options.prior);
  if (options.candidates < 1) fail("fudge: {} candidates are not enough, one is needed", options.candidates);
}

std::unique_ptr<Decoder> Fudge::decoder() const {
  return std::make_unique<FudgeDecoder>(model_, classifier_, options_);
}

}  // namespace haze
