#include "haze/diffusion/gaussian/ddpm.h"
#include "haze/nn/mlp_network.h"

namespace haze {
namespace {

Shape example_shape(const DataFacts& facts) {
  Shape shape;
  for (int64_t extent : facts.value_shape) shape.append(extent);
  return shape;
}

MlpNetworkConfig network_config(const Settings& settings, const DataFacts& facts) {
  MlpNetworkConfig config;
  config.width = 1;
  for (int64_t extent : facts.value_shape) config.width *= extent;
  config.hidden = settings.integer("mlp.hidden");
  config.layers = settings.integer("mlp.layers");
  return config;
}

class Ddpm : public Model, private Sampler, private Likelihood {
 public:
  Ddpm(const Settings& settings, const DataFacts& facts, Generator& generator)
      : shape_(example_shape(facts)),
        schedule_(linear_noise_schedule(static_cast<int>(settings.integer("ddpm.steps")))),
        variance_(settings.text("ddpm.variance") == "large" ? ReverseVariance::large
                                                            : ReverseVariance::small),
        network_(network_config(settings, facts), generator) {
    add_module("", network_);
  }

  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    const Tensor& x_0 = values_of(batch);
    const Tensor t = spread_steps(x_0.size(0), schedule_, generator);
    batch.prepared = std::make_shared<NoisyValues>(add_noise(schedule_, x_0, t, generator));
    return batch;
  }

  Loss loss(const Batch& batch, size_t, const ForwardContext&) const override {
    const auto* noisy = dynamic_cast<const NoisyValues*>(batch.prepared.get());
    if (!noisy) fail("ddpm: the batch has not been prepared");
    const Variable total = ddpm_loss(predictor(), *noisy);
    return {.total = total,
            .log = {{"squared_error", total.value()}},
            .inputs = {{"x_t", noisy->x_t}, {"t", noisy->t}, {"noise", noisy->noise}}};
  }

  const Sampler* sampler() const override { return this; }
  const Likelihood* likelihood() const override { return this; }

 private:
  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override {
    return ddpm_sample(predictor(), schedule_, variance_, std::ssize(requests), shape_, options.observer,
                       generator);
  }

  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override {
    return ddpm_bound_nats(predictor(), schedule_, variance_, values_of(batch), generator);
  }

  int64_t terms() const override { return schedule_.steps(); }

  std::vector<double> term_nats(const Batch& batch, int64_t term, Generator& generator) const override {
    if (term < 1 || term > terms()) fail("ddpm: term {} of the bound is not in 1..{}", term, terms());
    const Tensor& x_0 = values_of(batch);
    const Tensor t = full({x_0.size(0)}, static_cast<double>(term), Dtype::int32);
    std::vector<double> nats = ddpm_term_nats(predictor(), schedule_, variance_, x_0, t, generator);
    if (term < terms()) return nats;
    const std::vector<double> prior = ddpm_prior_nats(schedule_, x_0);
    for (size_t i = 0; i < nats.size(); ++i) nats[i] += prior[i];
    return nats;
  }

  const Tensor& values_of(const Batch& batch) const {
    const Tensor& x_0 = batch.values_for("ddpm");
    Shape expected{x_0.rank() == 0 ? 0 : x_0.size(0)};
    for (int axis = 0; axis < shape_.rank(); ++axis) expected.append(shape_[axis]);
    if (!(x_0.shape() == expected) || x_0.elements() == 0) {
      fail("ddpm: the batch's tensor has shape {}, an example of this model has {}", x_0.shape().to_string(),
           shape_.to_string());
    }
    return x_0;
  }

  NoisePredictor predictor() const {
    return [this](const Tensor& x_t, const Tensor& t) {
      const Tensor time = scale_shift(cast(t, Dtype::float32), 1.0 / schedule_.steps(), 0);
      const Variable flat = reshape(x_t, {x_t.size(0), -1});
      return reshape(network_.forward(flat, time), x_t.shape());
    };
  }

  Shape shape_;
  NoiseSchedule schedule_;
  ReverseVariance variance_;
  MlpNetwork network_;
};

}  // namespace

ModelInfo ddpm_model() {
  ModelInfo info;
  info.name = "ddpm";
  info.paper = "Ho et al. 2020, Denoising diffusion probabilistic models";
  info.tasks = {"tensors"};
  info.settings = {
      integer_setting("ddpm.steps", 200, between(2, 100000),
                      "T, steps from data to noise; the linear schedule of the paper's 1000, scaled"),
      choice_setting("ddpm.variance", "large", {"small", "large"},
                     "of a reverse step: that of the posterior, or beta_t"),
      integer_setting("mlp.layers", 3, between(1, 1000), "hidden layers"),
      integer_setting("mlp.hidden", 128, between(1, 65536), "width of a hidden layer"),
      choice_setting("sample.sampler", "ancestral", {"ancestral"}, "Algorithm 2 of the paper, in ddpm.steps"),
  };
  info.resolve = [](Settings&) {};
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    if (facts.value_shape.empty()) fail("ddpm: the data are no tensors");
    return std::make_unique<Ddpm>(settings, facts, generator);
  };
  return info;
}

}  // namespace haze
