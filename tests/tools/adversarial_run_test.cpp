#include <cmath>
#include <deque>

#include <doctest/doctest.h>

#include "haze/nn/optimizer.h"
#include "haze/nn/parameter_groups.h"
#include "haze/tools/run/evaluation.h"

#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::string kLosses[] = {"gan.loss=non-saturating", "gan.loss=wgan-gp"};

Settings adversarial_settings(const std::string& loss, const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = {"model=gan",
                                          loss,
                                          "gan.layers=1",
                                          "gan.hidden=8",
                                          "gan.discriminator_steps=2",
                                          "data.train_size=200",
                                          "data.valid_size=50",
                                          "train.steps=9",
                                          "train.batch_size=16",
                                          "train.log_every=1",
                                          "train.evaluate_every=100",
                                          "optimizer.warmup_steps=0",
                                          "optimizer.schedule=constant",
                                          "optimizer.beta1=0.5",
                                          "optimizer.clip_norm=0",
                                          "optimizer.learning_rate=0.01"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

}  // namespace

TEST_CASE(
    "an adversarial run that is stopped and resumed ends with the same bits, and so does the same seed") {
  for (const std::string& loss : kLosses) {
    CAPTURE(loss);
    const TemporaryFolder folder;
    const Settings settings = adversarial_settings(loss, {"optimizer.ema=0.9", "train.log_every=4"});
    for (const char* name : {"straight", "again"}) Trainer::start(settings, quiet(folder / name))->run();
    Trainer::start(settings, quiet(folder / "stopped", 3))->run();
    for (const int64_t step : {4, 7, 9}) Trainer::resume(quiet(folder / "stopped", step))->run();
    const Checkpoint straight = latest_checkpoint(folder / "straight");
    check_same(straight, latest_checkpoint(folder / "again"));
    check_same(straight, latest_checkpoint(folder / "stopped"));
    CHECK(read_text(folder / "straight" / "metrics.jsonl") ==
          read_text(folder / "stopped" / "metrics.jsonl"));
    CHECK_FALSE(find_best_checkpoint(folder / "straight"));
  }
}

TEST_CASE(
    "the trainer's steps are those of the paper's algorithm, written by hand with each network's gradient") {
  for (const std::string& loss : kLosses) {
    CAPTURE(loss);
    const TemporaryFolder folder;
    const Settings settings = adversarial_settings(loss);
    const std::unique_ptr<Trainer> trainer = Trainer::start(settings, quiet(folder / "run", 6));
    SavedModel by_hand = [&] {
      // The weights before the first step: those that the run's seed draws.
      const std::unique_ptr<Task> task = start_task(settings, folder / "hand");
      Generator initial(1, 1);
      std::unique_ptr<Model> model = make_model(settings, task->facts(), initial);
      return SavedModel{settings, start_task(settings, folder / "hand"), std::move(model)};
    }();
    trainer->run();

    const std::unique_ptr<Examples> examples = by_hand.task->examples(settings, Part::train);
    BatchStream stream(examples->size(), 16, 1);
    Generator generator(1, 2);
    Model& model = *by_hand.model;
    std::deque<AdamW> optimizers;  // neither copied nor moved
    const std::vector<Objective> objectives = model.objectives();
    for (const Objective& objective : objectives)
      optimizers.emplace_back(objective.parameters, AdamWHyperparameters{.beta1 = 0.5, .weight_decay = 0.01});
    for (int step = 1; step <= 6; ++step) {
      const Batch batch = examples->batch(stream.next());
      for (size_t i = 0; i < 2; ++i) {
        if (step % objectives[i].every != 0) continue;
        const Batch prepared = model.prepare(batch, i, generator);
        // gradient() leaves the leaves alone: only this objective's parameters are given theirs.
        std::vector<Variable> own;
        for (const NamedParameter& parameter : objectives[i].parameters) own.push_back(*parameter.variable);
        const Gradients gradients = gradient(model.loss(prepared, i, {true, &generator}).total, own);
        model.clear_gradients();
        Variable sum;
        for (size_t k = 0; k < own.size(); ++k) {
          const Variable part = haze::sum(own[k] * gradients[k].detach());
          sum = k == 0 ? part : sum + part;
        }
        backward(sum);
        optimizers[i].step(0.01);
      }
    }
    check_same_bits(latest_checkpoint(folder / "run").model, state_tensors(model));
  }
}

TEST_CASE("the losses of an adversarial run are logged with what its discriminator says") {
  const TemporaryFolder folder;
  Trainer::start(adversarial_settings(kLosses[1]), quiet(folder / "run"))->run();
  for (const MetricsRow& row : read_metrics(folder / "run" / "metrics.jsonl")) {
    if (row.value("validation_loss_discriminator")) continue;
    for (const char* name : {"loss_discriminator", "gradient_norm_discriminator", "critic_of_real",
                             "critic_of_fake", "penalty", "critic_slope"})
      CHECK_MESSAGE(row.value(name), name);
    CHECK(row.value("loss_generator").has_value() == (row.step % 2 == 0));
  }
}

TEST_CASE("an evaluation can take more importance samples than the training did") {
  const TemporaryFolder folder;
  Settings settings = settings_from({}, {"model=vae", "vae.layers=1", "vae.hidden=8", "data.train_size=200",
                                         "data.valid_size=60", "train.steps=10", "train.batch_size=16"});
  resolve_training_settings(settings);
  Trainer::start(settings, quiet(folder / "run"))->run();
  CHECK(find_best_checkpoint(folder / "run"));
  const auto nats = [&](const std::string& samples) {
    const SavedModel saved = load_model(folder / "run", [&](Settings& changed) {
      set_for_evaluation({"sample.importance_samples=" + samples}, false, changed);
    });
    RunEvaluationOptions options;
    options.bound.passes = 20;
    options.samples = 0;
    return evaluate_run(saved, options).measures.front();
  };
  const Measure one = nats("1"), many = nats("64");
  REQUIRE(one.error);
  REQUIRE(many.error);
  CHECK(many.value < one.value - 4 * std::hypot(*one.error, *many.error));
}
