#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/nn/layers.h"
#include "haze/nn/safetensors.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/models.h"

#include "temporary_folder.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

/// Models of one's own, that the program knows nothing of: a classifier, an adversarial pair, and a student
/// of a frozen teacher.
namespace {

// ---- A classifier ----------------------------------------------------------------------------------------

/// p(label | text) from the mean of the text's token embeddings.
class BagOfWords : public Model {
 public:
  BagOfWords(const DataFacts& facts, Generator& generator)
      : embedding_(facts.vocabulary, kWidth, generator, 0.1), head_(kWidth, facts.labels, generator) {
    add_module("embedding", embedding_);
    add_module("head", head_);
  }

  int64_t units(const Batch& batch) const override { return batch.size(); }

  Loss loss(const Batch& batch, size_t, const ForwardContext&) const override {
    const Tensor& labels = batch.labels_for("bag_of_words");
    const Tensor weights = full({batch.size()}, 1.0 / static_cast<double>(batch.size()));
    const CrossEntropy result =
        linear_cross_entropy(bags(batch), head_.weight(), head_.bias(), labels, weights);
    return {.total = result.total, .log = {{"cross_entropy", result.total.value()}}, .inputs = {}};
  }

  /// [examples, labels]
  Variable logits(const Batch& batch) const { return head_.forward(bags(batch)); }

 private:
  static constexpr int64_t kWidth = 8;

  Variable bags(const Batch& batch) const {
    const TextBatch& texts = batch.target_for("bag_of_words");
    const Variable sums = index_scatter(embedding_.forward(texts.ids), 0, texts.sequences.index,
                                        {texts.sequences.count, kWidth});
    std::vector<float> shares;
    const std::vector<int32_t> offsets = texts.sequences.offsets.to_vector<int32_t>();
    for (size_t i = 1; i < offsets.size(); ++i)
      shares.push_back(1.0F / static_cast<float>(offsets[i] - offsets[i - 1]));
    return sums * Variable(Tensor::from(shares, {std::ssize(shares), 1}));
  }

  Embedding embedding_;
  Linear head_;
};

ModelInfo bag_of_words_model() {
  ModelInfo info;
  info.name = "bag_of_words";
  info.tasks = {"labelled"};
  info.make = [](const Settings&, const DataFacts& facts, const FrozenModels&, Generator& generator) {
    return std::make_unique<BagOfWords>(facts, generator);
  };
  return info;
}

// ---- An adversarial pair ---------------------------------------------------------------------------------

struct Noise : Prepared {
  explicit Noise(Tensor values) : z(std::move(values)) {}
  Tensor z;  // [n, 2]
};

/// Goodfellow et al. 2014 on points: a linear generator, and a discriminator with one hidden layer.
class ToyGan : public Model {
 public:
  ToyGan(const Settings& settings, Generator& generator)
      : every_generator_(settings.integer("toy_gan.generator_every")),
        every_discriminator_(settings.integer("toy_gan.discriminator_every")),
        generator_(2, 2, generator),
        hidden_(2, 8, generator),
        score_(8, 1, generator) {
    add_module("generator", generator_);
    add_module("discriminator.hidden", hidden_);
    add_module("discriminator.score", score_);
  }

  std::vector<Objective> objectives() override {
    return {{"generator", named("generator."), every_generator_},
            {"discriminator", named("discriminator."), every_discriminator_}};
  }

  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    batch.prepared = std::make_shared<Noise>(normal(batch.values_for("toy_gan").shape(), generator));
    return batch;
  }

  Loss loss(const Batch& batch, size_t objective, const ForwardContext&) const override {
    const auto& noise = dynamic_cast<const Noise&>(*batch.prepared);
    const Variable fake = generator_.forward(noise.z);
    if (objective == 0) return {.total = mean(softplus(-score(fake))), .log = {}, .inputs = {}};
    const Variable real = mean(softplus(-score(batch.values)));
    return {.total = real + mean(softplus(score(fake))), .log = {{"real", real.value()}}, .inputs = {}};
  }

