#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm_model.h"

#include <algorithm>

#include "haze/diffusion/gaussian/diffusion_lm/control_update.h"
#include "haze/diffusion/gaussian/diffusion_lm/minimum_bayes_risk.h"
#include "haze/diffusion/gaussian/diffusion_lm/text_control.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_sampler.h"
#include "haze/diffusion/random_times.h"
#include "haze/diffusion/token_filter_settings.h"
#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

template <typename T>
using Named = std::pair<const char*, T>;

constexpr Named<WordOutput> kOutputs[] = {{"vector", WordOutput::vector},
                                          {"words", WordOutput::words},
                                          {"words-with-likelihood", WordOutput::words_with_likelihood}};
constexpr Named<RoundingKind> kRoundings[] = {{"linear", RoundingKind::linear},
                                              {"likelihood", RoundingKind::likelihood}};
constexpr Named<Parameterisation> kPredictions[] = {
    {"x_0", Parameterisation::x_0}, {"epsilon", Parameterisation::epsilon}, {"v", Parameterisation::v}};
constexpr Named<ReverseVariance> kVariances[] = {{"small", ReverseVariance::small},
                                                 {"large", ReverseVariance::large}};

template <typename T, size_t n>
T called(const Settings& settings, const std::string& key, const Named<T> (&table)[n]) {
  for (const auto& [name, value] : table) {
    if (settings.text(key) == name) return value;
  }
  fail("{} = '{}' is not known", key, settings.text(key));
}

WordNetworkOptions network_options(const Settings& settings, const DataFacts& facts, bool padded,
                                   double sigma_0) {
  return {.words = facts.vocabulary + (padded ? 1 : 0),
          .dimension = settings.integer("diffusion_lm.dimension"),
          .output = called(settings, "diffusion_lm.output", kOutputs),
          .rounding = called(settings, "diffusion_lm.rounding", kRoundings),
          .unit_variance = settings.text("diffusion_lm.embedding_norm") == "fixed",
          .self_conditioning = settings.boolean("diffusion_lm.self_conditioning"),
          .sigma_0 = sigma_0};
}

DiffusionLm model_of(const Settings& settings) {
  const auto steps = static_cast<int>(settings.integer("diffusion_lm.steps"));
  return {.process = word_process(noise_schedule_called(settings.text("diffusion_lm.schedule"), steps)),
          .prediction = called(settings, "diffusion_lm.prediction", kPredictions),
          .variance = called(settings, "diffusion_lm.variance", kVariances)};
}

class DiffusionLmModel : public Model, public WordEmbedder, private Sampler, private Likelihood {
 public:
  DiffusionLmModel(const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                   Generator& generator)
      : padded_(settings.text("diffusion_lm.padding") == "modelled"),
        vocabulary_(facts.vocabulary),
        // Padding is a word of the model's own, after those of texts.
        ids_{.end = facts.end_id,
             .padding = padded_ ? static_cast<int32_t>(facts.vocabulary) : -1,
             .length = facts.max_length},
        model_(model_of(settings)),
        network_(network_options(settings, facts, padded_, model_.process.sigma_0),
                 transformer_config(settings, facts.max_length), generator) {
    add_module("", network_);
    if (frozen.empty()) return;
    take_classifier(classifiers_.label, frozen.at(0), "sample.classifier");
    take_classifier(classifiers_.tags, frozen.at(1), "sample.tagger");
    take_classifier(classifiers_.spans, frozen.at(2), "sample.parser");
  }

