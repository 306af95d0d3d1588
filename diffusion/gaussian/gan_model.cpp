#include "haze/diffusion/gaussian/flat_examples.h"
#include "haze/diffusion/gaussian/gan.h"
#include "haze/diffusion/gaussian/gaussian_denoiser.h"
#include "haze/diffusion/gaussian/wgan_gp.h"
#include "haze/nn/feed_forward.h"

namespace haze {
namespace {

enum ObjectiveIndex : size_t { kDiscriminator, kGenerator };

struct GanNoise : Prepared {
  Tensor z;        // [n, latent]
  Tensor epsilon;  // [n], in [0, 1): where between real and fake the gradient is penalised
};

class Gan : public Model, private Sampler {
 public:
  Gan(const Settings& settings, const DataFacts& facts, Generator& generator)
      : examples_("gan", facts),
        latent_(settings.integer("gan.latent")),
        wasserstein_(settings.text("gan.loss") == "wgan-gp"),
        penalty_weight_(settings.real("gan.penalty")),
        discriminator_steps_(settings.integer("gan.discriminator_steps")),
        generator_(feed_forward_widths(latent_, settings.integer("gan.layers"),
                                       settings.integer("gan.hidden"), examples_.width()),
                   HiddenActivation::relu, generator),
        discriminator_(feed_forward_widths(examples_.width(), settings.integer("gan.layers"),
                                           settings.integer("gan.hidden"), 1),
                       HiddenActivation::leaky_relu, generator) {
    if (discriminator_steps_ == 0) fail("gan: gan.discriminator_steps has not been resolved");
    add_module("generator", generator_);
    add_module("discriminator", discriminator_);
  }

  std::vector<Objective> objectives() override {
    return {{"discriminator", parameters_below("discriminator."), 1},
            {"generator", parameters_below("generator."), discriminator_steps_}};
  }

  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    const Tensor x = examples_.rows_of(batch);
    auto noise = std::make_shared<GanNoise>();
    noise->z = normal({x.size(0), latent_}, generator, 0, 1, x.dtype(), x.device());
    if (wasserstein_) noise->epsilon = uniform({x.size(0)}, generator, 0, 1, x.dtype(), x.device());
    batch.prepared = std::move(noise);
    return batch;
  }

  Loss loss(const Batch& batch, size_t objective, const ForwardContext&) const override {
    const auto* noise = dynamic_cast<const GanNoise*>(batch.prepared.get());
    if (!noise) fail("gan: the batch has not been prepared");
    if (objective == kGenerator) return generator_loss(*noise);
    const Tensor real = examples_.rows_of(batch);
    const Tensor fake = constant_fake(noise->z);
    return wasserstein_ ? critic_loss(real, fake, noise->epsilon) : probability_loss(real, fake);
  }

  const Sampler* sampler() const override { return this; }

 private:
  Loss generator_loss(const GanNoise& noise) const {
    // The discriminator's own gradients would be dropped: they are not computed.
    const Variable scores = flat(discriminator_.forward_frozen(generated(noise.z)));
    return {.total = wasserstein_ ? critic_generator_loss(scores) : non_saturating_generator_loss(scores),
            .log = {},
            .inputs = {{"z", noise.z}}};
  }

  // Goodfellow et al., Algorithm 1.
  Loss probability_loss(const Tensor& real, const Tensor& fake) const {
    const Variable real_logits = score(real), fake_logits = score(fake);
    return {.total = discriminator_loss(real_logits, fake_logits),
            .log = {{"probability_of_real", mean(sigmoid(real_logits)).value()},
                    {"probability_of_fake", mean(sigmoid(fake_logits)).value()}},
            .inputs = {{"real", real}, {"fake", fake}}};
  }

  // Gulrajani et al., Algorithm 1, lines 4 to 8.
  Loss critic_loss(const Tensor& real, const Tensor& fake, const Tensor& epsilon) const {
    const Variable real_values = score(real), fake_values = score(fake);
    const Variable difference = critic_difference(real_values, fake_values);
    const auto [penalty, mean_norm] =
        gradient_penalty([this](const Variable& x) { return score(x); }, interpolates(real, fake, epsilon));
    return {.total = penalty_weight_ * penalty - difference,
            .log = {{"critic_of_real", mean(real_values).value()},
                    {"critic_of_fake", mean(fake_values).value()},
                    {"critic_difference", difference.value()},
                    {"penalty", penalty.value()},
                    {"critic_slope", mean_norm}},
            .inputs = {{"real", real}, {"fake", fake}, {"epsilon", epsilon}}};
  }

  // [n, latent] -> [n, width].
  Variable generated(const Tensor& z) const {
    const Variable x = generator_.forward(z);
    return examples_.levels() > 0 ? tanh(x) : x;
  }

  // The same, of a generator that does not learn: no tape is written.
  Tensor constant_fake(const Tensor& z) const {
    const NoGradient scope;
    return generated(z).value();
  }

  // [n, width] -> [n].
  Variable score(const Variable& x) const { return flat(discriminator_.forward(x)); }

  // [n, 1] -> [n].
  static Variable flat(const Variable& column) { return reshape(column, {column.size(0)}); }

  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override {
    const int64_t count = std::ssize(requests);
    const Tensor rows =
        constant_fake(example_noise(count, generator, device())({count, latent_}, Dtype::float32));
    return examples_.samples_of(rows, options.observer);
  }

  std::vector<NamedParameter> parameters_below(const std::string& prefix) {
    std::vector<NamedParameter> own = parameters();
    std::erase_if(own, [&](const NamedParameter& parameter) { return !parameter.name.starts_with(prefix); });
    return own;
  }

  FlatExamples examples_;
  int64_t latent_;
  bool wasserstein_;
  double penalty_weight_;
  int64_t discriminator_steps_;
  FeedForward generator_, discriminator_;
};

void resolve(Settings& settings) {
  const bool wasserstein = settings.text("gan.loss") == "wgan-gp";
  if (settings.integer("gan.discriminator_steps") == 0)
    settings.set("gan.discriminator_steps", int64_t{wasserstein ? 5 : 1});
}

}  // namespace

ModelInfo gan_model() {
  ModelInfo info;
  info.name = "gan";
  info.paper = "Goodfellow et al. 2014, Generative adversarial nets";
  info.tasks = {"tensors"};
  info.settings = {
      choice_setting("gan.loss", "non-saturating", {"non-saturating", "wgan-gp"},
                     "that of section 3 of the paper, or Gulrajani et al. 2017, Algorithm 1"),
      integer_setting("gan.latent", 2, between(1, 65536), "numbers of z"),
      integer_setting("gan.layers", 3, between(1, 1000), "hidden layers of each network"),
      integer_setting("gan.hidden", 128, between(1, 65536), "width of a hidden layer"),
      integer_setting("gan.discriminator_steps", 0, between(0, 1000000),
                      "of the discriminator before one of the generator; 0: 1, and 5 for wgan-gp"),
      only_with(real_setting("gan.penalty", 10.0, at_least(0), "lambda, weight of the gradient penalty"),
                "gan.loss", {"wgan-gp"}),
  };
  info.resolve = resolve;
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<Gan>(settings, facts, generator);
  };
  return info;
}

}  // namespace haze
