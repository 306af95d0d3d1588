#include <cmath>
#include <memory>
#include <numbers>
#include <sstream>

#include <nlohmann/json.hpp>

#include "haze/nn/file_io.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/plot.h"
#include "haze/tools/run/writing.h"

namespace haze {
namespace {

struct Arguments {
  std::string run, data, plot;
  int passes = 8;
  int64_t examples = 0, samples = 200;
  uint64_t seed = 1;
  bool json = false;
};

/// What is known of a model: its bound on texts, what their lengths cost, and, for the built-in corpus, the
/// truth.
struct Evaluation {
  std::string file;
  BoundEstimate bound;     // given the lengths
  double length_nats = 0;  // -log p(length), all texts
  double unknown = 0;      // share of tokens that are the unknown word
  struct Truth {
    double floor_nats_per_token = 0;  // -log p of these very texts under the grammar, lengths included
    std::optional<double> floor_given_length_nats_per_token;  // the same given their lengths in words
    double grammatical = 0;                                   // share of samples that the grammar makes
    int64_t samples = 0;
  };
  std::optional<Truth> truth;

  double total_nats() const { return bound.nats + length_nats; }
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

Evaluation::Truth compare_with_grammar(const TextModel& model, const std::filesystem::path& file,
                                       const Arguments& arguments, const BoundEstimate& bound) {
  Evaluation::Truth truth;
  const CorpusStatistics statistics = corpus_statistics();
  const TextFile texts(file, {.format = TextFormat::e2e});
  const int64_t taken = bound.texts;
  double nats = 0;
  for (int64_t i = 0; i < taken; ++i) {
    const int64_t record = i * texts.size() / taken;
    const auto probability = corpus_log_probability(words_of(texts.record(record).target));
    if (!probability) fail("{}: the text is not one of the built-in corpus", texts.location(record));
    nats -= *probability;
  }
  const auto tokens = static_cast<double>(bound.tokens);
  truth.floor_nats_per_token = nats / tokens;
  if (model.tokenizer().kind() == "word") {
    truth.floor_given_length_nats_per_token =
        (nats - static_cast<double>(taken) * statistics.length_entropy_nats) / tokens;
  }
  Generator generator(arguments.seed, 1);
  const Samples samples = model.sample(open_canvases(model, arguments.samples, 0, generator), generator);
  for (const auto& tokens_of_sample : samples.tokens) {
    if (corpus_log_probability(words_of(written(model, tokens_of_sample)))) truth.grammatical += 1;
  }
  truth.samples = arguments.samples;
  truth.grammatical /= static_cast<double>(arguments.samples);
  return truth;
}

/// The folder of the run that `folder` is, or is a checkpoint of: the one that holds `name`.
std::filesystem::path folder_with(const std::filesystem::path& folder, const char* name) {
  if (std::filesystem::exists(folder / name) || !std::filesystem::exists(folder)) return folder;
  const std::filesystem::path run = std::filesystem::canonical(folder).parent_path();
  return std::filesystem::exists(run / name) ? run : folder;
}

Evaluation evaluate(const TextModel& model, const Arguments& arguments) {
  const bool built_in = arguments.data.empty() && model.settings().text("data.train").empty();
  Evaluation evaluation;
  std::filesystem::path file = arguments.data;
  if (file.empty()) {
    file = built_in ? folder_with(arguments.run, "data") / "data" / "test.txt"
                    : std::filesystem::path(model.settings().text("data.valid"));
  }
  evaluation.file = file.string();
  const DataSet data = load_data_set(file, model.settings(), model.tokenizer());
  const auto texts = some_sequences(data, arguments.examples > 0 ? arguments.examples : data.size());
  Generator generator(arguments.seed);
  evaluation.bound = model.bound(texts, arguments.passes, generator);
  evaluation.length_nats = model.length_nats(texts);
  evaluation.unknown = static_cast<double>(data.unknown_count()) / static_cast<double>(data.token_count());
  // The floor is that of whole texts: rows that hold several, or a part of one, have another.
  const bool whole_texts = model.settings().text("data.layout") == "padded" && data.truncated_count() == 0 &&
                           data.skipped_count() == 0;
  if (built_in && whole_texts)
    evaluation.truth = compare_with_grammar(model, file, arguments, evaluation.bound);
  return evaluation;
}

void print_json(const Evaluation& e) {
  const auto tokens = static_cast<double>(e.bound.tokens);
  nlohmann::ordered_json json{{"file", e.file},
                              {"texts", e.bound.texts},
                              {"tokens", e.bound.tokens},
                              {"unknown_share", e.unknown},
                              {"nats_per_token", e.bound.nats_per_token()},
                              {"standard_error", e.bound.standard_error / tokens},
                              {"bits_per_token", e.bound.bits_per_token()},
                              {"perplexity", e.bound.perplexity()},
                              {"nats_per_text", e.bound.nats_per_text()},
                              {"length_nats_per_token", e.length_nats / tokens},
                              {"nats_per_token_with_length", e.total_nats() / tokens}};
  if (e.truth) {
    if (e.truth->floor_given_length_nats_per_token)
      json["floor_nats_per_token"] = *e.truth->floor_given_length_nats_per_token;
    json["floor_nats_per_token_with_length"] = e.truth->floor_nats_per_token;
    json["grammatical_share"] = e.truth->grammatical;
    json["samples"] = e.truth->samples;
  }
  fmt::print("{}\n", json.dump());
}

void print_table(const Evaluation& e) {
  const auto tokens = static_cast<double>(e.bound.tokens);
  const auto line = [&](const char* what, double nats_per_token) {
    fmt::print("{:<44}{:>9.4f}{:>9.4f}{:>12.2f}\n", what, nats_per_token, nats_per_token / std::numbers::ln2,
               std::exp(nats_per_token));
  };
  fmt::print("{}: {} texts, {} tokens with one end token a text, {:.2f}% unknown words\n", e.file,
             e.bound.texts, e.bound.tokens, 100 * e.unknown);
  fmt::print("{:<44}{:>9}{:>9}{:>12}\n", "per token", "nats", "bits", "perplexity");
  line("variational bound, given the length", e.bound.nats_per_token());
  fmt::print("{:<44}{:>9.4f}{:>9.4f}\n", "  its standard error (Monte Carlo)",
             e.bound.standard_error / tokens, e.bound.standard_error / tokens / std::numbers::ln2);
  if (e.truth && e.truth->floor_given_length_nats_per_token)
    line("  the grammar's own, the floor", *e.truth->floor_given_length_nats_per_token);
  line("variational bound with the length", e.total_nats() / tokens);
  if (e.truth) {
    line("  the grammar's own, the floor", e.truth->floor_nats_per_token);
    fmt::print("samples that the grammar makes: {:.1f}% of {}\n", 100 * e.truth->grammatical,
               e.truth->samples);
  }
}

void plot(const Arguments& arguments) {
  if (!std::filesystem::is_directory(arguments.run)) fail("{}: there is no such run", arguments.run);
  const std::filesystem::path run = folder_with(arguments.run, "metrics.jsonl");
  write_file_atomically(arguments.plot, plot_run_svg(read_metrics(run / "metrics.jsonl"),
                                                     std::filesystem::canonical(run).filename().string()));
}

}  // namespace

void add_eval_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("eval", "Measure a model: its variational bound on texts, and a plot of its run");
  command->add_option("run", arguments->run, "folder of a run or of a checkpoint")->required();
  command->add_option("--data", arguments->data,
                      "file to evaluate on (default: test of the corpus, or data.valid)");
  command->add_option("--passes", arguments->passes, "independent estimates, for the standard error")
      ->capture_default_str()
      ->check(whole_number(2, 100000));
  command->add_option("--examples", arguments->examples, "texts, evenly spread over the file; 0: all")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--samples", arguments->samples, "samples to hold against the built-in grammar")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--seed", arguments->seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--plot", arguments->plot, "write a plot of the run (SVG) and leave");
  command->add_flag("--json", arguments->json, "report in JSON");
  add_threads_option(*command);
  command->callback([arguments] {
    if (!arguments->plot.empty()) return plot(*arguments);
    const auto model = TextModel::load(arguments->run);
    const Evaluation evaluation = evaluate(*model, *arguments);
    arguments->json ? print_json(evaluation) : print_table(evaluation);
  });
}

}  // namespace haze