  const WordProcess& process() const override { return model_.process; }
  int64_t dimension() const override { return network_.options().dimension; }
  Tensor word_vectors() const override {
    const NoGradient scope;
    return network_.embeddings().value();
  }
  EmbeddedTexts embedded(const Batch& batch) const override {
    const NoGradient scope;
    const TextBatch texts = texts_of(batch);
    const Tensor ids = haze::to(texts.ids, device());
    return {texts.sequences.to(device()), ids, embedding(network_.embeddings(), ids).value()};
  }

  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    auto noisy = std::make_shared<NoisyTexts>();
    noisy->texts = texts_of(batch);
    noisy->t = draw_steps(noisy->texts.sequences.count, model_.process.schedule.steps(),
                          /*antithetic=*/true, generator);
    const Shape shape{noisy->texts.sequences.rows, network_.options().dimension};
    noisy->x_0_noise = normal(shape, generator);
    noisy->x_t_noise = normal(shape, generator);
    noisy->estimates_first = network_.options().self_conditioning && generator.uniform() < 0.5;
    batch.prepared = std::move(noisy);
    return batch;
  }

  int64_t units(const Batch& batch) const override {
    return padded_ ? batch.size() * ids_.length : batch.units();
  }

  Loss loss(const Batch& batch, size_t, const ForwardContext& context) const override {
    const auto* noisy = dynamic_cast<const NoisyTexts*>(batch.prepared.get());
    if (!noisy) fail("diffusion_lm: the batch has not been prepared");
    return diffusion_lm_loss(model_, network_, *noisy, context);
  }

  const Sampler* sampler() const override { return this; }
  const Likelihood* likelihood() const override { return this; }

  std::vector<std::string> warnings() const override {
    return embedding_warnings(network_.embeddings().value(), model_.process.sigma_0);
  }

 private:
  Uses uses() const override {
    return {.length = !padded_,
            .prompt = true,
            .gaps = true,
            .label = classifiers_.label != nullptr,
            .tags = classifiers_.tags != nullptr,
            .spans = classifiers_.spans != nullptr};
  }

  TextBatch texts_of(const Batch& batch) const {
    const TextBatch& texts = batch.target_for("diffusion_lm");
    for (const int32_t id : texts.ids.to_vector<int32_t>()) {
      if (id < 0 || id >= vocabulary_)
        fail("diffusion_lm: token {} is outside the vocabulary of {}", id, vocabulary_);
    }
    return padded_texts(texts, ids_.length, ids_.padding);
  }

  // The classifier that a setting names, if any.
  template <typename Classifier>
  void take_classifier(std::shared_ptr<const Classifier>& classifier, const FrozenModel& frozen,
                       const char* key) const {
    if (!frozen.model) return;
    classifier = std::dynamic_pointer_cast<const Classifier>(frozen.model);
    if (!classifier) fail("{} names a run of the model {}", key, frozen.settings.text("model"));
    if (classifier->dimension() != dimension()) {
      fail("{} reads vectors of {} numbers, and words have {}", key, classifier->dimension(), dimension());
    }
  }

  // A classifier reads the vectors of one run. With those of another it says anything.
  void check_same_words(const NoisyTextClassifier* classifier, const char* key) const {
    if (!classifier) return;
    const Tensor own = haze::to(word_vectors(), Device::cpu);
    const Tensor learned = haze::to(classifier->embedder().word_vectors(), Device::cpu);
    if (own.shape() != learned.shape() || own.to_vector<double>() != learned.to_vector<double>())
      fail("{} names a classifier of another run: its words have other vectors than this run's", key);
  }

  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override {
    return word_bound_nats(word_model(model_, network_), embedded(batch), generator);
  }

  int64_t terms() const override { return model_.process.schedule.steps(); }

  // Term 1 holds the rounding's, term T the prior's.
  std::vector<double> term_nats(const Batch& batch, int64_t term, Generator& generator) const override {
    if (term < 1 || term > terms()) fail("diffusion_lm: term {} of the bound is not in 1..{}", term, terms());
    const EmbeddedTexts texts = embedded(batch);
    const WordModel model = word_model(model_, network_);
    const std::vector<int32_t> t(static_cast<size_t>(texts.sequences.count), static_cast<int32_t>(term));
    std::vector<double> nats = word_term_nats(model, texts, t, generator);
    const auto add = [&](const std::vector<double>& more) {
      for (size_t i = 0; i < nats.size(); ++i) nats[i] += more[i];
    };
    if (term == 1) add(rounding_nats(model, texts, generator));
    if (term == terms()) add(word_prior_nats(model_.process, texts));
    return nats;
  }

  // Even in t for every sampler: words are decided where there is much noise, and levels even in the log-SNR
  // are spent elsewhere.
  std::vector<NoiseLevel> levels(const Settings& settings) const {
    const int64_t steps = settings.integer("sample.steps"), all = model_.process.schedule.steps();
    if (steps > all) fail("sample.steps is {}, more than the {} of diffusion_lm.steps", steps, all);
    std::vector<NoiseLevel> result =
        strided_levels(model_.process.schedule, static_cast<int>(steps == 0 ? all : steps));
    if (network_.options().output == WordOutput::vector) return result;
    // The last level is the data, EMB(w), and no draw of x_0.
    for (size_t i = 0; i + 1 < result.size(); ++i) result[i] = to_word_level(model_.process, result[i]);
    return result;
  }

  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override {
    const Settings& settings = options.settings;
    check_same_words(classifiers_.label.get(), "sample.classifier");
    check_same_words(classifiers_.tags.get(), "sample.tagger");
    check_same_words(classifiers_.spans.get(), "sample.parser");
    const auto candidates = static_cast<size_t>(settings.integer("sample.candidates"));
    std::vector<Request> repeated;
    for (const Request& request : requests) repeated.insert(repeated.end(), candidates, request);
    WordCanvas canvas(
        model_, network_, ids_, repeated,
        {.rounding =
             settings.text("sample.rounding") == "nearest" ? RoundingRule::nearest : RoundingRule::softmax,
         .clamp = settings.text("sample.clamp") == "nearest",
         .given = settings.text("sample.given") == "noised" ? GivenRows::noised : GivenRows::clean,
         .temperature = settings.real("sample.temperature"),
         .forbidden = options.forbidden_tokens});
    const Samples drawn = draw(canvas, text_control(classifiers_, repeated, canvas), settings, candidates,
                               options.observer, generator);
    Samples result{.texts = {}, .network_calls = canvas.network_calls()};
    for (size_t i = 0; i < drawn.texts.size(); i += candidates) {
      const std::span<const std::vector<int32_t>> of_one(drawn.texts.data() + i, candidates);
      result.texts.push_back(of_one[minimum_bayes_risk(of_one)]);
    }
    return result;
  }

  Samples draw(WordCanvas& canvas, const LogProbability& control, const Settings& settings, size_t candidates,
               const SampleObserver& observer, Generator& generator) const {
    const std::vector<NoiseLevel> falling = levels(settings);
    const GaussianDenoiser denoise = [&](const Tensor& x, const NoiseLevel& level) {
      return canvas.denoise(x, level);
    };
    const LevelObserver observe = [&](size_t i, const Tensor& x) {
      if (!observer) return;
      show(observer, canvas.texts(canvas.latest().defined() ? canvas.latest() : x), candidates,
           {.step = static_cast<int64_t>(i), .steps = std::ssize(falling) - 1}, falling[i].time);
    };
    const NoGradient scope;
    const NoiseSource noise = example_noise(canvas.count(), generator, device());
    const Shape shape{canvas.count(), ids_.length, network_.options().dimension};
    const Tensor x_T = noise(shape, network_.embeddings().dtype());
    const Tensor x = control
                         ? controlled_ancestral_sample(denoise, falling, model_.variance, control,
                                                       control_options(settings), x_T, noise, observe)
                         : sample_levels(settings, denoise, falling, model_.variance, x_T, noise, observe);
    return {.texts = canvas.texts(x)};
  }

  static ControlOptions control_options(const Settings& settings) {
    if (settings.text("sample.sampler") != "ancestral")
      fail("sample.sampler {} takes no control; ancestral does", settings.text("sample.sampler"));
    return {.updates = static_cast<int>(settings.integer("sample.control_updates")),
            .step_size = settings.real("sample.control_step"),
            .fluency = settings.real("sample.control_fluency"),
            .adagrad = settings.text("sample.control_adagrad") == "all-updates" ? AdagradUse::all_updates
                                                                                : AdagradUse::each_update};
  }

  // Of each request, the first candidate.
  static void show(const SampleObserver& observer, const std::vector<std::vector<int32_t>>& texts,
                   size_t candidates, Snapshot snapshot, double time) {
    std::vector<std::vector<int32_t>> shown;
    for (size_t i = 0; i < texts.size(); i += candidates) shown.push_back(texts[i]);
    snapshot.texts = &shown;
    snapshot.time.assign(shown.size(), time);
    observer(snapshot);
  }

  bool padded_;
  int64_t vocabulary_;
  WordIds ids_;
  DiffusionLm model_;
  WordNetwork network_;
  TextClassifiers classifiers_;  // null: texts are not controlled
};

