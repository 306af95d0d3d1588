#include "haze/diffusion/gaussian/diffusion_lm/noisy_reader.h"

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

NoisyReader::NoisyReader(const std::string& name, const Settings& settings, const DataFacts& facts,
                         const FrozenModel& frozen, Generator& generator)
    : frozen_(frozen.model),
      embedder_(&embedder_of(name, frozen, facts)),
      input_(embedder_->dimension(), settings.integer("transformer.hidden"), generator,
             VectorLayers::linear_tanh_linear),
      transformer_(transformer_config(settings, facts.max_length), generator) {
  add_module("input", input_);
  add_module("transformer", transformer_);
}

std::shared_ptr<const NoisyEmbeddings> NoisyReader::noisy(const Batch& batch, Generator& generator) const {
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
  return noisy;
}

Variable NoisyReader::rows(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                           const ForwardContext& context) const {
  return transformer_.forward(input_.forward(x_t), sequences, time, context);
}

const NoisyEmbeddings& noisy_of(const Batch& batch, const std::string& name) {
  const auto* noisy = dynamic_cast<const NoisyEmbeddings*>(batch.prepared.get());
  if (!noisy) fail("{}: the batch has not been prepared", name);
  return *noisy;
}

Tensor accuracy(const Tensor& logits, const Tensor& targets) {
  const Tensor right = compare(CompareOp::equal, argmax(logits, 1), targets);
  return reduce(ReduceOp::mean, cast(right, Dtype::float32));
}

Tensor share_found(const Tensor& logits, const Tensor& targets) {
  const Tensor counts = cast(compare(CompareOp::not_equal, targets, zeros_like(targets)), Dtype::float32);
  const Tensor right = cast(compare(CompareOp::equal, argmax(logits, 1), targets), Dtype::float32);
  const Tensor all = reduce(ReduceOp::sum, counts);
  return divide(reduce(ReduceOp::sum, multiply(right, counts)),
                binary(BinaryOp::maximum, all, ones_like(all)));
}

ModelInfo noisy_reader_info(const std::string& name, const std::string& task) {
  ModelInfo info;
  info.name = name;
  info.paper = "Li et al. 2022, Diffusion-LM improves controllable text generation";
  info.tasks = {task};
  info.settings = {text_setting(name + ".run", "", "run of diffusion_lm whose noisy vectors it reads")};
  for (Setting setting : transformer_settings()) {
    if (setting.key == "transformer.layers") setting.default_value = int64_t{2};
    if (setting.key == "transformer.hidden") setting.default_value = int64_t{128};
    if (setting.key == "transformer.heads") setting.default_value = int64_t{4};
    if (setting.key == "transformer.time") setting.default_value = std::string("added");
    info.settings.push_back(std::move(setting));
  }
  info.frozen = {name + ".run"};
  info.resolve = [name](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") == "none")
      fail("{}: the network has to know the time; transformer.time must not be none", name);
  };
  return info;
}

}  // namespace haze
