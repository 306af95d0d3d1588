#include "haze/tools/tasks/tensor_task.h"

#include <cmath>
#include <numbers>
#include <sstream>

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/tools/run/training_settings.h"
#include "haze/tools/tasks/png_file.h"

#include "error_of.h"
#include "program.h"
#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

/// A small model of points after 100 steps, which the tests of this file share.
const std::string& points_run() {
  static const TemporaryFolder folder;
  static const std::string run = [] {
    const std::vector<std::string> assignments = {"model=ddpm",
                                                  "ddpm.steps=20",
                                                  "mlp.layers=1",
                                                  "mlp.hidden=16",
                                                  "data.train_size=500",
                                                  "data.valid_size=60",
                                                  "train.batch_size=32",
                                                  "train.steps=100",
                                                  "train.evaluate_every=50",
                                                  "optimizer.ema=0.9",
                                                  "optimizer.warmup_steps=10",
                                                  "train.log_every=10"};
    std::vector<std::string> arguments = train_arguments(folder / "run", assignments);
    arguments.push_back("--json");
    const ProgramResult result = run_program(arguments);
    INFO(result.error);
    REQUIRE(result.status == 0);
    REQUIRE(json::parse(result.output).at("step") == 100);
    return (folder / "run").string();
  }();
  return run;
}

json eval(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"eval", points_run(), "--json", "--threads", "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const ProgramResult result = run_program(arguments);
  INFO(result.error);
  REQUIRE(result.status == 0);
  return json::parse(result.output);
}

std::vector<double> numbers_of(const std::string& line) {
  std::istringstream stream(line);
  return {std::istream_iterator<double>(stream), {}};
}

}  // namespace

TEST_CASE("a model of points is trained, and evaluated on points that it has not seen") {
  const json report = eval({"--passes", "20"});
  CHECK(report.at("data") == "eight-gaussians, 60 points");
  CHECK(report.at("points") == 60);
  CHECK(report.at("numbers") == 120);
  const double nats = report.at("nats_per_number"), error = report.at("nats_per_number_error");
  CHECK(report.at("bits_per_number").get<double>() == doctest::Approx(nats / std::numbers::ln2));
  CHECK(report.at("standard_error") == error);
  CHECK(error > 0);
  // A density's bound can be anything, and e to its power is no number of choices.
  CHECK_FALSE(report.contains("perplexity"));
  CHECK_FALSE(report.contains("floor_nats_per_token"));
  CHECK(eval({"--examples", "7"}).at("points") == 7);
}

TEST_CASE("all terms of the bound of points have the mean of its draws (4 standard errors), and less noise") {
  const json drawn = eval({"--passes", "100"}), exact = eval({"--exact", "--passes", "20", "--seed", "5"});
  const double error = drawn.at("nats_per_number_error"), exact_error = exact.at("nats_per_number_error");
  const double difference =
      drawn.at("nats_per_number").get<double>() - exact.at("nats_per_number").get<double>();
  CHECK(std::abs(difference) < 4 * std::hypot(error, exact_error));
  CHECK(exact_error < error);
}

TEST_CASE("a report names an exact likelihood, an estimate of it and a bound by what they are") {
  const TemporaryFolder folder;
  const auto report_of = [&](const std::string& trace) {
    const std::string run = folder / trace;
    const ProgramResult trained = run_program(train_arguments(
        run,
        {"model=score_sde", "mlp.layers=1", "mlp.hidden=8", "data.train_size=100", "data.valid_size=20",
         "train.batch_size=32", "train.steps=2", "score_sde.tolerance=1e-2", "score_sde.trace=" + trace}));
    INFO(trained.error);
    REQUIRE(trained.status == 0);
    const ProgramResult evaluated = run_program({"eval", run, "--samples", "0", "--threads", "1"});
    INFO(evaluated.error);
    REQUIRE(evaluated.status == 0);
    return evaluated.output.substr(0, evaluated.output.find("nats per number"));
  };
  const std::string exact = report_of("exact"), estimate = report_of("rademacher");
  CHECK_MESSAGE(exact.find("-log likelihood  ") != std::string::npos, exact);
  CHECK(exact.find("+-") == std::string::npos);
  CHECK_MESSAGE(estimate.find("-log likelihood, estimated  ") != std::string::npos, estimate);
  CHECK(estimate.find("+-") != std::string::npos);
  const ProgramResult bound = run_program({"eval", points_run(), "--samples", "0", "--threads", "1"});
  CHECK_MESSAGE(bound.output.find("variational bound  ") != std::string::npos, bound.output);
}

TEST_CASE("a sampling that gives guidance or a classifier, but no label to lead to, is refused") {
  for (const char* option : {"--guidance", "--classifier"}) {
    const ProgramResult result = run_program({"sample", points_run(), "--count", "1", option, "2"});
    CHECK(result.status == 2);
    CHECK_MESSAGE(result.error.find(fmt::format("{} leads samples to a label: say which one with --label",
                                                option)) != std::string::npos,
                  result.error);
  }
}

TEST_CASE("points are written as two numbers a line, the same as the values in JSON") {
  const std::vector<std::string> sample = {"sample", points_run(), "--seed", "4", "--count", "5"};
  const ProgramResult plain = run_program(sample);
  REQUIRE(plain.status == 0);
  std::vector<std::string> with_json = sample;
  with_json.push_back("--json");
  const std::vector<std::string> lines = lines_of(plain.output),
                                 objects = lines_of(run_program(with_json).output);
  REQUIRE(lines.size() == 5);
  REQUIRE(objects.size() == 5);
  for (size_t i = 0; i < 5; ++i) {
    const json object = json::parse(objects[i]);
    CHECK(object.size() == 2);
    CHECK(object.at("seed") == 4);
    const auto values = object.at("values").get<std::vector<double>>();
    const std::vector<double> written = numbers_of(lines[i]);
    REQUIRE(values.size() == 2);
    REQUIRE(written.size() == 2);
    for (size_t axis = 0; axis < 2; ++axis) CHECK(std::abs(values[axis] - written[axis]) <= 0.5001e-5);
  }
  CHECK(lines_of(run_program({"sample", points_run()}).output).size() == 8);
}

