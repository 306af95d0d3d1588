#include <cmath>

#include "haze/diffusion/gaussian/discretized_gaussian.h"
#include "haze/diffusion/gaussian/flat_examples.h"
#include "haze/diffusion/gaussian/gaussian_denoiser.h"
#include "haze/diffusion/gaussian/vae.h"
#include "haze/nn/feed_forward.h"

namespace haze {
namespace {

struct LatentNoise : Prepared {
  explicit LatentNoise(Tensor noise) : epsilon(std::move(noise)) {}
  Tensor epsilon;  // [draws, n, latent]
};

class Vae : public Model, private Sampler, private Likelihood {
 public:
  Vae(const Settings& settings, const DataFacts& facts, Generator& generator)
      : examples_("vae", facts),
        latent_(settings.integer("vae.latent")),
        draws_(settings.integer("vae.decoder_samples")),
        importance_samples_(settings.integer("sample.importance_samples")),
        beta_(settings.real("vae.beta")),
        encoder_(feed_forward_widths(examples_.width(), settings.integer("vae.layers"),
                                     settings.integer("vae.hidden"), 2 * latent_),
                 HiddenActivation::silu, generator),
        decoder_(feed_forward_widths(latent_, settings.integer("vae.layers"), settings.integer("vae.hidden"),
                                     examples_.width()),
                 HiddenActivation::silu, generator) {
    add_module("encoder", encoder_);
    add_module("decoder", decoder_);
    const int64_t variances = settings.text("vae.variance") == "scalar" ? 1 : examples_.width();
    const double log_variance = 2 * std::log(settings.real("vae.initial_deviation"));
    add_parameter("decoder_log_variance", log_variance_, full({variances}, log_variance));
  }

  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    batch.prepared = std::make_shared<LatentNoise>(noise_for(examples_.rows_of(batch), draws_, generator));
    return batch;
  }

  // Equation 10 of the paper, and the lecture's L_VAE, where beta is 1.
  Loss loss(const Batch& batch, size_t, const ForwardContext&) const override {
    const auto* noise = dynamic_cast<const LatentNoise*>(batch.prepared.get());
    if (!noise) fail("vae: the batch has not been prepared");
    const Tensor x = examples_.rows_of(batch);
    const VaeTerms terms = vae_terms(encoder(), reconstruction(), x, noise->epsilon);
    const double per_number = 1 / static_cast<double>(x.elements());
    const Variable kl = sum(terms.kl) * per_number;
    const Variable distortion = sum(terms.log_likelihood) * -per_number;
    return {.total = beta_ * kl + distortion,
            .log = {{"kl", kl.value()}, {"reconstruction", distortion.value()}},
            .inputs = {{"x", x}, {"epsilon", noise->epsilon}}};
  }

  const Sampler* sampler() const override { return this; }
  const Likelihood* likelihood() const override { return this; }

 private:
  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override {
    const NoGradient scope;
    const int64_t count = std::ssize(requests);
    const NoiseSource noise = example_noise(count, generator, device());
    const Tensor z = noise({count, latent_}, Dtype::float32);
    Variable x = decoder_.forward(z);
    if (options.settings.text("sample.decoder") == "draw")
      x = reparameterise({x, expand(log_variance_, x.shape())}, noise(x.shape(), x.dtype()));
    return examples_.samples_of(x.value(), options.observer);
  }

  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override {
    const Tensor x = examples_.rows_of(batch);
    const Tensor epsilon = noise_for(x, importance_samples_, generator);
    if (importance_samples_ > 1) return importance_weighted_nats(encoder(), reconstruction(), x, epsilon);
    const NoGradient scope;
    const VaeTerms terms = vae_terms(encoder(), reconstruction(), x, epsilon);
    return (terms.kl - terms.log_likelihood).value().to_vector<double>();
  }

  Tensor noise_for(const Tensor& x, int64_t draws, Generator& generator) const {
    return normal({draws, x.size(0), latent_}, generator, 0, 1, x.dtype(), x.device());
  }

  VaeEncoder encoder() const {
    return [this](const Tensor& x) -> DiagonalGaussian {
      const Variable both = encoder_.forward(x);
      return {slice(both, 1, 0, latent_), slice(both, 1, latent_, 2 * latent_)};
    };
  }

  VaeReconstruction reconstruction() const {
    return [this](const Tensor& x, const Variable& z) -> Variable {
      const Variable mean = decoder_.forward(z);
      if (examples_.levels() == 0) return log_density({mean, expand(log_variance_, mean.shape())}, x);
      return -sum(discretized_gaussian_nats(x, mean, log_variance_, examples_.levels()), {1});
    };
  }

  FlatExamples examples_;
  int64_t latent_, draws_, importance_samples_;
  double beta_;
  FeedForward encoder_, decoder_;
  Variable log_variance_;  // of p(x | z), [1] or [width]
};

}  // namespace

ModelInfo vae_model() {
  ModelInfo info;
  info.name = "vae";
  info.paper = "Kingma and Welling 2014, Auto-encoding variational Bayes";
  info.tasks = {"tensors"};
  info.settings = {
      integer_setting("vae.latent", 2, between(1, 65536), "numbers of z"),
      integer_setting("vae.layers", 2, between(1, 1000), "hidden layers of the encoder, and of the decoder"),
      integer_setting("vae.hidden", 128, between(1, 65536), "width of a hidden layer"),
      choice_setting("vae.variance", "scalar", {"scalar", "dimension"},
                     "learned variance of p(x|z): one, or one for each number"),
      real_setting("vae.initial_deviation", 0.3, above(0),
                   "of p(x|z) at the start; with a large one the encoder learns to say nothing"),
      real_setting("vae.beta", 1.0, at_least(0), "weight of the KL in the loss; 1: the bound"),
      integer_setting("vae.decoder_samples", 1, between(1, 65536), "draws of z for each example in the loss"),
      choice_setting("sample.decoder", "draw", {"mean", "draw"}, "of p(x|z): its mean, or a draw"),
      integer_setting("sample.importance_samples", 1, between(1, 1000000),
                      "draws of z in an evaluation (Burda et al. 2016); 1: the bound"),
  };
  info.resolve = [](Settings&) {};
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<Vae>(settings, facts, generator);
  };
  return info;
}

}  // namespace haze
