#include "haze/tools/tasks/tensor_data.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/tasks/png_file.h"
#include "haze/tools/tasks/tensor_task.h"

#include "idx_files.h"
#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

Settings settings_of(const std::vector<std::string>& more) {
  std::vector<std::string> assignments = {"model=ddpm", "data.train_size=50", "data.valid_size=20"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  Settings settings = settings_from({}, assignments);
  resolve_training_settings(settings);
  return settings;
}

Batch all_of(const Settings& settings, Part part) {
  const auto examples = tensor_examples(settings, part);
  return examples->batch(spread_indices(examples->size(), 0));
}

std::string setting_error(const std::vector<std::string>& more) {
  return error_of([&] { settings_of(more); });
}

/// A folder of `count` PNG files of 2 x 3 pixels; every pixel of file i is i.
void write_pngs(const std::filesystem::path& folder, int count) {
  for (int i = 0; i < count; ++i)
    write_png(folder / fmt::format("{:02}.png", i),
              {2, 3, 1, std::vector<uint8_t>(6, static_cast<uint8_t>(i))});
}

/// Trains for a few steps, and returns the run's folder.
std::string train(const std::filesystem::path& run, const std::vector<std::string>& more) {
  std::vector<std::string> assignments = {
      "model=ddpm",    "ddpm.steps=10",      "network.kind=mlp",         "mlp.layers=1",
      "mlp.hidden=16", "data.train_size=60", "data.valid_size=20",       "train.batch_size=8",
      "train.steps=4", "train.log_every=2",  "train.evaluate_examples=9"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  const ProgramResult result = run_program(train_arguments(run, assignments));
  INFO(result.error);
  REQUIRE(result.status == 0);
  return run.string();
}

}  // namespace

TEST_CASE("the facts of a set say its shape, its labels and its levels") {
  const auto facts = [](const char* set) {
    return tensor_facts(settings_of({std::string("data.set=") + set}));
  };
  CHECK(facts("eight-gaussians").labels == 8);
  CHECK(facts("two-moons").labels == 2);
  CHECK(facts("swiss-roll").labels == 0);
  CHECK(facts("checkerboard").labels == 8);
  for (const char* set : {"eight-gaussians", "two-moons", "swiss-roll", "checkerboard"}) {
    CHECK(facts(set).value_shape == std::vector<int64_t>{2});
    CHECK(facts(set).value_levels == 0);
  }
  CHECK(facts("digits").value_shape == std::vector<int64_t>{1, 16, 16});
  CHECK(facts("digits").value_levels == 256);
  CHECK(facts("digits").labels == 10);
}

TEST_CASE("a batch of points or digits has the labels of its examples, in their order") {
  for (const char* set : {"two-moons", "digits"}) {
    const Settings settings = settings_of({std::string("data.set=") + set});
    const Batch all = all_of(settings, Part::train);
    const std::vector<int32_t> labels = all.labels.to_vector<int32_t>();
    const std::vector<float> values = all.values.to_vector<float>();
    const size_t numbers = values.size() / labels.size();
    REQUIRE(labels.size() == 50);
    const std::vector<int64_t> chosen = {7, 3, 3, 49};
    const Batch some = tensor_examples(settings, Part::train)->batch(chosen);
    const std::vector<int32_t> some_labels = some.labels.to_vector<int32_t>();
    const std::vector<float> some_values = some.values.to_vector<float>();
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto from = static_cast<size_t>(chosen[i]);
      CHECK(some_labels[i] == labels[from]);
      for (size_t k = 0; k < numbers; ++k) CHECK(some_values[i * numbers + k] == values[from * numbers + k]);
    }
  }
  CHECK_FALSE(all_of(settings_of({"data.set=swiss-roll"}), Part::train).labels.defined());
}

TEST_CASE("values of images are one of 256 levels from -1 to 1") {
  const Batch digits = all_of(settings_of({"data.set=digits"}), Part::valid);
  CHECK(digits.values.shape() == Shape{20, 1, 16, 16});
  for (const float value : digits.values.to_vector<float>()) {
    const double level = (static_cast<double>(value) + 1) / 2 * 255;
    CHECK(std::abs(level - std::round(level)) < 1e-4);
    CHECK(level >= 0);
    CHECK(level <= 255);
  }
}