SettingsTable diffusion_lm_settings() {
  SettingsTable table = {
      choice_setting("diffusion_lm.recipe", "plaid", {"plaid", "paper"},
                     "what auto stands for below: a distribution over words with the word's likelihood "
                     "(Gulrajani and Hashimoto 2023), or a vector with the end-to-end loss (Li et al. 2022)"),
      integer_setting("diffusion_lm.dimension", 16, between(1, 4096), "of a word's embedding"),
      integer_setting("diffusion_lm.steps", 2000, between(2, 100000), "T, steps from words to noise"),
      choice_setting("diffusion_lm.schedule", "sqrt", noise_schedule_names(), "of the noise"),
      choice_setting("diffusion_lm.output", "auto", {"auto", "vector", "words", "words-with-likelihood"},
                     "of the network: a vector, a distribution over words, or that times the likelihood"),
      choice_setting("diffusion_lm.prediction", "x_0", {"x_0", "epsilon", "v"},
                     "what an output that is a vector predicts"),
      choice_setting("diffusion_lm.embedding_norm", "auto", {"auto", "fixed", "free"},
                     "fixed: sqrt(dimension) for every word; free: what training makes it"),
      choice_setting("diffusion_lm.rounding", "auto", {"auto", "linear", "likelihood"},
                     "p(w | x_0): a linear layer tied to the embeddings, or by q(x_0 | w) itself"),
      choice_setting("diffusion_lm.variance", "auto", {"auto", "small", "large"},
                     "of a reverse step: that of the posterior, or beta_t"),
      choice_setting(
          "diffusion_lm.padding", "modelled", {"modelled", "none"},
          "modelled: texts are padded to data.max_length, and padding is a word like others; none: "
          "rows are ragged, and a text's length is given"),
      boolean_setting("diffusion_lm.self_conditioning", false,
                      "the network is told its own last estimate (Chen et al. 2023)"),
  };
  for (Setting& setting : transformer_settings(
           {{"transformer.norm", std::string("post")}, {"transformer.time", std::string("added")}}))
    table.push_back(std::move(setting));
  for (const Setting& setting : level_sampler_settings()) {
    if (setting.key != "sample.clip") table.push_back(setting);  // words have no range
  }
  for (const Setting& setting : token_filter_settings()) {
    if (setting.key == "sample.temperature") table.push_back(setting);  // of an output of words
  }
  for (const Setting& setting : SettingsTable{
           integer_setting("sample.steps", 200, between(0, 1 << 20),
                           "steps of sampling, evenly chosen of diffusion_lm.steps; 0: all"),
           choice_setting("sample.clamp", "nearest", {"nearest", "none"},
                          "every estimate is replaced by the nearest embedding, or stays"),
           choice_setting(
               "sample.given", "clean", {"clean", "noised"},
               "given words as the network sees them: embeddings, as in the paper's code, or with noise"),
           choice_setting("sample.rounding", "softmax", {"softmax", "nearest"},
                          "the likeliest word under p(w | x_0), or that of the nearest embedding"),
           integer_setting("sample.candidates", 1, between(1, 1000),
                           "texts drawn for each that is returned: that with the least Bayes risk"),
           text_setting("sample.classifier", "",
                        "run of a word_classifier that leads texts to a label; empty: none"),
           since(4, text_setting("sample.tagger", "",
                                 "run of a word_tagger that leads texts to parts of speech; empty: none")),
           since(4, text_setting("sample.parser", "",
                                 "run of a word_parser that leads texts to phrases and trees; empty: none")),
           integer_setting("sample.control_updates", 3, between(0, 1000),
                           "K, gradient steps on each sampled x"),
           real_setting("sample.control_step", 0.1, above(0), "learning rate of these steps"),
           real_setting("sample.control_fluency", 0.01, at_least(0),
                        "lambda, weight of the distance to the mean"),
           choice_setting("sample.control_adagrad", "each-update", {"each-update", "all-updates"},
                          "a new Adagrad for each gradient step, as in the paper's code, or one for the K")})
    table.push_back(setting);
  return table;
}

