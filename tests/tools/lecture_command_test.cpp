#include <filesystem>

#include <doctest/doctest.h>

#include "haze/tools/tasks/png_file.h"

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

TEST_CASE("what haze lecture cannot show is one sentence") {
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
