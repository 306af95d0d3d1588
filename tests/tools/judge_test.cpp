#include "haze/tools/tasks/judge.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/engine/ops.h"
#include "haze/tools/run/compare_picture.h"
#include "haze/tools/run/compare_runs.h"

#include "error_of.h"
#include "program.h"
#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// The features of an example are its sum and 1; its class is the sum, rounded down.
class Summing : public Model, public FeatureExtractor {
 public:
  Loss loss(const Batch&, size_t, const ForwardContext&) const override { fail("it has no loss"); }
  const FeatureExtractor* feature_extractor() const override { return this; }
  Tensor features(const Tensor& values) const override {
    largest_ = std::max(largest_, values.size(0));
    std::vector<float> features;
    for (const double sum : sums(values)) features.insert(features.end(), {static_cast<float>(sum), 1});
    return Tensor::from(features, {values.size(0), 2});
  }
  Tensor classes(const Tensor& values) const override {
    std::vector<int32_t> classes;
    for (const double sum : sums(values)) classes.push_back(static_cast<int32_t>(sum));
    return Tensor::from(classes, {values.size(0)});
  }
  int64_t largest() const { return largest_; }

 private:
  static std::vector<double> sums(const Tensor& values) {
    return reduce(ReduceOp::sum, values, {1, 2}).to_vector<double>();
  }
  mutable int64_t largest_ = 0;
};

/// Images [count, 1, 2] whose sums are 0.5, 1.5, 2.5 ...
Tensor rising_images(int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.insert(values.end(), {static_cast<float>(i), 0.5F});
  return Tensor::from(values, {count, 1, 2});
}

/// A table of images of a second or two: a classifier, which judges, and two models that it judges.
std::string table_toml(const std::filesystem::path& folder) {
  return fmt::format(R"(
runs = "{0}/runs"
seeds = [1]
set = ["data.set=digits", "data.train_size=40", "data.valid_size=20", "train.steps=2", "train.batch_size=4",
       "data.judge={0}/runs/judge-seed-1"]
columns = ["frechet_distance", "judge_accuracy", "precision"]
[evaluation]
samples = 8
[[rows]]
name = "judge"
set = ["model=noisy_classifier", "noisy_classifier.width=8"]
[[rows]]
name = "VAE"
set = ["model=vae", "vae.hidden=8"]
[[rows]]
name = "GAN"
set = ["model=gan", "gan.hidden=8"]
)",
                     folder.string());
}

}  // namespace

TEST_CASE("a judge gives features and accuracy of all examples, a few hundred at a time") {
  const auto model = std::make_shared<Summing>();
  const Judge judge(model);
  const SampleSet features = judge.features(rising_images(600));
  CHECK(features.count == 600);
  CHECK(features.dimensions == 2);
  CHECK(features.row(599)[0] == 599.5);
  CHECK(features.row(599)[1] == 1);
  CHECK(model->largest() == 256);
  std::vector<int32_t> labels(600);
  for (size_t i = 0; i < 450; ++i) labels[i] = static_cast<int32_t>(i);
  CHECK(judge.accuracy(rising_images(600), Tensor::from(labels, {600})) == 0.75);
  CHECK(error_of([&] { judge.accuracy(rising_images(3), Tensor::from(labels, {600})); }) ==
        "3 examples have 600 labels");
}

TEST_CASE("a row of a table judges the others, and a picture shows data and samples beside each other") {
  const TemporaryFolder folder;
  write_text(folder / "table.toml", table_toml(folder.path()));
  const std::string file = (folder / "table.toml").string(), png = (folder / "rows.png").string();
  const ProgramResult result = run_program({"compare", file, "--png", png, "--threads", "1"});
  INFO(result.error);
  CHECK(result.status == 0);
  CHECK(result.error.find(png + ", from left to right: data; VAE; GAN\n") != std::string::npos);
  CHECK(read_text(png).starts_with("\x89PNG"));

  const CompareTable table = read_compare_table(file);
  const std::vector<CompareRun> runs = find_runs(table);
  CHECK(!runs[0].find("frechet_distance"));
  for (size_t row = 1; row < 3; ++row) {
    CHECK(runs[row].find("frechet_distance")->value > 0);
    CHECK(runs[row].find("frechet_distance_of_data")->value > 0);
    CHECK(runs[row].find("judge_accuracy")->value <= 1);
  }
  // Three sheets of 8 images a row, with gaps of 8 pixels.
  const ComparePicture picture = compare_picture(table, runs);
  const int64_t side = (picture.picture.width - 16) / 3;
  CHECK(picture.picture.width == 3 * side + 16);
  CHECK(picture.panels == std::vector<std::string>{"data", "VAE", "GAN"});
}

TEST_CASE("a run without features, and one of other examples, are no judges") {
  const TemporaryFolder folder;
  write_text(folder / "table.toml", table_toml(folder.path()));
  const std::string file = (folder / "table.toml").string();
  CHECK(run_program({"compare", file, "--threads", "1"}).status == 0);
  const std::string vae = (folder / "runs" / "VAE-seed-1").string();
  CHECK(error_of([&] {
          Judge::load(vae, std::vector<int64_t>{1, 16, 16});
        }) ==
        fmt::format(
            "data.judge: the run in {} is of the model vae, which has no features to compare examples by",
            vae));
  const std::string judge = (folder / "runs" / "judge-seed-1").string();
  CHECK(
      error_of([&] { Judge::load(judge, std::vector<int64_t>{2}); }) ==
      fmt::format("data.judge: the run in {} learned examples of [1, 16, 16], and these are of [2]", judge));
  CHECK(error_of([&] { Judge::load(folder / "none", std::vector<int64_t>{2}); }) ==
        (folder / "none").string() + ": there is no such run");
}

TEST_CASE("a judge that no row trains, and a picture of texts, are refused before training") {
  const TemporaryFolder folder;
  write_text(folder / "table.toml",
             "seeds = [1]\n[[rows]]\nname = \"a\"\nset = [\"model=vae\", \"data.judge=nowhere\"]\n");
  const std::string file = (folder / "table.toml").string();
  CHECK(run_program({"compare", file}).error ==
        "haze: " + file + ":3: data.judge: there is no run 'nowhere', and no earlier row trains it\n");
  write_text(folder / "table.toml", "seeds = [1]\n[[rows]]\nname = \"a\"\nset = [\"model=mdlm\"]\n");
  CHECK(run_program({"compare", file, "--png", (folder / "x.png").string()}).error ==
        "haze: " + file + ":3: the row 'a' makes texts, and there are no pictures of texts\n");
}
