#include <algorithm>
#include <cmath>
#include <set>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/diffusion/baselines/autoregressive.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/tasks/text_task.h"

#include "program.h"
#include "tiny_run.h"

using namespace haze;
using namespace haze::testing;
using nlohmann::json;

namespace {

/// A small model of the built-in corpus's texts given their field values, which the tests of this file share.
const std::filesystem::path& pairs_run() {
  static const TemporaryFolder folder;
  static const std::filesystem::path run = [] {
    std::vector<std::string> assignments = tiny_assignments();
    assignments.insert(assignments.end(), {"model=autoregressive", "data.task=pairs", "train.steps=12",
                                           "transformer.layers=1", "data.corpus_size=2000"});
    const ProgramResult result = run_program(train_arguments(folder / "run", assignments));
    INFO(result.error);
    REQUIRE(result.status == 0);
    return folder / "run";
  }();
  return run;
}

std::vector<Record> records_of(const char* file) {
  const TextFile texts(pairs_run() / "data" / file, {.format = TextFormat::e2e});
  std::vector<Record> records;
  for (int64_t i = 0; i < texts.size(); ++i) records.push_back(texts.record(i));
  return records;
}

/// -log p of a text after its source, token after token through the model's cache, in float64.
double nats_of(const Autoregressive& model, const Tokenizer& tokenizer, const Record& record) {
  std::vector<int32_t> read = tokenizer.encode(record.source), text = tokenizer.encode(record.target);
  read.push_back(Tokenizer::kEnd);  // begins the text
  text.push_back(Tokenizer::kEnd);
  const NoGradient no_gradient;
  const std::unique_ptr<Decoder> decoder = model.network().decoder();
  double nats = 0;
  for (const int32_t token : text) {
    const std::vector<double> logits =
        cast(decoder->read(Tensor::from(read, {1, std::ssize(read)})), Dtype::float64).to_vector<double>();
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit);
    nats += std::log(sum) - logits[static_cast<size_t>(token)];
    read = {token};
  }
  return nats;
}

std::string source_of_tests() {
  return records_of("valid.txt").front().source;
}

}  // namespace

TEST_CASE("the vocabulary of pairs has every word of the sources as well as of the texts") {
  const SavedModel saved = load_model(pairs_run());
  const auto& task = dynamic_cast<const TextTask&>(*saved.task);
  std::set<std::string> expected;
  for (const Record& record : records_of("train.txt")) {
    for (const std::string& text : {record.source, record.target}) {
      for (const std::string& word : words_of(text)) expected.insert(word);
    }
  }
  REQUIRE(expected.contains("food"));
  std::set<std::string> known;
  for (int32_t id = 3; id < task.tokenizer().vocabulary_size(); ++id)
    known.emplace(task.tokenizer().token(id));
  CHECK(known == expected);
}

TEST_CASE("pairs are evaluated by the exact likelihood of the texts alone, given their sources") {
  const ProgramResult result = run_program(
      {"eval", pairs_run().string(), "--examples", "8", "--samples", "5", "--json", "--threads", "1"});
  INFO(result.error);
  REQUIRE(result.status == 0);
  const json report = json::parse(result.output);
  const SavedModel saved = load_model(pairs_run());
  const auto& model = dynamic_cast<const Autoregressive&>(*saved.model);
  const Tokenizer& tokenizer = dynamic_cast<const TextTask&>(*saved.task).tokenizer();
  const std::vector<Record> records = records_of("test.txt");
  double nats = 0, tokens = 0;
  for (const int64_t index : spread_indices(std::ssize(records), 8)) {
    const Record& record = records[static_cast<size_t>(index)];
    nats += nats_of(model, tokenizer, record);
    tokens += static_cast<double>(words_of(record.target).size()) + 1;
  }
  CHECK(report.at("texts") == 8);
  CHECK(report.at("tokens") == tokens);
  CHECK(report.at("nats_per_token").get<double>() == doctest::Approx(nats / tokens).epsilon(1e-5));
  CHECK_FALSE(report.contains("standard_error"));
}

