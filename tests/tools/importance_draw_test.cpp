#include <doctest/doctest.h>

#include "temporary_folder.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

Settings importance_settings(const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = {"model=ddpm",
                                          "ddpm.step_draw=importance",
                                          "ddpm.loss=bound",
                                          "ddpm.steps=4",
                                          "mlp.hidden=8",
                                          "mlp.layers=1",
                                          "data.train_size=200",
                                          "data.valid_size=20",
                                          "train.steps=12",
                                          "train.batch_size=16",
                                          "train.log_every=1",
                                          "train.evaluate_every=4",
                                          "optimizer.warmup_steps=0",
                                          "optimizer.ema=0.9"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

Tensor tensor_called(const NamedTensors& tensors, const std::string& name) {
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name == name) return tensor.tensor;
  }
  FAIL("there is no tensor " << name);
  return {};
}

}  // namespace

TEST_CASE(
    "a run that draws t by its losses goes on with the same bits after a stop, the history among them") {
  for (const std::string accumulate : {"1", "2"}) {
    CAPTURE(accumulate);
    const TemporaryFolder folder;
    const Settings settings = importance_settings({"train.accumulate=" + accumulate});
    Trainer::start(settings, quiet(folder / "straight"))->run();
    Trainer::start(settings, quiet(folder / "stopped", 2))->run();  // before the history is full
    for (const int64_t step : {7, 12}) Trainer::resume(quiet(folder / "stopped", step))->run();
    const Checkpoint straight = latest_checkpoint(folder / "straight");
    check_same(straight, latest_checkpoint(folder / "stopped"));
    CHECK(read_text(folder / "straight" / "metrics.jsonl") ==
          read_text(folder / "stopped" / "metrics.jsonl"));
    for (int32_t count : tensor_called(straight.model, "loss_history.counts").to_vector<int32_t>())
      CHECK(count >= 10);
  }
}

TEST_CASE("evaluations in between change nothing of the history of losses") {
  const TemporaryFolder folder;
  const auto history = [&](const std::string& every) {
    Trainer::start(importance_settings({"train.evaluate_every=" + every}), quiet(folder / every))->run();
    return tensor_called(latest_checkpoint(folder / every).model, "loss_history.losses").to_vector<float>();
  };
  CHECK(history("2") == history("100"));
}
