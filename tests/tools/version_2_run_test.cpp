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
  const RunOfVersion2 run;
  const SavedModel saved = load_model(run.path());
  const auto examples = saved.task->examples(saved.settings, Part::test);
  const std::vector<int64_t> indices = spread_indices(examples->size(), 0);
  const Report report = evaluate_bound(*saved.model, *saved.task, *examples, indices,
                                       {.passes = 200, .every_term = true, .seed = 2});
  const Measure& bound = report.at("nats_per_number");
  CHECK(std::abs(bound.value - 3.6553) < 4 * std::hypot(*bound.error, 0.0505));
}