void resolve_diffusion_lm(Settings& settings) {
  check_transformer_settings(settings);
  if (settings.text("transformer.time") == "none")
    fail("diffusion_lm: the network has to know the time; transformer.time must not be none");
  const bool plaid = settings.text("diffusion_lm.recipe") == "plaid";
  const auto resolve = [&](const char* key, const char* of_plaid, const char* of_paper) {
    if (settings.text(key) == "auto") settings.set(key, std::string(plaid ? of_plaid : of_paper));
  };
  resolve("diffusion_lm.output", "words-with-likelihood", "vector");
  resolve("diffusion_lm.embedding_norm", "fixed", "free");
  resolve("diffusion_lm.rounding", "likelihood", "linear");
  resolve("diffusion_lm.variance", "small", "large");
  if (settings.text("diffusion_lm.output") != "vector" && settings.text("diffusion_lm.prediction") != "x_0") {
    fail("diffusion_lm.prediction {} is of an output that is a vector, and diffusion_lm.output is {}",
         settings.text("diffusion_lm.prediction"), settings.text("diffusion_lm.output"));
  }
}

}  // namespace

ModelInfo diffusion_lm_model() {
  ModelInfo info;
  info.name = "diffusion_lm";
  info.paper = "Li et al. 2022, Diffusion-LM improves controllable text generation";
  info.tasks = {"texts", "labelled"};
  info.settings = diffusion_lm_settings();
  info.frozen = {"sample.classifier", "sample.tagger", "sample.parser"};
  info.resolve = resolve_diffusion_lm;
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<DiffusionLmModel>(settings, facts, frozen, generator);
  };
  return info;
}

}  // namespace haze
