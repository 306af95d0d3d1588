#include "haze/tools/run/divergence.h"

#include <doctest/doctest.h>

#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// The number of the loss, from 1, with which divergence is found; 0: with none.
size_t found_at(const std::vector<double>& losses) {
  DivergenceDetector detector;
  for (size_t i = 0; i < losses.size(); ++i) {
    if (detector.has_diverged(losses[i])) return i + 1;
  }
  return 0;
}

}  // namespace

TEST_CASE("three losses in a row above ten times the start are divergence, and fewer are not") {
  CHECK(found_at({6, 7, 5, 61, 61, 61}) == 6);
  CHECK(found_at({6, 7, 5, 60, 60, 60, 60}) == 0);
  CHECK(found_at({6, 7, 5, 61, 61, 59, 61, 61, 2}) == 0);
  CHECK(found_at({6, 7, 5, 3, 1, 61, 61, 61}) == 8);
  // Tiny losses vary much; those that can be negative say nothing.
  CHECK(found_at({0.01, 0.01, 0.01, 0.9, 0.9, 0.9}) == 0);
  CHECK(found_at({0.01, 0.01, 0.01, 1.02, 1.02, 1.02}) == 6);
  CHECK(found_at({-1, 2, 1, 100, 100, 100}) == 0);
  DivergenceDetector detector;
  for (const double loss : {6.0, 7.0, 5.0, 100.0}) detector.has_diverged(loss);
  CHECK(detector.start() == 6);
}

TEST_CASE("a training that ruins its weights ends without saving them, and names the way back, which works") {
  const TemporaryFolder folder;
  const std::filesystem::path run = folder / "run";
  const Settings settings = tiny_settings(
      {"transformer.layers=1", "transformer.heads=2", "transformer.dropout=0", "optimizer.kind=sgd",
       "optimizer.learning_rate=30", "optimizer.ema=0", "optimizer.warmup_steps=60",
       "train.checkpoint_every=5", "train.evaluate_every=1000", "train.steps=90"});
  const std::string error = error_of([&] { Trainer::start(settings, quiet(run))->run(); });
  CAPTURE(error);
  const auto step = latest_checkpoint(run).step;
  const std::string way = fmt::format("--init {}/step-{:06} ", run.string(), step);
  CHECK(error.find("where it began: the weights are ruined, and are not saved; haze train " + way) !=
        std::string::npos);
  TrainOptions anew = quiet(folder / "anew", 2);
  anew.initial_run = run / fmt::format("step-{:06}", step);
  CHECK(error_of([&] { Trainer::start(tiny_settings(), anew)->run(); }) == "no error");
}