 private:
  static Variable softplus(const Variable& x) { return log(exp(x) + 1.0); }
  Variable score(const Variable& x) const { return score_.forward(tanh(hidden_.forward(x))); }

  std::vector<NamedParameter> named(const std::string& prefix) {
    std::vector<NamedParameter> own = parameters();
    std::erase_if(own, [&](const NamedParameter& parameter) { return !parameter.name.starts_with(prefix); });
    return own;
  }

  int64_t every_generator_, every_discriminator_;
  Linear generator_, hidden_, score_;
};

ModelInfo toy_gan_model() {
  ModelInfo info;
  info.name = "toy_gan";
  info.tasks = {"tensors"};
  info.settings = {
      integer_setting("toy_gan.generator_every", 1, at_least(1), "steps between the generator's"),
      integer_setting("toy_gan.discriminator_every", 1, at_least(1), "steps between the discriminator's")};
  info.make = [](const Settings& settings, const DataFacts&, const FrozenModels&, Generator& generator) {
    return std::make_unique<ToyGan>(settings, generator);
  };
  return info;
}

// ---- A student of a frozen run ---------------------------------------------------------------------------

/// Learns the logits of a classifier that another run has trained.
class Student : public Model {
 public:
  Student(std::shared_ptr<Model> teacher, const DataFacts& facts, Generator& generator)
      : teacher_(std::move(teacher)), student_(facts, generator) {
    add_module("", student_);
  }

  int64_t units(const Batch& batch) const override { return batch.size(); }

  Loss loss(const Batch& batch, size_t, const ForwardContext&) const override {
    const Variable wanted = dynamic_cast<const BagOfWords&>(*teacher_).logits(batch);
    CHECK_FALSE(wanted.requires_gradient());
    double weights = 0;
    for (const NamedTensor& tensor : parameter_tensors(*teacher_)) {
      for (const float weight : tensor.tensor.to_vector<float>()) weights += std::abs(weight);
    }
    return {.total = mean(square(student_.logits(batch) - wanted)),
            .log = {{"teacher_weights", full({}, weights, Dtype::float64)}},
            .inputs = {}};
  }

 private:
  std::shared_ptr<Model> teacher_;  // no part of this module: it is neither trained nor saved
  BagOfWords student_;
};

ModelInfo student_model() {
  ModelInfo info;
  info.name = "toy_student";
  info.tasks = {"labelled"};
  info.settings = {text_setting("toy.run", "", "run of the teacher")};
  info.frozen = {"toy.run"};
  info.make = [](const Settings&, const DataFacts& facts, const FrozenModels& frozen, Generator& generator) {
    const FrozenModel& teacher = frozen.at(0);
    if (!teacher.model) fail("toy_student: toy.run has to name the teacher's run");
    CHECK(teacher.facts.vocabulary == facts.vocabulary);
    CHECK(teacher.settings.text("model") == "bag_of_words");
    return std::make_unique<Student>(teacher.model, facts, generator);
  };
  return info;
}

// ---- A model that sampling may guide ---------------------------------------------------------------------

/// Is told of a run at sampling time alone.
class Guided : public BagOfWords {
 public:
  Guided(std::shared_ptr<Model> run, const DataFacts& facts, Generator& generator)
      : BagOfWords(facts, generator), guide(std::move(run)) {}
  std::shared_ptr<Model> guide;
};

ModelInfo guided_model() {
  ModelInfo info;
  info.name = "toy_guided";
  info.tasks = {"labelled"};
  info.settings = {text_setting("sample.guide", "", "run of the guide")};
  info.frozen = {"sample.guide"};
  info.make = [](const Settings&, const DataFacts& facts, const FrozenModels& frozen, Generator& generator) {
    return std::make_unique<Guided>(frozen.at(0).model, facts, generator);
  };
  return info;
}

// ----------------------------------------------------------------------------------------------------------

