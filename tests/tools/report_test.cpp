#include "haze/tools/run/report.h"

#include <limits>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "error_of.h"

using namespace haze;
using namespace haze::testing;

namespace {

Report a_report() {
  Report report;
  report.subject = "data/test.txt";
  report.measures = {{"nats_per_token", "variational bound", 2.5, 0.0625, "nats per token"},
                     {"perplexity", "", 12.182494, 0.761405875, "perplexity", 2},
                     {"tokens", "tokens", 474, {}, "", 0},
                     {"share", "a \"quoted\" label", 0.123456789, {}}};
  report.notes = {"The floor is 1.44 nats per token."};
  return report;
}

}  // namespace

TEST_CASE("a report is a table for people: a line a measure, with its error, unit and decimals") {
  CHECK(report_table(a_report()) ==
        "data/test.txt\n"
        "variational bound      2.5000 +- 0.0625 nats per token\n"
        "                        12.18 +- 0.76 perplexity\n"
        "tokens                    474\n"
        "a \"quoted\" label       0.1235\n"
        "The floor is 1.44 nats per token.\n");
}

TEST_CASE("a report is a JSON object for programs, on one line, with every digit") {
  CHECK(report_json(a_report()) ==
        "{\"data\":\"data/test.txt\",\"nats_per_token\":2.5,\"nats_per_token_error\":0.0625,"
        "\"perplexity\":12.182494,\"perplexity_error\":0.761405875,\"tokens\":474,\"share\":0.123456789,"
        "\"standard_error\":0.0625}");
}

TEST_CASE("a report whose first measure has no error has no standard_error") {
  Report report = a_report();
  report.measures[0].error.reset();
  CHECK(report_json(report) ==
        "{\"data\":\"data/test.txt\",\"nats_per_token\":2.5,\"perplexity\":12.182494,"
        "\"perplexity_error\":0.761405875,\"tokens\":474,\"share\":0.123456789}");
  CHECK(report_table(report).find("variational bound      2.5000 nats per token\n") != std::string::npos);
}

TEST_CASE("a report without measures has its subject alone") {
  const Report report{"points", {}};
  CHECK(report_table(report) == "points\n");
  CHECK(report_json(report) == "{\"data\":\"points\"}");
}

TEST_CASE("JSON of a report stays JSON, whatever the numbers and the file's name") {
  Report report;
  report.subject = "a\"b\\c\n\xff.txt";
  report.measures = {
      {"loss", "loss", std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}};
  const std::string line = report_json(report);
  CHECK(line.find('\n') == std::string::npos);
  const auto json = nlohmann::json::parse(line);
  CHECK(json["data"] == "a\"b\\c\n\xef\xbf\xbd.txt");  // U+FFFD for the byte that is no UTF-8
  CHECK(json["loss"].is_null());
  CHECK(json["loss_error"].is_null());
  CHECK(json["standard_error"].is_null());
}

TEST_CASE("a measure is found by its name") {
  const Report report = a_report();
  REQUIRE(report.find("perplexity"));
  CHECK(report.find("perplexity")->value == 12.182494);
  CHECK_FALSE(report.find("variational bound"));  // a label is no name
  CHECK(report.at("tokens").value == 474);
  CHECK(error_of([&] { report.at("bits"); }) == "the report has no 'bits'");
}
