#include <cmath>
#include <filesystem>
#include <numeric>
#include <set>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/diffusion/gaussian/noise_schedule.h"
#include "haze/diffusion/lecture.h"
#include "haze/engine/ops.h"
#include "haze/tools/tasks/digits.h"
#include "haze/tools/tasks/lecture_data.h"
#include "haze/tools/tasks/png_file.h"
#include "haze/tools/tasks/point_sets.h"
#include "haze/tools/tasks/task.h"

#include "program.h"
#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;

namespace {

std::string lecture(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"lecture"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const ProgramResult result = run_program(command);
  INFO(result.error);
  REQUIRE(result.status == 0);
  return result.output;
}

std::vector<double> column(const Tensor& rows, int64_t index) {
  return cast(contiguous(slice(rows, 1, index, index + 1)), Dtype::float64).to_vector<double>();
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const auto count = static_cast<double>(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / count,
               mean_b = std::accumulate(b.begin(), b.end(), 0.0) / count;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("haze lecture lists its pages, and each page that it names runs") {
  const std::string list = lecture({});
  CHECK(list.starts_with("The Generative Learning Trilemma\n"));
  for (const char* page : {"forward", "posterior", "objective", "d3pm"}) {
    CHECK(list.find(std::string("haze lecture ") + page) != std::string::npos);
    CHECK(lecture({page}).size() > 100);
  }
}

TEST_CASE("every configuration that haze lecture names is there") {
  const std::string list = lecture({});
  const std::filesystem::path repository = std::filesystem::path(HAZE_TEST_DATA).parent_path().parent_path();
  int found = 0;
  for (size_t at = list.find("configs/"); at != std::string::npos; at = list.find("configs/", at + 1)) {
    const std::string name = list.substr(at, list.find(".toml", at) + 5 - at);
    CHECK_MESSAGE(std::filesystem::exists(repository / name), name);
    ++found;
  }
  CHECK(found >= 5);
}

TEST_CASE(
    "haze lecture forward shows the steps that are asked for, of digits, points and a PNG file, in a "
    "picture") {
  const TemporaryFolder folder;
  const std::string picture = (folder / "steps.png").string();
  const std::string rows = lecture({"forward", "--t", "0,5,10", "--steps", "10", "--png", picture});
  CHECK(rows.find("\n    0   1.00000") != std::string::npos);
  CHECK(rows.find("\n   10 ") != std::string::npos);
  const PngImage digits = read_png(picture);
  CHECK(digits.width > 2 * 8 * 16);
  CHECK(digits.height > 3 * 16);
  lecture({"forward", "--data", "two-moons", "--steps", "10", "--t", "3", "--png", picture});
  CHECK(read_png(picture).width > digits.height);
  PngImage one{.height = 4, .width = 5, .channels = 3, .pixels = std::vector<uint8_t>(60, 200)};
  write_png(folder / "one.png", one);
  lecture({"forward", "--data", (folder / "one.png").string(), "--steps", "10", "--t", "3"});
}

TEST_CASE("the noise of haze lecture forward is not correlated with its data (4 standard errors)") {
  constexpr int kSteps = 10;
  const double scale = std::sqrt(noise_schedule_called("linear", kSteps).alpha_bar[1]);
  for (const std::string set : {"eight-gaussians", "two-moons", "swiss-roll", "checkerboard"}) {
    for (const uint64_t seed : {1, 2, 3}) {
      const Tensor x_0 = lecture_data(set, seed);
      const LectureAnswer answer =
          lecture_page("forward").compute({.t = {1}, .steps = kSteps, .x_0 = x_0, .seed = seed});
      for (const Tensor& x_t : answer.noised) {
        const Tensor noise = subtract(x_t, scale_shift(x_0, scale, 0));
        for (const auto& [i, j] : {std::pair{0, 0}, {0, 1}, {1, 0}, {1, 1}}) {
          const double r = correlation(column(x_0, i), column(noise, j));
          CAPTURE(set);
          CAPTURE(seed);
          CHECK(std::abs(r) < 4 / std::sqrt(static_cast<double>(x_0.size(0))));
        }
      }
    }
  }
}

TEST_CASE(
    "the sizes of noise are not correlated with points that are as far in a stream (4 standard errors)") {
  // Of a stream's counters, point i of a checkerboard takes 3 i + 1 and 3 i + 2 for its place in a square,
  // and two pairs of normal numbers take one for their sizes: of one stream, the correlation would be near
  // 0.9.
  constexpr int kSteps = 10;
  const double scale = std::sqrt(noise_schedule_called("linear", kSteps).alpha_bar[1]);
  const Tensor x_0 = lecture_data("checkerboard", 1);
  const Tensor x_1 =
      lecture_page("forward").compute({.t = {1}, .steps = kSteps, .x_0 = x_0, .seed = 1}).noised.front();
  const std::vector<double> noise = column(reshape(subtract(x_1, scale_shift(x_0, scale, 0)), {-1, 1}), 0);
  for (const int64_t axis : {0, 1}) {
    const std::vector<double> coordinates = column(x_0, axis);
    std::vector<double> places, sizes;
    for (size_t i = 0; 4 * (3 * i + 2) + 1 < noise.size(); ++i) {
      const size_t pair = 4 * (3 * i + 1 + static_cast<size_t>(axis));
      places.push_back(coordinates[i] - std::floor(coordinates[i]));
      sizes.push_back(std::hypot(noise[pair], noise[pair + 1]));
    }
    CHECK(std::abs(correlation(places, sizes)) < 4 / std::sqrt(static_cast<double>(places.size())));
  }
}

TEST_CASE("the data of haze lecture forward are drawn from another stream than its noise") {
  // All random numbers of an image or a point are a function of seed and stream.
  for (const std::string set : {"digits", "two-moons"}) {
    const std::vector<float> first = lecture_data(set, 5).to_vector<float>();
    CHECK(first == lecture_data(set, 5).to_vector<float>());
    CHECK(first != lecture_data(set, 6).to_vector<float>());
  }
  Generator noise(5);
  CHECK(lecture_data("two-moons", 5).to_vector<float>() !=
        draw_points("two-moons", 2000, noise).to_vector<float>());
  CHECK(lecture_data("digits", 5).to_vector<float>() !=
        values_of_images(draw_digits(8, 5, 0), spread_indices(8, 0)).to_vector<float>());
}

TEST_CASE("an option that a page of haze lecture does not use is refused") {
  check_failure({"lecture", "d3pm", "--schedule", "nonsense", "--t", "7", "--data", "nosuch"}, 2,
                "haze: the page d3pm has no use for --t");
  for (const char* page : {"posterior", "objective", "d3pm"}) {
    for (const char* option : {"--data", "--seed"})
      check_failure({"lecture", page, option, "1"}, 2,
                    fmt::format("haze: the page {} has no use for {}", page, option));
    check_failure({"lecture", page, "--png", "x.png"}, 2,
                  fmt::format("haze: the page {} has no picture for --png", page));
  }
  for (const char* option : {"--steps", "--schedule"})
    check_failure({"lecture", "d3pm", option, "10"}, 2,
                  fmt::format("haze: the page d3pm has no use for {}", option));
  for (const char* option : {"--t", "--steps", "--schedule", "--data", "--seed", "--png"})
    check_failure({"lecture", option, "10"}, 2,
                  fmt::format("haze: {} is for a page, and none is named", option));
}

TEST_CASE("haze lecture says of the table of the trilemma how many models it has") {
  const std::filesystem::path repository = std::filesystem::path(HAZE_TEST_DATA).parent_path().parent_path();
  const std::string table = read_text(repository / "configs" / "tables" / "trilemma.toml");
  // Models that differ in their sampler alone have one configuration.
  std::set<std::string> configurations;
  for (size_t at = table.find("\nconfig = "); at != std::string::npos; at = table.find("\nconfig = ", at + 1))
    configurations.insert(table.substr(at, table.find('\n', at + 1) - at));
  CHECK(configurations.size() == 4);
  CHECK(lecture({}).find("quality, coverage and speed of four models") != std::string::npos);
}

TEST_CASE("what haze lecture cannot show is one sentence") {
  for (const char* page : {"forward", "posterior", "objective"}) {
    check_failure({"lecture", page, "--t", "500,200"}, 1,
                  "haze: step t = 200 does not come after 500: the steps have to rise");
    check_failure({"lecture", page, "--t", "200,200"}, 1, "haze: step t = 200 does not come after 200");
  }
  check_failure({"lecture", "forward", "--steps", "1000000", "--t", "1000000"}, 1,
                "haze: the path to t = 1000000 takes 8.2 GB, and at most 1 GB is kept");
  check_failure({"lecture", "spindle"}, 1, "haze: the lecture has no page 'spindle' here; those that can");
  check_failure({"lecture", "forward", "--t", "2000"}, 1, "haze: step t = 2000 is not in 0..1000");
  check_failure({"lecture", "forward", "--t", "1,x"}, 2,
                "--t takes a whole number from 0 to 1000000, not 'x'");
  check_failure({"lecture", "posterior", "--t", "0"}, 1, "haze: step t = 0 is not in 1..1000");
  check_failure({"lecture", "posterior", "--schedule", "round"}, 1, "'round'");
  check_failure({"lecture", "forward", "--data", "nowhere.png"}, 1, "nowhere.png");
  check_failure({"lecture", "forward", "--data", "moons"}, 1,
                "haze: there is no set of points 'moons'; the sets are eight-gaussians, two-moons");
  check_failure({"lecture", "d3pm", "--png", "x.png"}, 2, "haze: the page d3pm has no picture for --png");
}
