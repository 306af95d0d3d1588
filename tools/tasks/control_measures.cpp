#include "haze/tools/tasks/control_measures.h"

#include <algorithm>
#include <chrono>

#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/tasks/control_requests.h"
#include "haze/tools/tasks/control_success.h"
#include "haze/tools/tasks/corpus_floor.h"

namespace haze {
namespace {

constexpr uint64_t kCorpusSeed = 1;  // that of the corpus that a run trains on by default

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
      fail("the control {}: hardly any text of at most {} words has the property", control_name(kind),
           most_words);
    const CorpusLine line = generate_line(kCorpusSeed, first_of_part(2) + i);
    if (std::ssize(line.words) > most_words) continue;
    const std::optional<ControlTarget> target =
        target_from(kind, annotated(line, settings.text("control.field")), choices.below(uint64_t{1} << 32));
    if (target) targets.push_back(*target);
  }
  return targets;
}

// The request of a text that is not guided: as long as the target says, or as the span needs.
Request unguided_request(const ControlTarget& target, const TextTask& task, const Settings& settings,
                         const Uses& uses, SampleRequest request) {
  if (uses.source) {
    fail("control.guided false: the model {} was trained on controls and texts, and writes none without one",
         settings.text("model"));
  }
  set_length({&target, 1}, request);
  return task.requests(settings, uses, request).at(0);
}

std::vector<std::string> texts_for(const std::vector<ControlTarget>& targets, const TextTask& task,
                                   const TaskEvaluation& evaluation, const ControlTasks& tasks) {
  const Settings& settings = evaluation.settings;
  const Uses uses = sampler_of(evaluation.model, settings).uses();
  const bool guided = settings.boolean("control.guided");
  std::vector<Request> requests;
  for (const ControlTarget& target : targets) {
    for (int64_t j = 0; j < settings.integer("control.tries"); ++j) {
      const SampleRequest request{.seed = evaluation.seed + requests.size()};
      requests.push_back(guided ? controlled_request(task, settings, uses, tasks, {&target, 1}, request)
                                : unguided_request(target, task, settings, uses, request));
    }
  }
  const Samples samples = draw_samples(
      evaluation.model, task, settings, requests, evaluation.seed,
      [&](const Snapshot& snapshot) { evaluation.observer("guiding texts", snapshot.step, snapshot.steps); });
  std::vector<std::string> texts;
  for (size_t i = 0; i < requests.size(); ++i)
    texts.push_back(task.written(samples, static_cast<int64_t>(i)));
  return texts;
}

Measure mean_of(const std::string& name, const std::string& label, const std::vector<double>& numbers,
                const std::string& unit) {
  const MeanAndError mean = mean_and_error(numbers);
  return {name, label, mean.mean, mean.error, unit};
}

// The texts' nats per token under a language model.
std::vector<double> fluency(const SavedModel& judge, const std::vector<std::string>& texts) {
  const auto* task = dynamic_cast<const TextTask*>(judge.task.get());
  const Likelihood* likelihood = judge.model->likelihood();
  if (!task || task->facts().max_source_length > 0 || !likelihood || !likelihood->is_exact())
    fail(
        "control.judge names a run of the model {}; a judge is a language model of texts, whose likelihood "
        "is exact",
        judge.settings.text("model"));
  std::vector<std::vector<int32_t>> tokens;
  const int64_t longest = task->facts().max_length;
  for (const std::string& text : texts) {
    tokens.push_back(task->tokenizer().encode(text));
    // A text of all the tokens that there may be was cut: it has no end.
    if (std::ssize(tokens.back()) < longest) tokens.back().push_back(Tokenizer::kEnd);
    if (std::ssize(tokens.back()) > longest)
      fail("control.judge: the judge reads {} tokens, and a text has {}", longest, tokens.back().size());
  }
  Batch batch;
  batch.target = TextBatch::of(std::span<const std::vector<int32_t>>(tokens));
  Generator unused(0);
  std::vector<double> nats = likelihood->draw_nats(batch, unused);
  for (size_t i = 0; i < nats.size(); ++i) nats[i] /= static_cast<double>(tokens[i].size());
  return nats;
}

// Throws Error where texts cannot be guided to a kind, before any text of another is drawn.
void require_control(ControlKind kind, const TextTask& task, const TaskEvaluation& evaluation,
                     const ControlTasks& tasks) {
  if (!evaluation.settings.boolean("control.guided")) return;
  const ControlTarget target = targets_of(kind, evaluation.settings).at(0);
  controlled_request(task, evaluation.settings, sampler_of(evaluation.model, evaluation.settings).uses(),
                     tasks, {&target, 1}, {});
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
      of_tries.push_back(control_success(targets[i], split_words(texts[i * tries + j])));
    const auto best = std::max_element(of_tries.begin(), of_tries.end());
    successes.push_back(*best);
    chosen.push_back(texts[i * tries + static_cast<size_t>(best - of_tries.begin())]);
  }
  const std::string name = control_name(kind);
  report.measures.push_back(mean_of(name + "_success", "success of the control " + name, successes, ""));
  if (judge) {
    report.measures.push_back(
        mean_of(name + "_nats", "fluency of its texts", fluency(*judge, chosen), "nats per token"));
  }
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
          "properties that haze eval guides texts to, of semantic, pos, tree, span and length; empty: none"),
      integer_setting("control.targets", 50, between(1, 100000), "targets of each kind"),
      text_setting("control.field", "food", "the field whose values semantic targets are; empty: any"),
      boolean_setting("control.guided", true, "false: texts have the target's length alone, for comparison"),
      integer_setting("control.tries", 1, between(1, 1000),
                      "texts for each target, the best of which counts"),
      text_setting("control.judge", "",
                   "run of a language model of texts, by which fluency is measured; empty: none"),
  };
  for (Setting& setting : table) setting = since(4, std::move(setting));
  return table;
}

std::vector<std::string> control_measure_names() {
  std::vector<std::string> names;
  for (const ControlKind kind : control_kinds()) {
    for (const char* measure : {"_success", "_nats", "_seconds"})
      names.push_back(control_name(kind) + measure);
  }
  return names;
}

void measure_controls(const TextTask& task, const TaskEvaluation& evaluation, Report& report) {
  const Settings& settings = evaluation.settings;
  // Models that draw no texts have none.
  if (!settings.has("control.kinds")) return;
  const std::vector<std::string> kinds = split_words(settings.text("control.kinds"));
  if (kinds.empty()) return;
  const ControlTasks tasks = ControlTasks::of(settings);
  std::optional<SavedModel> judge;
  if (!settings.text("control.judge").empty())
    judge = load_model(settings.text("control.judge"), {}, Purpose::training);
  for (const std::string& kind : kinds) require_control(control_kind(kind), task, evaluation, tasks);
  for (const std::string& kind : kinds)
    measure_kind(control_kind(kind), task, evaluation, tasks, judge ? &*judge : nullptr, report);
}

}  // namespace haze
