#pragma once

#include <memory>
#include <vector>

#include "haze/diffusion/baselines/language_model.h"
#include "haze/diffusion/batch.h"

/// PPLM (Dathathri et al. 2020, "Plug and play language models"). The keys and values that a language model
/// keeps of a text are H. Before each token they move to where the text is likelier to have an attribute a:
///   dH <- dH - step g / |g|^gamma,   g = d(loss) / d(dH)   for a few iterations    (section 3.2, equation 3)
///   loss = -log p(a | H + dH) + weight KL(p' | p)                                  (section 3.3)
/// p' is the next token's distribution after H + dH. The token is then drawn from p'^s p^(1 - s),
/// renormalised.
namespace haze {

/// p(control | mean of a text's hidden states).
class HiddenAttribute {
 public:
  virtual ~HiddenAttribute() = default;
  /// Its result for each control, [controls, m].
  virtual Tensor read_controls(const TextBatch& controls) const = 0;
  /// c with p(control | mean) = sigma(c), [texts], of `mean` [texts, hidden] and of read_controls(), [texts,
  /// m]. Gradients flow to the mean.
  virtual Variable logits(const Variable& mean, const Variable& controls) const = 0;
};

/// Defaults are those of the paper's program.
struct PplmOptions {
  int64_t iterations = 3;   // gradient steps before each token; 0: the language model alone
  double step_size = 0.02;  // at least 0
  double gamma = 1.5;       // a gradient is divided by its norm to this power
  double kl_weight = 0.01;  // at least 0
  double fusion = 0.9;      // s in [0, 1]: the changed distribution's share
  int64_t window = 0;       // only the last rows change; 0: all
  int32_t end_id = 0;       // follows the control
};

/// The inputs of the gradient steps before a token.
struct PplmState {
  std::vector<PastRows> past;      // of the rows before the last, as earlier steps have left them
  std::vector<PastRows> original;  // of all rows, as the language model has them
  Tensor last;                     // int32 [texts]: the last row's token
  Tensor hidden_sum;               // [texts, hidden]: of the language model's own states before the last
  Tensor log_p;                    // [texts, vocabulary]: of the next token, as the language model has it
  Tensor controls;                 // of HiddenAttribute::read_controls()
};

/// The past after options.iterations steps. As in the paper's program, p(a) reads the mean of all hidden
/// states and of one more: the state after the token that is expected next, sum_v p'(v) EMB(v), behind the
/// unchanged rows. That state alone passes the gradient on, so that only a change of p' can raise p(a). Norms
/// are taken for each text and layer, over keys and values together.
std::vector<PastRows> perturbed_past(const CausalTransformer& network, const HiddenAttribute& attribute,
                                     const PplmState& state, const PplmOptions& options);

/// A language model whose past is moved towards a control: any way of decoding takes it. A context is the
/// control and the end token, of which the network reads the end token alone. A text's first token without a
/// prompt has no past: it is the language model's own.
class Pplm : public LanguageModel {
 public:
  /// Network and attribute must outlive this model. Throws Error where an option is outside its range.
  Pplm(const CausalTransformer& network, const HiddenAttribute& attribute, const PplmOptions& options);

  int64_t vocabulary() const override { return network_.vocabulary(); }
  std::unique_ptr<Decoder> decoder() const override;

 private:
  const CausalTransformer& network_;
  const HiddenAttribute& attribute_;
  PplmOptions options_;
};

}  // namespace haze