TEST_CASE("what a checkpoint says of its images is read, or refused in a sentence") {
  Settings settings = settings_from({}, {"model=ddpm", "data.set=png", "data.folder=moved"});
  const auto facts_of = [&](const std::string& text) {
    return TensorTask::restore(settings, {{"data.json", text}})->facts();
  };
  const auto json_of = [](const std::string& shape, const std::string& levels, const std::string& labels) {
    return fmt::format(R"({{"value_shape":{},"value_levels":{},"labels":{}}})", shape, levels, labels);
  };
  const DataFacts facts = facts_of(json_of("[3,16,8]", "256", "10"));
  CHECK(facts.value_shape == std::vector<int64_t>{3, 16, 8});
  CHECK(facts.value_levels == 256);
  CHECK(facts.labels == 10);
  CHECK(facts_of(json_of("[1,2,3]", "0", "0")).value_levels == 0);
  const auto refusal = [&](const std::string& text) {
    const std::string sentence = error_of([&] { facts_of(text); });
    CAPTURE(sentence);
    CHECK(sentence.starts_with("data.json of the checkpoint: "));
    CHECK(sentence.find('\n') == std::string::npos);
    return sentence.substr(std::min(sentence.size(), std::string("data.json of the checkpoint: ").size()));
  };
  for (const char* levels : {"1", "-1", "-256", "2.5", "1e300", "65537", "\"256\""})
    CHECK(refusal(json_of("[1,4,4]", levels, "0")) == "value_levels is no whole number from 2 to 65536");
  for (const char* labels : {"-1", "0.5", "65537", "18446744073709551615", "null"})
    CHECK(refusal(json_of("[1,4,4]", "256", labels)) == "labels is no whole number from 0 to 65536");
  for (const char* shape : {"[0,4,4]", "[1,-4,4]", "[1,4,4.5]", "[1,9223372036854775807,4]"})
    CHECK(refusal(json_of(shape, "256", "0")) ==
          "an extent of an image is no whole number from 1 to 67108864");
  // Products of 2^64 and 2^27: the first is 0 in 64 bits.
  CHECK(refusal(json_of("[4194304,2097152,2097152]", "256", "0")) ==
        "an image of 4194304 x 2097152 x 2097152 is more than 67108864 numbers");
  CHECK(refusal(json_of("[2,8192,8192]", "256", "0")) ==
        "an image of 2 x 8192 x 8192 is more than 67108864 numbers");
  CHECK(refusal(json_of("[4,4]", "256", "0")) == "it has no shape of images");
  CHECK(refusal(json_of("4", "256", "0")) == "it has no shape of images");
  refusal("{");
  refusal("[]");
}

TEST_CASE("a picture of points shows the density of the data, and the samples beside it") {
  const TemporaryFolder folder;
  const std::filesystem::path png = folder / "x.png";
  const ProgramResult result = run_program({"sample", points_run(), "--count", "50", "--png", png.string()});
  CHECK(result.status == 0);
  CHECK(lines_of(result.output).size() == 50);
  const PngImage picture = read_png(png);
  CHECK(picture.width == 2 * kPlaneSide + 8);
  CHECK(picture.height == kPlaneSide);
}

TEST_CASE("point i of a sample depends on the seed and i alone") {
  const auto sample = [](const char* count, const char* seed) {
    return run_program({"sample", points_run(), "--count", count, "--seed", seed}).output;
  };
  const std::string many = sample("9", "3");
  CHECK(many.starts_with(sample("4", "3")));
  CHECK(many != sample("9", "4"));
}

TEST_CASE("a model of points refuses what only texts have, by its name") {
  const std::string run = points_run();
  check_failure({"sample", run, "--trace"}, 1,
                "haze: a trace shows how a text appears, and the model ddpm makes none");
  const TemporaryFolder folder;
  check_failure({"sample", run, "--svg", (folder / "x.svg").string()}, 1, "the model ddpm makes none");
  CHECK_FALSE(std::filesystem::exists(folder / "x.svg"));
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--prompt", "a"}, {"--source", "a"}, {"--length", "5"}}) {
    check_failure({"sample", run, more[0], more[1]}, 1,
                  "haze: the model ddpm makes no texts: it takes no prompt, source or length");
  }
  check_failure(
      {"sample", run, "--label", "3"}, 1,
      "haze: the model ddpm needs a classifier to draw examples of one label: name its run by --classifier");
  check_failure({"infill", run, "a _"}, 1, "haze: the model ddpm cannot infill texts");
  write_text(folder / "points", "0.5 0.5\n");
  const std::string file = (folder / "points").string();
  check_failure({"eval", run, "--data", file}, 1,
                file + ": the model ddpm is evaluated on points that are drawn, not on a file");
  for (const char* option : {"--temperature", "--top-p", "--top-k", "--beam-size"})
    check_failure({"sample", run, option, "1"}, 2, fmt::format("haze: {} is not for the model ddpm", option));
  check_failure({"sample", run, "--special-tokens"}, 2, "--special-tokens is not for the model ddpm");
  check_failure({"sample", run, "--sampler", "top-margin"}, 2, "sample.sampler");
}
