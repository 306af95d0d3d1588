#include "haze/tools/run/profile_report.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"

using namespace haze;

namespace {

using Json = nlohmann::json;

const MachineLimits kLimits{.threads = 2,
                            .fma_gflops = 100,
                            .bfloat16_gflops = 400,
                            .copy_gbytes = 10,
                            .l1_gbytes = 40,
                            .l2_bytes = 1000,
                            .l2_gbytes = 20};

// Two steps of 10 ms, of which a product takes 4 ms, over another number of rows each time, and a copy 1 ms.
Profile two_steps() {
  Profile profile;
  for (int64_t step = 0; step < 2; ++step) {
    const double start = 0.02 * static_cast<double>(step);
    const int64_t rows = 1000 + 20 * step;
    const double flops = 2.0 * static_cast<double>(rows) * 100 * 1000;
    profile.calls.push_back(
        {{"matmul a b^T", {rows, 100, 1000}, flops, 5e6}, "forward", step, start + 0.001, 0.004});
    profile.calls.push_back({{"copy", {}, 0, 2e6}, "backward", step, start + 0.007, 0.001});
    profile.phases.push_back({"forward", step, start, 0.006});
    profile.phases.push_back({"backward", step, start + 0.006, 0.003});
    profile.steps.push_back({"step", step, start, 0.01});
  }
  return profile;
}

}  // namespace

TEST_CASE("a profile's rows are means of a step; what changes from step to step keeps no calls apart") {
  const ProfileReport report = report_of(two_steps(), kLimits);
  CHECK(report.steps == 2);
  CHECK(report.step_seconds == doctest::Approx(0.01));
  CHECK(report.outside_seconds == doctest::Approx(0.005));
  REQUIRE(report.rows.size() == 2);
  const ProfileRow &product = report.rows[0], &copy = report.rows[1];
  // 2 * 1010 * 100 * 1000 operations in 4 ms, at a peak of 100 GFLOP/s; 5 MB would take 0.5 ms.
  CHECK(product.calls == 1);
  CHECK(product.seconds == doctest::Approx(0.004));
  CHECK(product.flops == doctest::Approx(2.02e8));
  CHECK(product.bound_by_arithmetic);
  CHECK(product.limit_seconds == doctest::Approx(0.00202));
  CHECK(copy.operation == "copy");
  CHECK(!copy.bound_by_arithmetic);
  CHECK(copy.limit_seconds == doctest::Approx(2e6 / 10e9));
  REQUIRE(report.phases.size() == 2);
  CHECK(report.phases[1].phase == "backward");
  CHECK(report.phases[1].outside_seconds == doctest::Approx(0.002));
}

TEST_CASE("an extent that most steps have stays a number; one that few have is a mean") {
  Profile profile;
  for (int64_t step = 0; step < 4; ++step) {
    for (int64_t width : {256, 1024}) {
      profile.calls.push_back({{"matmul a b", {500 + step, width, 256}, 1, 1}, "", step, 0, 0.001});
    }
    profile.steps.push_back({"step", step, 0, 0.01});
  }
  const ProfileReport report = report_of(profile, kLimits);
  REQUIRE(report.rows.size() == 2);
  CHECK(report.rows[0].operation == "matmul a b ~502x256x256");
  CHECK(report.rows[1].operation == "matmul a b ~502x1024x256");
}

TEST_CASE("the table of a profile has each operation's rate and share of the limit") {
  const std::string table = profile_table(report_of(two_steps(), kLimits));
  CAPTURE(table);
  for (const char* words : {"50.5 GFLOP/s", "50%", "2.0 GB/s", "20%", "outside any operation", "50.0%",
                            "100.0 GFLOP/s of float32"}) {
    CHECK(table.find(words) != std::string::npos);
  }
  CHECK_THROWS_AS(report_of(Profile(), kLimits), Error);
}

TEST_CASE("a profile in JSON has the figures of the table") {
  const Json json = Json::parse(profile_json(report_of(two_steps(), kLimits)).dump());
  CHECK(json.at("machine").at("fma_gflops") == 100);
  CHECK(json.at("step_ms").get<double>() == doctest::Approx(10.0));
  CHECK(json.at("outside_ms").get<double>() == doctest::Approx(5.0));
  const Json& copy = json.at("rows").at(1);
  CHECK(copy.at("operation") == "copy");
  CHECK(copy.at("phase") == "backward");
  CHECK(copy.at("ms").get<double>() == doctest::Approx(1.0));
  CHECK(copy.at("share").get<double>() == doctest::Approx(0.1));
  CHECK(copy.at("gbytes").get<double>() == doctest::Approx(2.0));
  CHECK(copy.at("share_of_limit").get<double>() == doctest::Approx(0.2));
}

TEST_CASE("a profile of a device without known limits has rates, and no share of a limit") {
  const ProfileReport report = report_of(two_steps(), std::nullopt);
  CHECK(report.rows[0].limit_seconds == 0);
  CHECK(report.rows[0].bound_by_arithmetic);
  CHECK(!report.rows[1].bound_by_arithmetic);
  const std::string table = profile_table(report);
  CAPTURE(table);
  for (const char* words : {"50.5 GFLOP/s", "2.0 GB/s", "a step: 10.000 ms"})
    CHECK(table.find(words) != std::string::npos);
  CHECK(table.find("limit") == std::string::npos);
  const Json json = Json::parse(profile_json(report).dump());
  CHECK(json.at("machine").is_null());
  CHECK(json.at("rows").at(1).at("gbytes").get<double>() == doctest::Approx(2.0));
  CHECK(!json.at("rows").at(1).contains("share_of_limit"));
}

TEST_CASE(
    "the trace names its process, then has complete events in microseconds: a step, phase and call each") {
  Json events = Json::parse(chrome_trace(two_steps()));
  REQUIRE(events.is_array());
  REQUIRE(events.size() == 1 + 2 + 4 + 4);
  CHECK(events.at(0).at("ph") == "M");
  CHECK(events.at(0).at("args").at("name") == "haze train");
  events.erase(0);
  for (const Json& event : events) {
    CHECK(event.at("ph") == "X");
    CHECK(event.at("name").is_string());
    CHECK(event.at("ts").get<double>() >= 0);
    CHECK(event.at("dur").get<double>() > 0);
    CHECK(event.contains("pid"));
    CHECK(event.contains("tid"));
  }
  const Json& call = events.at(6);
  CHECK(call.at("name") == "matmul a b^T");
  CHECK(call.at("cat") == "operation");
  CHECK(call.at("ts").get<double>() == doctest::Approx(1000.0));
  CHECK(call.at("dur").get<double>() == doctest::Approx(4000.0));
  CHECK(call.at("args").at("extents").get<std::vector<int64_t>>() == std::vector<int64_t>{1000, 100, 1000});
}
