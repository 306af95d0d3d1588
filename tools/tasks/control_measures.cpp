#include "haze/tools/tasks/control_measures.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <sstream>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/tasks/control_requests.h"
#include "haze/tools/tasks/control_success.h"
#include "haze/tools/tasks/text_requests.h"

namespace haze {
namespace {

// The test part of the corpus that a run trains on by default (write_corpus()).
constexpr uint64_t kCorpusSeed = 1, kFirstTestText = uint64_t{1} << 41;

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

AnnotatedText annotated(const CorpusLine& line, const std::string& only_field) {
  AnnotatedText text{
      .words = line.words, .tags = line.tags, .constituents = read_corpus_tree(line.tree).constituents};
  for (const auto& [name, value] : line.fields) {
    if (only_field.empty() || name == only_field) text.fields.push_back({name, value});
  }
  return text;
}

// The first `count` texts that have a property of the kind; the longest have `most_words`.
std::vector<ControlTarget> targets_of(ControlKind kind, const Settings& settings) {
  const int64_t count = settings.integer("control.targets");
  const int64_t most_words = settings.integer("data.max_length") - 1;
  std::vector<ControlTarget> targets;
  Generator choices(kCorpusSeed, static_cast<uint64_t>(kind));
  for (uint64_t i = 0; std::ssize(targets) < count; ++i) {
    if (i > 1000 * static_cast<uint64_t>(count))
      fail("control.field: hardly any text says '{}'", settings.text("control.field"));
    const CorpusLine line = generate_line(kCorpusSeed, kFirstTestText + i);
    if (std::ssize(line.words) > most_words) continue;
    const std::optional<ControlTarget> target =
        target_from(kind, annotated(line, settings.text("control.field")), choices.below(uint64_t{1} << 32));
    if (target) targets.push_back(*target);
  }
  return targets;
}

std::vector<std::string> texts_for(const std::vector<ControlTarget>& targets, const TextTask& task,
                                   const TaskEvaluation& evaluation, const ControlTasks& tasks) {
  const Settings& settings = evaluation.settings;
  const Uses uses = sampler_of(evaluation.model, settings).uses();
  const bool led = settings.boolean("control.led");
  std::vector<Request> requests;
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::span<const ControlTarget> one(&targets[i], led || uses.source ? 1 : 0);
    for (int64_t j = 0; j < settings.integer("control.tries"); ++j)
      requests.push_back(
          controlled_request(task, settings, uses, tasks, one, {.seed = evaluation.seed + requests.size()}));
  }
  const Samples samples = draw_samples(
      evaluation.model, task, settings, requests, evaluation.seed,
      [&](const Snapshot& snapshot) { evaluation.observer("leading texts", snapshot.step, snapshot.steps); });
  std::vector<std::string> texts;
  for (size_t i = 0; i < requests.size(); ++i)
    texts.push_back(task.written(samples, static_cast<int64_t>(i)));
  return texts;
}

// Mean and standard error of numbers that are not all the same, or few.
void add_mean(const std::string& name, const std::string& label, const std::vector<double>& numbers,
              const std::string& unit, Report& report) {
  const auto n = static_cast<double>(numbers.size());
  double sum = 0, squares = 0;
  for (const double number : numbers) sum += number;
  for (const double number : numbers) squares += (number - sum / n) * (number - sum / n);
  const double error = n > 1 ? std::sqrt(squares / (n - 1) / n) : 0;
  report.measures.push_back({name, label, sum / n, error, unit});
}

// The texts' nats per token under a language model.
std::vector<double> fluency(const SavedModel& judge, const std::vector<std::string>& texts) {
  const auto* task = dynamic_cast<const TextTask*>(judge.task.get());
  const Likelihood* likelihood = judge.model->likelihood();
  if (!task || task->facts().max_source_length > 0 || !likelihood || !likelihood->is_exact())
    fail("control.judge names a run of the model {}; a judge is an autoregressive model of texts",
         judge.settings.text("model"));
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts) {
    tokens.push_back(task->tokenizer().encode(text));
    tokens.back().resize(
        std::min<size_t>(tokens.back().size(), static_cast<size_t>(task->facts().max_length) - 1));
    tokens.back().push_back(Tokenizer::kEnd);
  }
  Batch batch;
  batch.target = TextBatch::of(std::span<const std::vector<int32_t>>(tokens));
  Generator unused(0);
  std::vector<double> nats = likelihood->draw_nats(batch, unused);
  for (size_t i = 0; i < nats.size(); ++i) nats[i] /= static_cast<double>(tokens[i].size());
  return nats;
}

void measure_kind(ControlKind kind, const TextTask& task, const TaskEvaluation& evaluation,
                  const ControlTasks& tasks, const SavedModel* judge, Report& report) {
  const std::vector<ControlTarget> targets = targets_of(kind, evaluation.settings);
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<std::string> texts = texts_for(targets, task, evaluation, tasks);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const size_t tries = texts.size() / targets.size();
  std::vector<double> successes;
  std::vector<std::string> chosen;
  for (size_t i = 0; i < targets.size(); ++i) {
    std::vector<double> of_tries;
    for (size_t j = 0; j < tries; ++j)
      of_tries.push_back(control_success(targets[i], words_of(texts[i * tries + j])));
    const auto best = std::max_element(of_tries.begin(), of_tries.end());
    successes.push_back(*best);
    chosen.push_back(texts[i * tries + static_cast<size_t>(best - of_tries.begin())]);
  }
  const std::string name = control_name(kind);
  add_mean(name + "_success", "success of the control " + name, successes, "", report);
  if (judge)
    add_mean(name + "_nats", "fluency of its texts", fluency(*judge, chosen), "nats per token", report);
  report.measures.push_back({name + "_seconds",
                             "seconds a target",
                             seconds.count() / static_cast<double>(targets.size()),
                             {},
                             "s"});
}

}  // namespace

SettingsTable control_settings() {
  SettingsTable table = {
      text_setting(
          "control.kinds", "",
          "properties that haze eval leads texts to, of semantic, pos, tree, span and length; empty: none"),
      integer_setting("control.targets", 50, between(1, 100000), "targets of each kind"),
      text_setting("control.field", "food", "the field whose values semantic targets are; empty: any"),
      boolean_setting("control.led", true, "false: texts are drawn freely, for comparison"),
      integer_setting("control.tries", 1, between(1, 1000),
                      "texts for each target, the best of which counts"),
      text_setting("control.judge", "",
                   "run of an autoregressive model of texts, by which fluency is measured; empty: none"),
  };
  for (Setting& setting : table) setting = since(4, std::move(setting));
  return table;
}

void measure_controls(const TextTask& task, const TaskEvaluation& evaluation, Report& report) {
  const Settings& settings = evaluation.settings;
  // Models that draw no texts have none.
  if (!settings.has("control.kinds")) return;
  const std::vector<std::string> kinds = words_of(settings.text("control.kinds"));
  if (kinds.empty()) return;
  const ControlTasks tasks = ControlTasks::of(settings);
  std::optional<SavedModel> judge;
  if (!settings.text("control.judge").empty())
    judge = load_model(settings.text("control.judge"), {}, Purpose::training);
  for (const std::string& kind : kinds)
    measure_kind(control_kind(kind), task, evaluation, tasks, judge ? &*judge : nullptr, report);
}

}  // namespace haze
