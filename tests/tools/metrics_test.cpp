#include "haze/tools/run/metrics.h"

#include <cmath>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

#include "temporary_folder.h"

using haze::MetricsLog;
using haze::read_metrics;
using haze::testing::read_text;
using haze::testing::TemporaryFolder;
using haze::testing::write_text;

TEST_CASE("metrics are written as JSON lines that are in the file at once, and read back bit for bit") {
  TemporaryFolder folder;
  MetricsLog log = MetricsLog::start(folder / "metrics.jsonl");
  log.append({10, {{"loss", 0.1}, {"learning_rate", 1e-5}}});
  CHECK(read_text(folder / "metrics.jsonl") == "{\"step\":10,\"loss\":0.1,\"learning_rate\":1e-05}\n");
  log.append({20, {{"loss", std::nextafter(1.0, 2.0)}}});
  log.append({20, {{"validation_bound", std::numeric_limits<double>::infinity()}}});
  const auto rows = read_metrics(folder / "metrics.jsonl");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].step == 10);
  CHECK(rows[0].value("learning_rate") == 1e-5);
  CHECK_FALSE(rows[0].value("step").has_value());
  CHECK(rows[1].value("loss") == std::nextafter(1.0, 2.0));
  CHECK(std::isnan(rows[2].value("validation_bound").value()));
}

TEST_CASE("a resumed log goes on after the step and drops later lines and a torn one") {
  TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  const std::string kept = "{\"step\":10,\"loss\":3.0}\n{\"step\":20,\"loss\":2.0}\n{\"step\":20,\"x\":1}\n";
  SUBCASE("lines of later steps") {
    write_text(path, kept + "{\"step\":30,\"loss\":1.0}\n{\"step\":40}\n");
  }
  SUBCASE("a torn line after later ones") {
    write_text(path, kept + "{\"step\":30,\"loss\":1.0}\n{\"ste");
  }
  SUBCASE("a torn line alone") {
    write_text(path, kept + "{\"step\":2");
  }
  SUBCASE("a whole line whose newline is missing") {
    write_text(path, kept + "{\"step\":20,\"y\":1}");
  }
  SUBCASE("zero bytes, which a power cut leaves") {
    write_text(path, kept + std::string(100, '\0'));
  }
  SUBCASE("a broken last line with its newline") {
    write_text(path, kept + "{\"step\":20,\"l\n");
  }
  SUBCASE("nothing to drop") {
    write_text(path, kept);
  }
  MetricsLog log = MetricsLog::resume(path, 20);
  log.append({25, {{"loss", 1.5}}});
  CHECK(read_text(path) == kept + "{\"step\":25,\"loss\":1.5}\n");
}

TEST_CASE("a log resumed at step 0 or without a file is empty") {
  TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  MetricsLog::resume(path, 100).append({101, {}});
  CHECK(read_text(path) == "{\"step\":101}\n");
  MetricsLog::resume(path, 0);
  CHECK(read_text(path).empty());
}

TEST_CASE("steps of a log do not go back") {
  TemporaryFolder folder;
  MetricsLog log = MetricsLog::start(folder / "m");
  log.append({10, {}});
  CHECK_THROWS_WITH_AS(log.append({9, {}}), doctest::Contains("are at step 10 and cannot go back to step 9"),
                       haze::Error);
}

TEST_CASE("a malformed line of metrics is reported with its number") {
  TemporaryFolder folder;
  const auto path = folder / "m";
  for (const std::string broken :
       {"{\"step\":1", "[1]", "{\"loss\":1.0}", "{\"step\":1.5}", "{\"step\":1,\"a\":\"b\"}", ""}) {
    CAPTURE(broken);
    write_text(path, "{\"step\":1}\n" + broken + "\n{\"step\":2}\n");
    const std::string sentence =
        path.string() +
        ":2: this is not a line of metrics, a JSON object of numbers with an integer \"step\"";
    CHECK_THROWS_WITH_AS(read_metrics(path), sentence.c_str(), haze::Error);
    CHECK_THROWS_WITH_AS(MetricsLog::resume(path, 5), sentence.c_str(), haze::Error);
  }
}

TEST_CASE("a last line that is not whole is no row yet") {
  TemporaryFolder folder;
  write_text(folder / "m", "{\"step\":1}\n{\"step\":2");
  CHECK(read_metrics(folder / "m").size() == 1);
}

TEST_CASE("metrics that cannot be opened or written are an error that says why") {
  CHECK_THROWS_WITH_AS(read_metrics("no/such"), "cannot read the metrics no/such: No such file or directory",
                       haze::Error);
  CHECK_THROWS_WITH_AS(MetricsLog::start("no/such"),
                       "cannot write the metrics no/such: No such file or directory", haze::Error);
  if (!std::filesystem::exists("/dev/full")) return;
  MetricsLog log = MetricsLog::start("/dev/full");
  CHECK_THROWS_WITH_AS(log.append({1, {}}), "cannot write the metrics /dev/full: No space left on device",
                       haze::Error);
}
