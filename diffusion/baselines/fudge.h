#pragma once

#include <memory>
#include <vector>

#include "haze/diffusion/baselines/language_model.h"

/// FUDGE (Yang and Klein 2021, "FUDGE: Controlled text generation with future discriminators"). By Bayes'
/// rule, a text that shall have the attribute a goes on by
///   p(w_i | w_<i, a)  ~  p(w_i | w_<i) p(a | w_1..w_i) (section 3.1)
/// The first factor is a language model's. A classifier of prefixes learns the second: whether a text that
/// begins so will have the attribute at its end.
namespace haze {

/// Texts that a classifier of prefixes reads as they grow. All of them have grown by the same number of
/// tokens.
class PrefixScorer {
 public:
  virtual ~PrefixScorer() = default;
  /// Goes on by `tokens`, int32 [texts, count]. The first call begins with the control and the end token.
  virtual void read(const Tensor& tokens) = 0;
  /// c where p(control | prefix, candidate) = sigma(c), [texts, k]: of each prefix with one of its candidates
  /// int32 [texts, k] appended.
  virtual Tensor logits(const Tensor& candidates) = 0;
  /// Text i becomes the former text entries[i], int32 [new texts].
  virtual void select(const Tensor& entries) = 0;
};

/// p(control | prefix).
class PrefixModel {
 public:
  virtual ~PrefixModel() = default;
  /// A scorer that has read nothing. The model must outlive it.
  virtual std::unique_ptr<PrefixScorer> scorer() const = 0;
};

/// Training shows the classifier each text with its own control, and as often with another's. So sigma(c) is
/// p(control | prefix) where half of the texts have the control. Bayes' rule moves log odds from one prior to
/// another by their difference: with a share `prior` of texts, p(control | prefix) = sigma(c + log(prior / (1
/// - prior))). It is exact where controls are equally frequent.
struct FudgeOptions {
  double weight = 1;           // lambda of log p(token) + lambda log p(control | prefix, token), at least 0
  double prior = 0.5;          // the share of texts that have the control, in (0, 1)
  int64_t candidates = 200;    // the most probable tokens, of which each is scored
  int32_t end_id = 0;          // follows the control
  bool reads_control = false;  // the language model reads the control, too
  std::vector<int32_t> forbidden_tokens;  // never among the candidates
};

/// A language model that a classifier steers: any way of decoding takes it. A context is the control and the
/// end token. Tokens that are no candidates have logits of -infinity.
class Fudge : public LanguageModel {
 public:
  /// Both models must outlive this one. Throws Error where an option is outside its range.
  Fudge(const LanguageModel& model, const PrefixModel& classifier, const FudgeOptions& options);

  int64_t vocabulary() const override { return model_.vocabulary(); }
  std::unique_ptr<Decoder> decoder() const override;

 private:
  const LanguageModel& model_;
  const PrefixModel& classifier_;
  FudgeOptions options_;
};

/// Where the control ends in `tokens` int32 [texts, count], which begin with a control and the end token: the
/// column of the end token, the same for all. Throws Error where a text has none there.
int64_t control_length(const Tensor& tokens, int32_t end_id);

}  // namespace haze