TEST_CASE("of mnist the last of the training file are for valid, the others for train, t10k for test") {
  const TemporaryFolder folder;
  write_mnist(folder.path(), 30, 7);
  const std::string place = "data.folder=" + folder.path().string();
  const Settings settings = settings_of({"data.set=mnist", place, "data.valid_size=9"});
  CHECK(tensor_facts(settings).value_shape == std::vector<int64_t>{1, 4, 3});
  CHECK(tensor_facts(settings).labels == 10);
  const Batch train = all_of(settings, Part::train), valid = all_of(settings, Part::valid),
              test = all_of(settings, Part::test);
  CHECK(train.size() == 21);
  CHECK(valid.size() == 9);
  CHECK(test.size() == 7);
  // The first pixel of image i of a file is 7 i.
  CHECK(valid.values.to_vector<float>()[0] == static_cast<float>(2 * 147.0 / 255 - 1));
  CHECK(valid.labels.to_vector<int32_t>() == std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(test.labels.to_vector<int32_t>() == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6});
  CHECK(all_of(settings_of({"data.set=mnist", place, "data.valid_size=9", "data.train_size=5"}), Part::train)
            .size() == 5);
  CHECK(tensor_origin(settings, Part::train) == "mnist of " + folder.path().string() + ", 21 images");
  const Settings all_valid = settings_of({"data.set=mnist", place, "data.valid_size=30"});
  CHECK(error_of([&] {
          tensor_examples(all_valid, Part::train);
        }).find("data.valid_size 30 leaves none of its 30 images to train on") != std::string::npos);
}

TEST_CASE("a changed file or another number of examples changes a part's fingerprint, nothing else does") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "png");
  write_mnist(folder / "mnist", 30, 7);
  write_pngs(folder / "png", 30);
  const auto fingerprint = [&](const std::string& set, const std::string& valid, Part part) {
    return tensor_fingerprint(settings_of({"data.set=" + set, "data.folder=" + (folder / set).string(),
                                           "data.valid_size=" + valid}),
                              part);
  };
  const std::string mnist = fingerprint("mnist", "9", Part::train),
                    png = fingerprint("png", "9", Part::train);
  CHECK(fingerprint("mnist", "9", Part::train) == mnist);
  CHECK(fingerprint("mnist", "8", Part::train) != mnist);
  std::string labels = idx_labels(30);
  labels[20] = 0;
  write_text(folder / "mnist" / "train-labels-idx1-ubyte", labels);
  CHECK(fingerprint("mnist", "9", Part::train) != mnist);
  CHECK(fingerprint("png", "9", Part::train) == png);
  write_png(folder / "png" / "05.png", {2, 3, 1, std::vector<uint8_t>(6, 99)});
  CHECK(fingerprint("png", "9", Part::train) != png);
  CHECK(fingerprint("png", "9", Part::valid) != png);
}

TEST_CASE("data.folder belongs to mnist and png, and to no set that is drawn") {
  CHECK(
      setting_error({"data.set=mnist"}) ==
      "data.folder and data.set mnist go together: the sets mnist and png are read from a folder, the others "
      "are drawn");
  CHECK(setting_error({"data.set=png"}).starts_with("data.folder and data.set png go together"));
  for (const char* set : {"digits", "eight-gaussians", "checkerboard"}) {
    CHECK(setting_error({std::string("data.set=") + set, "data.folder=x"})
              .starts_with(std::string("data.folder and data.set ") + set + " exclude one another"));
  }
  check_failure(train_arguments("unused", {"model=ddpm", "data.set=mnist", "data.folder=/no/such/folder"}), 1,
                "/no/such/folder: there is no such folder");
}

TEST_CASE("a run on MNIST samples without its files, and goes on only with the same ones") {
  const TemporaryFolder folder;
  const std::filesystem::path files = folder / "mnist";
  write_mnist(files, 90, 12);
  const std::string run =
      train(folder / "run", {"data.set=mnist", "data.folder=" + files.string(), "train.checkpoint_every=2"});
  const ProgramResult evaluation = run_program({"eval", run, "--json", "--passes", "5"});
  REQUIRE(evaluation.status == 0);
  CHECK(json::parse(evaluation.output).at("images") == 12);
  CHECK(json::parse(evaluation.output).at("numbers") == 12 * 12);
  std::string images = idx_images(90, 4, 3);
  images.back() = static_cast<char>(images.back() ^ 1);
  write_text(files / "train-images-idx3-ubyte", images);
  check_failure({"train", "--resume", "--out", run, "--set", "train.steps=6"}, 1,
                "has changed since the run began");
  std::filesystem::remove_all(files);
  const ProgramResult samples = run_program({"sample", run, "--count", "2", "--json"});
  INFO(samples.error);
  REQUIRE(samples.status == 0);
  CHECK(json::parse(lines_of(samples.output).at(1)).at("values").size() == 12);
}

TEST_CASE("samples of images are a sheet in PNG, rows of characters and numbers in JSON") {
  const TemporaryFolder folder;
  const std::string run = train(folder / "run", {"data.set=digits"}), png = (folder / "x.png").string();
  const ProgramResult text = run_program({"sample", run, "--count", "4", "--png", png});
  INFO(text.error);
  REQUIRE(text.status == 0);
  const std::vector<std::string> lines = lines_of(text.output);
  CHECK(lines.size() == 4 * 17);
  for (size_t i = 0; i < lines.size(); ++i) CHECK(lines[i].size() == (i % 17 == 16 ? 0 : 32));
  const PngImage sheet = read_png(png);
  CHECK(sheet.width == 2 + 2 * 66);
  CHECK(sheet.height == 2 + 2 * 66);
  const ProgramResult objects = run_program({"sample", run, "--count", "4", "--json"});
  CHECK(json::parse(lines_of(objects.output).at(3)).at("values").size() == 256);
}