Settings settings_for(const std::string& model, const std::vector<std::string>& more) {
  static const bool added = [] {
    for (const ModelInfo& info : {bag_of_words_model(), toy_gan_model(), student_model(), guided_model()})
      add_model({info, ""});
    return true;
  }();
  REQUIRE(added);
  std::vector<std::string> assignments = {"model=" + model, "optimizer.warmup_steps=0", "train.log_every=1",
                                          "train.evaluate_every=100"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

Settings labelled_settings(const std::string& model, const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = {"data.label=Type",
                                          "data.corpus_size=200",
                                          "data.min_count=1",
                                          "train.steps=40",
                                          "train.batch_size=16",
                                          "train.evaluate_examples=50",
                                          "optimizer.learning_rate=0.05"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  return settings_for(model, assignments);
}

Settings gan_settings(const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = {"data.train_size=200", "data.valid_size=50", "train.steps=9",
                                          "train.batch_size=16", "optimizer.learning_rate=0.01"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  return settings_for("toy_gan", assignments);
}

bool same_values(const Tensor& a, const Tensor& b) {
  return a.to_vector<float>() == b.to_vector<float>();
}

/// -log softmax(logits)[label] of a text, in float64, from the weights that a run has saved.
double nats_of_label(const Checkpoint& checkpoint, const std::vector<int32_t>& text, int32_t label) {
  const auto weights_of = [&](const std::string& name) {
    for (const NamedTensor& tensor : checkpoint.model) {
      if (tensor.name == name) return tensor.tensor.to_vector<float>();
    }
    FAIL("the checkpoint has no " << name);
    return std::vector<float>();
  };
  const std::vector<float> embedding = weights_of("embedding.weight");
  const std::vector<float> weight = weights_of("head.weight"), bias = weights_of("head.bias");
  const size_t width = weight.size() / bias.size();
  std::vector<double> bag(width);
  for (const int32_t token : text) {
    for (size_t k = 0; k < width; ++k)
      bag[k] += embedding[static_cast<size_t>(token) * width + k] / static_cast<double>(text.size());
  }
  double total = 0, chosen = 0;
  for (size_t c = 0; c < bias.size(); ++c) {
    double logit = bias[c];
    for (size_t k = 0; k < width; ++k) logit += bag[k] * weight[c * width + k];
    total += std::exp(logit);
    if (c == static_cast<size_t>(label)) chosen = logit;
  }
  return std::log(total) - chosen;
}

}  // namespace

TEST_CASE("a classifier of one's own trains on labelled texts, and its evaluation is the mean over texts") {
  const TemporaryFolder folder;
  const Settings settings = labelled_settings("bag_of_words");
  const TrainResult result = Trainer::start(settings, quiet(folder / "run"))->run();
  const std::vector<MetricsRow> rows = read_metrics(folder / "run" / "metrics.jsonl");
  CHECK(rows.front().value("loss") == rows.front().value("cross_entropy"));
  REQUIRE(result.evaluation);
  CHECK(result.evaluation->measures.front().name == "loss");
  CHECK(find_best_checkpoint(folder / "run"));
  const double loss = result.evaluation->at("loss").value;
  CHECK(loss < *rows.front().value("loss") - 0.5);
  CHECK(rows.back().value("validation_loss") == loss);

  const SavedModel saved = load_model(folder / "run");
  const auto examples = saved.task->examples(saved.settings, Part::valid);
  CHECK(saved.task->facts().labels > 2);
  const Checkpoint checkpoint = latest_checkpoint(folder / "run");
  double expected = 0;
  for (const int64_t index : spread_indices(examples->size(), 50)) {
    const Batch one = examples->batch(std::vector<int64_t>{index});
    expected += nats_of_label(checkpoint, one.target->ids.to_vector<int32_t>(),
                              one.labels.to_vector<int32_t>().front()) /
                50;
  }
  CHECK(loss == doctest::Approx(expected).epsilon(1e-5));
  // The model draws nothing: every pass gives the same loss.
  REQUIRE(result.evaluation->at("loss").error);
  CHECK(*result.evaluation->at("loss").error < 1e-12);
  CHECK(result.evaluation->at("texts").value == 50);
}

TEST_CASE("batches that are accumulated count by what the model's loss is the mean over: here texts") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& name, const std::vector<std::string>& sizes) {
    std::vector<std::string> more = {"train.steps=2", "optimizer.kind=sgd"};
    more.insert(more.end(), sizes.begin(), sizes.end());
    Trainer::start(labelled_settings("bag_of_words", more), quiet(folder / name))->run();
    return latest_checkpoint(folder / name).model;
  };
  const NamedTensors whole = train("whole", {"train.batch_size=12"});
  const NamedTensors parts = train("parts", {"train.batch_size=3", "train.accumulate=4"});
  REQUIRE(whole.size() == parts.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    const std::vector<float> a = whole[i].tensor.to_vector<float>(), b = parts[i].tensor.to_vector<float>();
    REQUIRE(a.size() == b.size());
    float difference = 0;
    for (size_t k = 0; k < a.size(); ++k) difference = std::max(difference, std::abs(a[k] - b[k]));
    CHECK(difference < 1e-6F);
  }
}

TEST_CASE("each of two objectives moves its own parameters alone, at the steps that it asks for") {
  for (const bool generator_is_slow : {true, false}) {
    CAPTURE(generator_is_slow);
    const std::string slow = generator_is_slow ? "generator" : "discriminator";
    const std::string fast = generator_is_slow ? "discriminator" : "generator";
    const TemporaryFolder folder;
    Trainer::start(gan_settings({"toy_gan." + slow + "_every=2"}), quiet(folder / "run", 2))->run();
    std::vector<Checkpoint> steps = {latest_checkpoint(folder / "run")};
    for (const int64_t step : {3, 4}) {
      Trainer::resume(quiet(folder / "run", step))->run();
      steps.push_back(latest_checkpoint(folder / "run"));
    }
    for (size_t i = 0; i < steps[0].model.size(); ++i) {
      const std::string& name = steps[0].model[i].name;
      CAPTURE(name);
      const bool rests = same_values(steps[0].model[i].tensor, steps[1].model[i].tensor);
      CHECK(rests == name.starts_with(slow + "."));
      CHECK_FALSE(same_values(steps[1].model[i].tensor, steps[2].model[i].tensor));
    }
    const std::vector<MetricsRow> rows = read_metrics(folder / "run" / "metrics.jsonl");
    REQUIRE(rows.size() == 4);
    for (const MetricsRow& row : rows) {
      CHECK(row.value("loss_" + fast));
      CHECK(row.value("gradient_norm_" + fast));
      CHECK(row.value("loss_" + slow).has_value() == (row.step % 2 == 0));
      CHECK_FALSE(row.value("loss"));
    }
  }
}

TEST_CASE("a checkpoint holds the optimizers of both objectives, and a stopped run ends with the same bits") {
  const TemporaryFolder folder;
  const Settings settings = gan_settings(
      {"toy_gan.discriminator_every=2", "optimizer.ema=0.9", "train.log_every=4", "train.accumulate=2"});
  Trainer::start(settings, quiet(folder / "straight"))->run();
  Trainer::start(settings, quiet(folder / "stopped", 3))->run();
  for (const int64_t step : {6, 7, 9}) Trainer::resume(quiet(folder / "stopped", step))->run();
  const Checkpoint straight = latest_checkpoint(folder / "straight");
  check_same(straight, latest_checkpoint(folder / "stopped"));
  CHECK(read_text(folder / "straight" / "metrics.jsonl") == read_text(folder / "stopped" / "metrics.jsonl"));
  const auto steps_of = [&](const std::string& name) {
    for (const NamedTensor& tensor : straight.optimizer) {
      if (tensor.name == name) return tensor.tensor.item();
    }
    return -1.0;
  };
  CHECK(steps_of("generator.generator.weight.steps") == 9);
  CHECK(steps_of("discriminator.discriminator.hidden.weight.steps") == 4);
  CHECK(steps_of("discriminator.generator.weight.steps") == -1);
  CHECK(steps_of("generator.discriminator.hidden.weight.steps") == -1);
}

TEST_CASE("an adversarial model is evaluated by the losses of its objectives, with errors, and has no best") {
  const TemporaryFolder folder;
  const Settings settings = gan_settings({"train.evaluate_every=3", "train.checkpoint_every=3"});
  const TrainResult result = Trainer::start(settings, quiet(folder / "run"))->run();
  REQUIRE(result.evaluation);
  CHECK(result.evaluation->measures.at(1).name == "loss_discriminator");
  // The losses work against one another: no checkpoint is the best, and the last one stands.
  CHECK_FALSE(std::filesystem::exists(folder / "run" / "best"));
  CHECK_FALSE(find_best_checkpoint(folder / "run"));
  CHECK(latest_checkpoint(folder / "run").step == 9);
  int evaluations = 0;
  for (const MetricsRow& row : read_metrics(folder / "run" / "metrics.jsonl")) {
    if (!row.value("validation_loss_generator")) continue;
    ++evaluations;
    for (const char* name : {"validation_loss_generator_error", "validation_loss_discriminator",
                             "validation_loss_discriminator_error"})
      CHECK_MESSAGE(row.value(name), name);
  }
  CHECK(evaluations == 3);
  const Measure& loss = result.evaluation->measures.front();
  CHECK(loss.name == "loss_generator");
  CHECK(loss.value > 0);
  REQUIRE(loss.error);
  CHECK(*loss.error > 0);
  CHECK(*loss.error < 0.1);
  CHECK(result.evaluation->at("points").value == 50);
}

TEST_CASE("a model that stands on a frozen run changes nothing of it, and saves nothing of it") {
  const TemporaryFolder folder;
  Trainer::start(labelled_settings("bag_of_words", {"train.steps=3"}), quiet(folder / "teacher"))->run();
  const auto before = contents_of(folder / "teacher");
  const Settings settings =
      labelled_settings("toy_student", {"toy.run=" + (folder / "teacher").string(), "train.steps=8"});
  Trainer::start(settings, quiet(folder / "straight"))->run();
  Trainer::start(settings, quiet(folder / "student", 5))->run();
  Trainer::resume(quiet(folder / "student"))->run();
  CHECK(contents_of(folder / "teacher") == before);
  const Checkpoint student = latest_checkpoint(folder / "student");
  check_same(latest_checkpoint(folder / "straight"), student);

  double weights = 0;
  for (const NamedTensor& tensor : latest_checkpoint(folder / "teacher").model) {
    for (const float weight : tensor.tensor.to_vector<float>()) weights += std::abs(weight);
  }
  const std::vector<MetricsRow> rows = read_metrics(folder / "student" / "metrics.jsonl");
  for (size_t i = 0; i < 8; ++i) CHECK(rows[i].value("teacher_weights") == weights);
  CHECK(*rows[7].value("loss") < *rows[0].value("loss"));
  std::vector<std::string> names;
  for (const NamedTensor& tensor : student.model) names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"embedding.weight", "head.weight", "head.bias"});
}

