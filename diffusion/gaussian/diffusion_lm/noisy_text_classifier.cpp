#include "haze/diffusion/gaussian/diffusion_lm/noisy_text_classifier.h"

#include "haze/diffusion/random_times.h"
#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

const WordEmbedder& embedder_of(const std::string& name, const FrozenModel& frozen, const DataFacts& facts) {
  if (!frozen.model) fail("{}: {}.run must name the run whose noisy vectors it reads", name, name);
  const auto* embedder = dynamic_cast<const WordEmbedder*>(frozen.model.get());
  if (!embedder) {
    fail("{}.run names a run of the model {}; it must be one of diffusion_lm", name,
         frozen.settings.text("model"));
  }
  if (frozen.facts.vocabulary != facts.vocabulary || frozen.facts.max_length != facts.max_length) {
    fail("{}: the run has {} words and texts of up to {}, these data {} and {}", name,
         frozen.facts.vocabulary, frozen.facts.max_length, facts.vocabulary, facts.max_length);
  }
  return *embedder;
}

}  // namespace

NoisyTextClassifier::NoisyTextClassifier(std::string name, int64_t classes, const Settings& settings,
                                         const DataFacts& facts, const FrozenModel& frozen,
                                         Generator& generator)
    : name_(std::move(name)),
      classes_(classes),
      frozen_(frozen.model),
      embedder_(&embedder_of(name_, frozen, facts)),
      input_(embedder_->dimension(), settings.integer("transformer.hidden"), generator,
             VectorLayers::linear_tanh_linear),
      transformer_(transformer_config(settings, facts.max_length), generator) {
  add_module("input", input_);
  add_module("transformer", transformer_);
}

Batch NoisyTextClassifier::prepare(Batch batch, size_t, Generator& generator) const {
  const EmbeddedTexts texts = embedder_->embedded(batch);
  const WordProcess& process = embedder_->process();
  std::vector<double> alpha, sigma;
  std::vector<float> time;
  for (const int32_t t :
       draw_steps(texts.sequences.count, process.schedule.steps(), /*antithetic=*/true, generator)) {
    const NoiseLevel level = word_level(process, t - 1);
    alpha.push_back(level.alpha);
    sigma.push_back(level.sigma);
    time.push_back(static_cast<float>(level.time));
  }
  auto noisy = std::make_shared<NoisyEmbeddings>();
  const Tensor& x = texts.embeddings;
  const Tensor noise = normal(x.shape(), generator, 0, 1, x.dtype(), x.device());
  noisy->sequences = texts.sequences;
  noisy->x_t = add(multiply(for_rows(texts.sequences, alpha, x.dtype()), x),
                   multiply(for_rows(texts.sequences, sigma, x.dtype()), noise));
  noisy->time = Tensor::from(time, {std::ssize(time)}, x.device());
  batch.prepared = std::move(noisy);
  return batch;
}

const NoisyEmbeddings& NoisyTextClassifier::noisy_of(const Batch& batch) const {
  const auto* noisy = dynamic_cast<const NoisyEmbeddings*>(batch.prepared.get());
  if (!noisy) fail("{}: the batch has not been prepared", name_);
  return *noisy;
}

Variable NoisyTextClassifier::rows(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                                   const ForwardContext& context) const {
  return transformer_.forward(input_.forward(x_t), sequences, time, context);
}

ModelInfo noisy_text_classifier_info(const std::string& name, const std::string& task) {
  ModelInfo info;
  info.name = name;
  info.paper = "Li et al. 2022, Diffusion-LM improves controllable text generation";
  info.tasks = {task};
  info.settings = {text_setting(name + ".run", "", "run of diffusion_lm whose noisy vectors it reads")};
  for (Setting& setting : small_transformer_settings({{"transformer.time", std::string("added")}}))
    info.settings.push_back(std::move(setting));
  info.frozen = {name + ".run"};
  info.resolve = [name](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") == "none")
      fail("{}: the network has to know the time; transformer.time must not be none", name);
  };
  return info;
}

}  // namespace haze