TEST_CASE("a folder of PNG files that is not what it says is one sentence, and no run begins") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "png");
  write_pngs(folder / "png", 20);
  const std::vector<std::string> assignments = {"data.set=png", "data.folder=" + (folder / "png").string()};
  const std::string run = train(folder / "run", assignments);
  const ProgramResult evaluation = run_program({"eval", run, "--json", "--passes", "5"});
  CHECK(json::parse(evaluation.output).at("images") == 2);
  write_text(folder / "png" / "07.png", "no image");
  std::vector<std::string> again = train_arguments(folder / "other", {"model=ddpm", "network.kind=mlp"});
  for (const std::string& assignment : assignments) again.insert(again.end(), {"--set", assignment});
  check_failure(again, 1, (folder / "png" / "07.png").string() + ": it is no PNG file");
}

TEST_CASE("a part that is missing, or of other images, is refused before a run begins") {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& set, const std::string& part) {
    std::vector<std::string> command =
        train_arguments(folder / "run", {"model=ddpm", "network.kind=mlp", "data.set=" + set,
                                         "data.folder=" + (folder / set).string(), "data.valid_size=5"});
    check_failure(command, 1, part);
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
  };
  for (const char* part : {"train", "valid"}) {
    std::filesystem::create_directories(folder / "png" / part);
    write_pngs(folder / "png" / part, 6);
  }
  refused("png", (folder / "png" / "test").string() +
                     ": there is no such folder, and where one of the parts train, valid and test has one, "
                     "all have");
  std::filesystem::create_directories(folder / "png" / "test");
  refused("png", (folder / "png" / "test").string() + ": there is no PNG file in it");
  write_png(folder / "png" / "test" / "a.png", {3, 3, 1, std::vector<uint8_t>(9)});
  refused("png", (folder / "png" / "test" / "a.png").string() + ": the image is 3 x 3 pixels, gray; ");
  write_mnist(folder / "mnist", 30, 7);
  write_text(folder / "mnist" / "t10k-images-idx3-ubyte", idx_images(7, 4, 4));
  refused("mnist", "t10k-images-idx3-ubyte: its images are of 4 x 4 pixels, and those of ");
  write_text(folder / "mnist" / "t10k-images-idx3-ubyte", idx_images(8, 4, 3));
  refused("mnist", "t10k-labels-idx1-ubyte holds 7 labels, and ");
  std::filesystem::remove(folder / "mnist" / "t10k-images-idx3-ubyte");
  refused("mnist", "t10k-images-idx3-ubyte: the file is not there");
}

TEST_CASE("one class is asked for by its number where the sampler can draw one, and refused otherwise") {
  Uses can;
  can.label = true;
  SampleRequest request;
  CHECK_FALSE(wanted_label(request, {}, 0, "x").has_value());
  request.label = 7;
  CHECK(wanted_label(request, can, 8, "x") == 7);
  CHECK(error_of([&] { wanted_label(request, {}, 8, "x"); }) ==
        "the model x cannot draw examples of one label");
  CHECK(error_of([&] { wanted_label(request, can, 7, "x"); }) == "label 7: the data have the labels 0 to 6");
  CHECK(error_of([&] { wanted_label(request, can, 0, "x"); }) == "label 7: the data have no labels");
  const TensorTask task("x", {.labels = 8, .value_shape = {2}});
  const Settings settings = settings_of({});
  request.count = 3;
  for (const Request& one : task.requests(settings, can, request)) CHECK(one.label == 7);
}

TEST_CASE("haze data show prints examples with their labels, or writes a picture of them") {
  const std::vector<std::string> points =
      lines_of(run_program({"data", "show", "two-moons", "--count", "3"}).output);
  REQUIRE(points.size() == 3);
  for (const std::string& line : points) CHECK(line.starts_with("label "));
  CHECK(lines_of(run_program({"data", "show", "digits", "--count", "2"}).output).size() == 2 * 18);
  const TemporaryFolder folder;
  write_mnist(folder / "mnist", 30, 7);
  const ProgramResult few =
      run_program({"data", "show", "mnist", "--folder", (folder / "mnist").string(), "--count", "3"});
  CHECK(lines_of(few.output).size() == 3 * (1 + 4 + 1));
  const std::string png = (folder / "x.png").string();
  CHECK(run_program({"data", "show", "checkerboard", "--png", png}).status == 0);
  CHECK(read_png(png).width == 2 * 400 + 8);
  check_failure({"data", "show", "digits", "--folder", "x"}, 1, "exclude one another");
  check_failure({"data", "show", "mnist", "--folder", (folder / "none").string()}, 1, "no such folder");
  check_failure({"data", "show", "moons"}, 1, "'data.set' takes");
}