TEST_CASE("the grammar's own entropy is no floor of texts whose field values are given") {
  const ProgramResult table =
      run_program({"eval", pairs_run().string(), "--examples", "4", "--samples", "2", "--threads", "1"});
  CHECK(table.status == 0);
  CHECK(table.output.find("-log likelihood") != std::string::npos);
  CHECK(table.output.find("floor") == std::string::npos);
  CHECK(table.output.find("grammar") == std::string::npos);
}

TEST_CASE("texts are sampled for a source, by each sampler, and depend on the seed and on the source") {
  const std::string run = pairs_run().string(), source = source_of_tests();
  for (const char* sampler : {"ancestral", "beam"}) {
    const std::vector<std::string> sample = {"sample",    run,     "--source", source,   "--count", "2",
                                             "--sampler", sampler, "--json",   "--seed", "1"};
    const ProgramResult result = run_program(sample);
    INFO(result.error);
    REQUIRE(result.status == 0);
    const std::vector<std::string> lines = lines_of(result.output);
    REQUIRE(lines.size() == 2);
    for (const std::string& line : lines) {
      const json object = json::parse(line);
      CHECK_FALSE(object.at("tokens").empty());
      CHECK(object.at("text").get<std::string>().find("<end>") == std::string::npos);
    }
    CHECK(run_program(sample).output == result.output);
  }
  const auto drawn = [&](const std::string& given) {
    return run_program({"sample", run, "--source", given, "--count", "3", "--seed", "2"}).output;
  };
  CHECK(drawn(source) != drawn(records_of("valid.txt").back().source));
  const ProgramResult prompted =
      run_program({"sample", run, "--source", source, "--prompt", "The", "--count", "2"});
  REQUIRE(prompted.status == 0);
  for (const std::string& line : lines_of(prompted.output)) CHECK(line.starts_with("The"));
}

TEST_CASE("pairs are not sampled without a source, nor with one that the model does not know") {
  const std::string run = pairs_run().string(), source = source_of_tests();
  check_failure({"sample", run}, 1,
                "the model autoregressive was trained on pairs: it needs a source to answer to (--source)");
  check_failure({"sample", run, "--source", "name : Zork"}, 1,
                "haze: source: the model does not know the word 'Zork'");
  check_failure({"sample", run, "--source", ""}, 1, "haze: source: the text is empty");
  std::string long_source = "name";
  for (int i = 0; i < 64; ++i) long_source += " :";
  check_failure({"sample", run, "--source", long_source}, 1,
                "source: the text has 65 tokens, the model takes 64");
  check_failure({"sample", run, "--source", source, "--length", "5"}, 1,
                "the model autoregressive decides by itself where a text ends; it takes no length");
  check_failure({"infill", run, "--source", source, "_ is"}, 1,
                "the model autoregressive cannot infill texts");
}

TEST_CASE("pairs need a format with sources, one text a row, and a model that reads them") {
  const TemporaryFolder folder;
  write_text(folder / "texts", "a pub\n");
  const std::string file = (folder / "texts").string();
  const auto refusal = [&](const std::vector<std::string>& more) {
    std::vector<std::string> assignments = {"model=autoregressive", "data.task=pairs"};
    assignments.insert(assignments.end(), more.begin(), more.end());
    return error_of([&] { tiny_settings(assignments); });
  };
  CHECK(refusal({"data.train=" + file, "data.valid=" + file, "data.format=lines"}) ==
        "data.task pairs needs sources, which data.format lines does not have; e2e and jsonl do");
  CHECK(refusal({"data.layout=packed"}) == "data.layout packed is for data.task texts, not pairs");
  CHECK(refusal({"model=mdlm"}).find("data.task") != std::string::npos);
}
