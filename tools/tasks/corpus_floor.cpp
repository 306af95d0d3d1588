#include "haze/tools/tasks/corpus_floor.h"

#include <algorithm>
#include <cmath>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

void add_floor(const TextTask& task, const TaskEvaluation& evaluation, Report& report) {
  const auto& examples = dynamic_cast<const TextExamples&>(evaluation.examples);
  const std::vector<double> length_distribution = corpus_statistics().length_distribution;
  const Settings& settings = evaluation.settings;
  const TextFile texts(evaluation.file, evaluation.own_data ? text_file_options(settings, Part::test)
                                                            : text_file_options(settings));
  double nats = 0, length_nats = 0;
  const int64_t all = std::ssize(evaluation.indices);
  for (int64_t done = 0; done < all; ++done) {
    const int64_t record = examples.record(evaluation.indices[done]);
    const std::vector<std::string> words = split_words(texts.record(record).target);
    const auto probability = corpus_log_probability(words);
    if (!probability) fail("{}: the text is not one of the built-in corpus", texts.location(record));
    nats -= *probability;
    length_nats -= std::log(length_distribution[words.size()]);
    evaluation.observer("asking the grammar", done + 1, all);
  }
  const double units = report.at("tokens").value;
  // Other tokens than words have another length, which says more or less of the text than the words' number.
  const Sampler* sampler = evaluation.model.sampler();
  if (sampler && sampler->uses().length && task.tokenizer().is(TokenizerKind::word)) {
    report.measures.push_back({"floor_nats_per_token",
                               "the grammar's own given the length, the floor",
                               (nats - length_nats) / units,
                               {},
                               "nats per token"});
  }
  report.measures.push_back({"floor_nats_per_token_with_length",
                             "the grammar's own with the length, the floor",
                             nats / units,
                             {},
                             "nats per token"});
}

void add_grammatical_share(const TextTask& task, const TaskEvaluation& evaluation, Report& report) {
  const Samples samples = draw_samples(
      evaluation.model, task, evaluation.settings, {.count = evaluation.samples, .seed = evaluation.seed},
      [&](const Snapshot& snapshot) { evaluation.observer("sampling", snapshot.step, snapshot.steps); });
  double grammatical = 0;
  for (int64_t i = 0; i < evaluation.samples; ++i)
    grammatical += corpus_log_probability(split_words(task.written(samples, i))).has_value();
  const auto count = static_cast<double>(evaluation.samples);
  report.measures.push_back({"grammatical_share", "samples that the grammar makes", grammatical / count,
                             share_error(grammatical, count)});
  report.measures.push_back({"samples", "samples", count, {}, "", 0});
}

}  // namespace

double share_error(double counted, double all) {
  const double moved = (counted + 2) / (all + 4);
  return std::sqrt(moved * (1 - moved) / (all + 4));
}

MeanAndError mean_and_error(const std::vector<double>& numbers) {
  const auto n = static_cast<double>(numbers.size());
  double sum = 0, squares = 0;
  for (const double number : numbers) sum += number;
  for (const double number : numbers) squares += (number - sum / n) * (number - sum / n);
  const bool is_share =
      std::all_of(numbers.begin(), numbers.end(), [](double number) { return number == 0 || number == 1; });
  if (is_share) return {sum / n, share_error(sum, n)};
  if (numbers.size() == 1) return {sum, {}};
  return {sum / n, std::sqrt(squares / (n - 1) / n)};
}

void measure_against_corpus(const TextTask& task, const TaskEvaluation& evaluation, int64_t unknown,
                            Report& report) {
  // A source or a label tells of its text: given them, a model may fall below the grammar's own.
  const bool texts_alone = evaluation.settings.text("data.task") == "texts";
  const bool built_in = texts_alone && evaluation.own_data && evaluation.settings.text("data.train").empty();
  // The floor is that of whole texts: examples that hold several, or a part of one, have another.
  const auto& examples = dynamic_cast<const TextExamples&>(evaluation.examples);
  if (!built_in || !examples.holds_whole_records()) return;
  if (unknown == 0) {
    add_floor(task, evaluation, report);
  } else {
    report.notes.push_back("no floor: the model does not pay for what the unknown words are");
  }
  const Sampler* sampler = evaluation.model.sampler();
  if (sampler && evaluation.samples > 0) add_grammatical_share(task, evaluation, report);
}

}  // namespace haze