TEST_CASE("a run does not go on with a frozen run whose weights have changed, or that is gone") {
  const TemporaryFolder folder;
  const std::filesystem::path teacher = folder / "teacher";
  Trainer::start(labelled_settings("bag_of_words", {"train.steps=4"}), quiet(teacher, 3))->run();
  Trainer::start(labelled_settings("toy_student", {"toy.run=" + teacher.string()}),
                 quiet(folder / "student", 2))
      ->run();
  const auto resume = [&] { return error_of([&] { Trainer::resume(quiet(folder / "student", 4))->run(); }); };
  std::filesystem::copy(teacher, folder / "before", std::filesystem::copy_options::recursive);

  Trainer::resume(quiet(teacher))->run();
  std::string sentence = resume();
  CAPTURE(sentence);
  CHECK(sentence.starts_with((teacher / "step-000004" / "model.safetensors").string() +
                             " has changed since the run began, from "));
  CHECK(sentence.ends_with(": the run can only go on with the same weights"));
  CHECK(sentence.find('\n') == std::string::npos);

  std::filesystem::remove_all(teacher);
  CHECK(resume() == "toy.run " + teacher.string() +
                        ": there is no such run; where it is now, haze train --resume --out " +
                        (folder / "student").string() + " --set toy.run=RUN says");
  CHECK(latest_checkpoint(folder / "student").step == 2);

  std::filesystem::rename(folder / "before", teacher);
  CHECK(resume() == "no error");
  CHECK(latest_checkpoint(folder / "student").step == 4);
}

