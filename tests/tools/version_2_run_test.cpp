#include <cmath>

#include <doctest/doctest.h>

#include "haze/nn/safetensors.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/sampling.h"

#include "temporary_folder.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// A copy of a run that the last program of settings version 2 trained on eight Gaussians, with `ddpm.steps`
/// 20, and stopped at step 1195 of 1200.
class RunOfVersion2 {
 public:
  RunOfVersion2() {
    std::filesystem::copy(std::filesystem::path(HAZE_TEST_DATA) / "run_of_version_2", path(),
                          std::filesystem::copy_options::recursive);
  }
  std::filesystem::path path() const { return folder_ / "run"; }

 private:
  TemporaryFolder folder_;
};

Measure bound_of(const RunOfVersion2& run, const EvaluationOptions& options) {
  const SavedModel saved = load_model(run.path());
  const auto examples = saved.task->examples(saved.settings, Part::test);
  const std::vector<int64_t> indices = spread_indices(examples->size(), 0);
  return evaluate_bound(*saved.model, *saved.task, *examples, indices, options).at("nats_per_number");
}

}  // namespace

TEST_CASE("a run of settings version 2 goes on to the weights that its program went on to") {
  const RunOfVersion2 run;
  CHECK(Trainer::resume(quiet(run.path()))->run().step == 1200);
  const SafetensorsContents expected =
      read_safetensors(std::filesystem::path(HAZE_TEST_DATA) / "run_of_version_2_end.safetensors");
  const SafetensorsContents end = read_safetensors(run.path() / "step-001200" / "model.safetensors");
  REQUIRE(end.tensors.size() == expected.tensors.size());
  for (const NamedTensor& tensor : expected.tensors) {
    const std::vector<float> now = end.at(tensor.name).to_vector<float>(),
                             then = tensor.tensor.to_vector<float>();
    REQUIRE(now.size() == then.size());
    for (size_t i = 0; i < now.size(); ++i) CHECK(std::abs(now[i] - then[i]) < 1e-5);
  }
}

TEST_CASE("a run of settings version 2 has the bound that its program measured (4 standard errors)") {
  // Of 8000 passes with all terms.
  constexpr double kThen = 3.63590, kErrorThen = 0.00793;
  const Measure bound = bound_of(RunOfVersion2(), {.passes = 600, .every_term = true, .seed = 2});
  CHECK(*bound.error < 0.04);
  CHECK(std::abs(bound.value - kThen) < 4 * std::hypot(*bound.error, kErrorThen));
}

TEST_CASE("a run of settings version 2 has the bound of its program with the same random numbers") {
  const Measure bound = bound_of(RunOfVersion2(), {.passes = 20, .every_term = true, .seed = 1});
  CHECK(std::abs(bound.value - 3.7584411) < 1e-5);
  CHECK(std::abs(*bound.error - 0.1261252) < 1e-5);
}
