#include <algorithm>
#include <cmath>
#include <iterator>
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
#include "haze/tools/run/work_observer.h"
#include "haze/tools/run/writing.h"

namespace haze {
namespace {

struct Arguments {
  std::string run, data, plot;
  std::vector<std::string> assignments;
  int passes = 8;
  int64_t examples = 0, samples = 200;
  uint64_t seed = 1;
  bool exact = false, json = false;
};

/// What is known of a model: its bound on texts, what their lengths cost, and, for the built-in corpus, the
/// truth.
struct Evaluation {
  std::string file;
  BoundEstimate bound;     // given the lengths
  double length_nats = 0;  // -log p(length), all texts
  double unknown = 0;      // share of tokens that are the unknown word
  struct Floor {
    double nats_per_token = 0;                          // -log p of these very texts, lengths included
    std::optional<double> given_length_nats_per_token;  // the same given their lengths in words
  };
  struct Truth {
    std::optional<Floor> floor;  // none where words are unknown: a model does not pay for all of such a text
    double grammatical = 0;      // share of samples that the grammar makes
    int64_t samples = 0;
  };
  std::optional<Truth> truth;

  double total_nats() const { return bound.nats + length_nats; }
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

/// What the grammar itself gives the texts that were evaluated.
Evaluation::Floor floor_of(const TextModel& model, const std::filesystem::path& file,
                           const BoundEstimate& bound, const InterruptGuard& interrupt) {
  const std::vector<double> length_distribution = corpus_statistics().length_distribution;
  const TextFile texts(file, text_file_options(model.settings()));
  WorkObserver work("asking the grammar", interrupt);
  double nats = 0, length_nats = 0;
  for (int64_t i = 0; i < bound.examples; ++i) {
    const int64_t record = i * texts.size() / bound.examples;
    const std::vector<std::string> words = words_of(texts.record(record).target);
    const auto probability = corpus_log_probability(words);
    if (!probability) fail("{}: the text is not one of the built-in corpus", texts.location(record));
    nats -= *probability;
    length_nats -= std::log(length_distribution[words.size()]);
    work.update(i + 1, bound.examples);
  }
  const auto tokens = static_cast<double>(bound.units);
  Evaluation::Floor floor{nats / tokens, {}};
  // Other tokens than words have another length, which says more or less of the text than the words' number.
  if (model.tokenizer().kind() == "word") floor.given_length_nats_per_token = (nats - length_nats) / tokens;
  return floor;
}

/// The share of samples that the grammar makes.
double grammatical_share(const TextModel& model, const Arguments& arguments,
                         const InterruptGuard& interrupt) {
  Generator generator(arguments.seed, 1);
  WorkObserver work("sampling", interrupt);
  const Samples samples = model.sample(open_canvases(model, arguments.samples, 0, generator), generator,
                                       [&](const SamplerStep& step) { work.update(step.step, step.steps); });
  double grammatical = 0;
  for (const auto& tokens : samples.texts)
    grammatical += corpus_log_probability(words_of(written(model, tokens))).has_value();
  return grammatical / static_cast<double>(arguments.samples);
}

double share_of_unknown(std::span<const std::span<const int32_t>> texts) {
  int64_t unknown = 0, tokens = 0;
  for (const auto& text : texts) {
    unknown += std::count(text.begin(), text.end(), Tokenizer::kUnknown);
    tokens += std::ssize(text);
  }
  return static_cast<double>(unknown) / static_cast<double>(tokens);
}

/// The folder of the run that `folder` is, or is a checkpoint of: the one that holds `name`.
std::filesystem::path folder_with(const std::filesystem::path& folder, const char* name) {
  if (std::filesystem::exists(folder / name) || !std::filesystem::exists(folder)) return folder;
  const std::filesystem::path run = std::filesystem::canonical(folder).parent_path();
  return std::filesystem::exists(run / name) ? run : folder;
}

/// The model's settings with those of `--set`, which say how a file is to be read.
Settings reading_settings(const TextModel& model, const Arguments& arguments) {
  if (!assigns_only({"data.format", "data.too_long", "data.max_line_bytes"}, arguments.assignments)) {
    throw WrongUsage(
        "a trained model is what it is: of its settings, --set can change data.format, data.too_long and "
        "data.max_line_bytes here");
  }
  Settings settings = model.settings();
  apply_assignments(arguments.assignments, settings);
  return settings;
}

Evaluation evaluate(const TextModel& model, const Arguments& arguments) {
  if (arguments.exact && model.settings().text("diffusion.time") != "discrete")
    throw WrongUsage("--exact sums over the steps of discrete time, and this model's time is continuous");
  const bool built_in = arguments.data.empty() && model.settings().text("data.train").empty();
  Evaluation evaluation;
  std::filesystem::path file = arguments.data;
  if (file.empty()) {
    file = built_in ? folder_with(arguments.run, "data") / "data" / "test.txt"
                    : std::filesystem::path(model.settings().text("data.valid"));
  }
  evaluation.file = file.string();
  const InterruptGuard interrupt;
  const DataSet data = load_data_set(file, reading_settings(model, arguments), model.tokenizer());
  const auto texts = some_sequences(data, arguments.examples > 0 ? arguments.examples : data.size());
  Generator generator(arguments.seed);
  WorkObserver work("evaluating", interrupt);
  const auto observer = [&](int64_t done, int64_t calls) { work.update(done, calls); };
  evaluation.bound = model.bound(
      texts, {.passes = arguments.passes, .every_step = arguments.exact, .observer = observer}, generator);
  evaluation.length_nats = model.length_nats(texts);
  evaluation.unknown = share_of_unknown(texts);
  // The floor is that of whole texts: rows that hold several, or a part of one, have another.
  const bool whole_texts = model.settings().text("data.layout") == "padded" && data.truncated_count() == 0 &&
                           data.skipped_count() == 0;
  if (built_in && whole_texts) {
    Evaluation::Truth& truth = evaluation.truth.emplace();
    if (evaluation.unknown == 0) truth.floor = floor_of(model, file, evaluation.bound, interrupt);
    truth.samples = arguments.samples;
    truth.grammatical = grammatical_share(model, arguments, interrupt);
  }
  return evaluation;
}

void print_json(const Evaluation& e) {
  const auto tokens = static_cast<double>(e.bound.units);
  nlohmann::ordered_json json{{"file", e.file},
                              {"texts", e.bound.examples},
                              {"tokens", e.bound.units},
                              {"unknown_share", e.unknown},
                              {"nats_per_token", e.bound.nats_per_unit()},
                              {"standard_error", e.bound.standard_error / tokens},
                              {"bits_per_token", e.bound.bits_per_unit()},
                              {"perplexity", e.bound.perplexity()},
                              {"nats_per_text", e.bound.nats_per_example()},
                              {"length_nats_per_token", e.length_nats / tokens},
                              {"nats_per_token_with_length", e.total_nats() / tokens}};
  if (e.truth) {
    if (const auto& floor = e.truth->floor) {
      if (floor->given_length_nats_per_token)
        json["floor_nats_per_token"] = *floor->given_length_nats_per_token;
      json["floor_nats_per_token_with_length"] = floor->nats_per_token;
    }
    json["grammatical_share"] = e.truth->grammatical;
    json["samples"] = e.truth->samples;
  }
  fmt::print("{}\n", json.dump());
}

void print_table(const Evaluation& e) {
  const auto tokens = static_cast<double>(e.bound.units);
  const auto line = [&](const char* what, double nats_per_token) {
    fmt::print("{:<44}{:>9.4f}{:>9.4f}{:>12.2f}\n", what, nats_per_token, nats_per_token / std::numbers::ln2,
               std::exp(nats_per_token));
  };
  fmt::print("{}: {} texts, {} tokens with one end token a text, {:.2f}% unknown words\n", e.file,
             e.bound.examples, e.bound.units, 100 * e.unknown);
  fmt::print("{:<44}{:>9}{:>9}{:>12}\n", "per token", "nats", "bits", "perplexity");
  line("variational bound, given the length", e.bound.nats_per_unit());
  fmt::print("{:<44}{:>9.4f}{:>9.4f}\n", "  its standard error (Monte Carlo)",
             e.bound.standard_error / tokens, e.bound.standard_error / tokens / std::numbers::ln2);
  const auto floor = e.truth ? e.truth->floor : std::nullopt;
  if (floor && floor->given_length_nats_per_token)
    line("  the grammar's own, the floor", *floor->given_length_nats_per_token);
  line("variational bound with the length", e.total_nats() / tokens);
  if (floor) line("  the grammar's own, the floor", floor->nats_per_token);
  if (e.truth) {
    if (!floor) fmt::print("no floor: the model does not pay for what the unknown words are\n");
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
  command
      ->add_option("--set", arguments->assignments,
                   "how to read that file: data.format=..., data.too_long=... or data.max_line_bytes=...")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE")
      ->needs("--data");
  command->add_option("--passes", arguments->passes, "independent estimates, for the standard error")
      ->capture_default_str()
      ->check(whole_number(2, 100000));
  command->add_flag("--exact", arguments->exact,
                    "sum over all T steps of discrete time: T times the work, and less noise");
  command->add_option("--examples", arguments->examples, "texts, evenly spread over the file; 0: all")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--samples", arguments->samples, "samples to hold against the built-in grammar")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--seed", arguments->seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_flag("--json", arguments->json, "report in JSON");
  command->add_option("--plot", arguments->plot, "write a plot of the run (SVG) and leave")
      ->excludes("--json");
  add_threads_option(*command);
  command->callback([arguments] {
    if (!arguments->plot.empty()) return plot(*arguments);
    const auto model = TextModel::load(arguments->run);
    const Evaluation evaluation = evaluate(*model, *arguments);
    arguments->json ? print_json(evaluation) : print_table(evaluation);
  });
}

}  // namespace haze