TEST_CASE("a frozen run that is missing, or not named, stops a new run before there is a folder") {
  const TemporaryFolder folder;
  const auto start = [&](const std::vector<std::string>& more) {
    return error_of([&] { Trainer::start(labelled_settings("toy_student", more), quiet(folder / "run")); });
  };
  CHECK(start({}) == "toy_student: toy.run has to name the teacher's run");
  CHECK(start({"toy.run=" + (folder / "nowhere").string()}) ==
        (folder / "nowhere").string() + ": there is no such run");
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
}

TEST_CASE("a run that only sampling stands on can be named, changed and trained on between samplings") {
  const TemporaryFolder folder;
  const std::filesystem::path guide = folder / "guide", guided = folder / "guided";
  Trainer::start(labelled_settings("bag_of_words", {"train.steps=4"}), quiet(guide, 3))->run();
  Trainer::start(labelled_settings("toy_guided"), quiet(guided, 2))->run();
  const auto guide_of = [&](const std::filesystem::path& run) {
    const SavedModel saved =
        load_model(guided, [&](Settings& settings) { settings.set("sample.guide", run.string()); });
    return dynamic_cast<const Guided&>(*saved.model).guide;
  };
  CHECK(guide_of("") == nullptr);
  const auto weight = [](const std::shared_ptr<Model>& model) {
    return model->parameters().front().variable->value().to_vector<float>();
  };
  const auto early = weight(guide_of(guide));
  Trainer::resume(quiet(guide))->run();
  CHECK(weight(guide_of(guide)) != early);
  CHECK(error_of([&] { guide_of(folder / "nowhere"); }) ==
        (folder / "nowhere").string() + ": there is no such run");
  Trainer::resume(quiet(guided, 3))->run();  // the guide was no part of training
}

