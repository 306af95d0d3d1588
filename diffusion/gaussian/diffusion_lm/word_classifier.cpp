#include "haze/diffusion/gaussian/diffusion_lm/word_classifier.h"

#include "haze/diffusion/random_times.h"
#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

constexpr const char* kName = "word_classifier";

struct NoisyLabelledTexts : Prepared {
  Sequences sequences;
  Tensor x_t;   // [rows, dimension]
  Tensor time;  // float32 [texts]
};

const WordEmbedder& embedder_of(const FrozenModel& frozen, const DataFacts& facts) {
  if (facts.labels < 2) fail("{}: the data have no labels, of which it could learn", kName);
  if (!frozen.model) fail("{}: {}.run must name the run whose noisy vectors it reads", kName, kName);
  const auto* embedder = dynamic_cast<const WordEmbedder*>(frozen.model.get());
  if (!embedder) {
    fail("{}.run names a run of the model {}; it must be one of diffusion_lm", kName,
         frozen.settings.text("model"));
  }
  if (frozen.facts.vocabulary != facts.vocabulary || frozen.facts.max_length != facts.max_length) {
    fail("{}: the run has {} words and texts of up to {}, these data {} and {}", kName,
         frozen.facts.vocabulary, frozen.facts.max_length, facts.vocabulary, facts.max_length);
  }
  return *embedder;
}

Tensor accuracy(const Tensor& logits, const Tensor& labels) {
  const Tensor right = compare(CompareOp::equal, argmax(logits, 1), labels);
  return reduce(ReduceOp::mean, cast(right, Dtype::float32));
}

}  // namespace

WordClassifier::WordClassifier(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                               Generator& generator)
    : frozen_(frozen.model),
      embedder_(&embedder_of(frozen, facts)),
      classes_(facts.labels),
      dimension_(embedder_->dimension()),
      input_(dimension_, settings.integer("transformer.hidden"), generator, VectorLayers::linear_tanh_linear),
      transformer_(transformer_config(settings, facts.max_length), generator),
      head_(settings.integer("transformer.hidden"), classes_, generator) {
  add_module("input", input_);
  add_module("transformer", transformer_);
  add_module("head", head_);
}

Batch WordClassifier::prepare(Batch batch, size_t, Generator& generator) const {
  batch.labels_for(kName);
  const EmbeddedTexts texts = embedder_->embedded(batch);
  const WordProcess& process = embedder_->process();
  const int steps = process.schedule.steps();
  std::vector<double> alpha, sigma;
  std::vector<float> time;
  for (const int32_t t : draw_steps(texts.sequences.count, steps, /*antithetic=*/true, generator)) {
    const NoiseLevel level = word_level(process, t - 1);  // of x_{t-1}, which is what is controlled
    alpha.push_back(level.alpha);
    sigma.push_back(level.sigma);
    time.push_back(static_cast<float>(level.time));
  }
  auto noisy = std::make_shared<NoisyLabelledTexts>();
  const Tensor& x = texts.embeddings;
  const Tensor noise = normal(x.shape(), generator, 0, 1, x.dtype(), x.device());
  noisy->sequences = texts.sequences;
  noisy->x_t = add(multiply(for_rows(texts.sequences, alpha, x.dtype()), x),
                   multiply(for_rows(texts.sequences, sigma, x.dtype()), noise));
  noisy->time = Tensor::from(time, {std::ssize(time)}, x.device());
  batch.prepared = std::move(noisy);
  return batch;
}

Loss WordClassifier::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const auto* noisy = dynamic_cast<const NoisyLabelledTexts*>(batch.prepared.get());
  if (!noisy) fail("{}: the batch has not been prepared", kName);
  const Tensor& labels = batch.labels_for(kName);
  const Variable logits = this->logits(noisy->x_t, noisy->sequences, noisy->time, context);
  const Variable log_p = gather(log_softmax(logits), 1, unsqueeze(labels, 1));
  return {.total = mean(log_p) * -1,
          .log = {{"accuracy", accuracy(logits.value(), labels)}},
          .inputs = {{"x_t", noisy->x_t}, {"time", noisy->time}, {"labels", labels}}};
}

Variable WordClassifier::logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                                const ForwardContext& context) const {
  const Variable rows = transformer_.forward(input_.forward(x_t), sequences, time, context);
  std::vector<double> shares;
  for (const int64_t length : sequences.lengths) shares.push_back(1.0 / static_cast<double>(length));
  const Variable weighted = rows * Variable(for_rows(sequences, shares, rows.dtype()));
  return head_.forward(index_scatter(weighted, 0, sequences.index, {sequences.count, rows.size(1)}));
}

ModelInfo word_classifier_model() {
  ModelInfo info;
  info.name = kName;
  info.paper = "Li et al. 2022, Diffusion-LM improves controllable text generation";
  info.tasks = {"labelled"};
  info.settings = {
      text_setting("word_classifier.run", "", "run of diffusion_lm whose noisy vectors it reads")};
  for (Setting setting : transformer_settings()) {
    if (setting.key == "transformer.layers") setting.default_value = int64_t{2};
    if (setting.key == "transformer.hidden") setting.default_value = int64_t{128};
    if (setting.key == "transformer.heads") setting.default_value = int64_t{4};
    if (setting.key == "transformer.time") setting.default_value = std::string("added");
    info.settings.push_back(std::move(setting));
  }
  info.frozen = {"word_classifier.run"};
  info.resolve = [](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") == "none")
      fail("{}: the network has to know the time; transformer.time must not be none", kName);
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<WordClassifier>(settings, facts, frozen.at(0), generator);
  };
  return info;
}

}  // namespace haze