TEST_CASE("training starts, goes on and gives its weights away without a run that only sampling stands on") {
  const TemporaryFolder folder;
  const std::filesystem::path guide = folder / "guide", guided = folder / "guided";
  Trainer::start(labelled_settings("bag_of_words", {"train.steps=2"}), quiet(guide))->run();
  const std::string setting = "sample.guide=" + guide.string();
  Trainer::start(labelled_settings("toy_guided", {setting}), quiet(guided, 2))->run();
  CHECK(dynamic_cast<const Guided&>(*load_model(guided).model).guide);
  CHECK_FALSE(dynamic_cast<const Guided&>(*load_model(guided, {}, Purpose::training).model).guide);

  std::filesystem::rename(guide, folder / "moved");
  CHECK(error_of([&] { Trainer::resume(quiet(guided, 4))->run(); }) == "no error");
  CHECK(latest_checkpoint(guided).step == 4);
  const Settings fresh = labelled_settings("toy_guided", {setting, "train.steps=1"});
  TrainOptions options = quiet(folder / "second");
  options.initial_run = guided;
  CHECK(error_of([&] { Trainer::start(fresh, options)->run(); }) == "no error");
  CHECK(error_of([&] { load_model(guided); }) == guide.string() + ": there is no such run");
}

TEST_CASE("the name of a model that is in the table cannot be taken again") {
  labelled_settings("bag_of_words");  // adds the models of this file, where no test before has
  CHECK(error_of([] { add_model({bag_of_words_model(), ""}); }) == "there is a model 'bag_of_words' already");
  CHECK(error_of([] {
          add_model({model_table().front().info, ""});
        }) == "there is a model '" + model_table().front().info.name + "' already");
}
