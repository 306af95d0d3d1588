#include "haze/tools/tasks/control_measures.h"

#include <algorithm>
#include <chrono>

#include "haze/tools/run/sampling.h"
#include "haze/tools/tasks/control_judges.h"
#include "haze/tools/tasks/control_requests.h"
#include "haze/tools/tasks/corpus_floor.h"

namespace haze {
namespace {

// The request of a text that is not guided: as long as the targets say, or as a span needs.
Request unguided_request(const WantedProperties& wanted, const TextTask& task, const Settings& settings,
                         const Uses& uses, SampleRequest request) {
  if (uses.source) {
    fail("control.guided false: the model {} was trained on controls and texts, and writes none without one",
         settings.text("model"));
  }
  set_length(wanted, request);
  return task.requests(settings, uses, request).at(0);
}

// control.tries requests for each target.
std::vector<Request> requests_for(const std::vector<WantedProperties>& targets, const TextTask& task,
                                  const TaskEvaluation& evaluation, const ControlTasks& tasks) {
  const Settings& settings = evaluation.settings;
  const Uses uses = sampler_of(evaluation.model, settings).uses();
  const bool guided = settings.boolean("control.guided");
  std::vector<Request> requests;
  for (const WantedProperties& wanted : targets) {
    for (int64_t j = 0; j < settings.integer("control.tries"); ++j) {
      const SampleRequest request{.seed = evaluation.seed + requests.size()};
      requests.push_back(guided ? controlled_request(task, settings, uses, tasks, wanted, request)
                                : unguided_request(wanted, task, settings, uses, request));
    }
  }
  return requests;
}

std::vector<std::string> texts_for(const std::vector<Request>& requests, const TextTask& task,
                                   const TaskEvaluation& evaluation) {
  const Samples samples = draw_samples(
      evaluation.model, task, evaluation.settings, requests, evaluation.seed,
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

// Texts that are wanted to have properties of some kinds together.
struct ControlTrial {
  std::string name;  // such as "semantic+length"
  std::vector<WantedProperties> targets;
  std::vector<Request> requests;
};

// Adds the best of each target's texts to the report.
void measure_trial(const ControlTrial& trial, const TextTask& task, const TaskEvaluation& evaluation,
                   const ControlJudges& judges, Report& report) {
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<std::string> texts = texts_for(trial.requests, task, evaluation);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const std::vector<double> successes = judges.successes(trial.targets, texts);
  std::vector<double> of_targets;
  std::vector<std::string> chosen;
  for (const size_t best : best_of_tries(successes, texts.size() / trial.targets.size())) {
    of_targets.push_back(successes[best]);
    chosen.push_back(texts[best]);
  }
  report.measures.push_back(
      mean_of(trial.name + "_success", "success of the control " + trial.name, of_targets, ""));
  if (const auto nats = judges.nats(chosen))
    report.measures.push_back(mean_of(trial.name + "_nats", "fluency of its texts", *nats, "nats per token"));
  report.measures.push_back({trial.name + "_seconds",
                             "seconds a target",
                             seconds.count() / static_cast<double>(trial.targets.size()),
                             {},
                             "s"});
}

}  // namespace

SettingsTable control_settings() {
  SettingsTable table = {
      text_setting("control.kinds", "",
                   "properties that haze eval guides texts to, of semantic, pos, tree, span and length, two "
                   "together as "
                   "semantic+length; empty: none"),
      integer_setting("control.targets", 50, between(1, 100000), "targets of each kind"),
      text_setting("control.field", "food", "the field whose values semantic targets are; empty: any"),
      boolean_setting("control.guided", true, "false: texts have the target's length alone, for comparison"),
      integer_setting("control.tries", 1, between(1, 1000),
                      "texts for each target, the best of which counts"),
      text_setting("control.judge", "",
                   "run of a language model of texts, by which fluency is measured; empty: none"),
  };
  for (Setting& setting : table) setting = since(4, std::move(setting));
  table.push_back(since(5, text_setting("control.target_file", "",
                                        "file of targets of real texts, as Li et al. 2022 published theirs; "
                                        "empty: texts of the built-in corpus")));
  table.push_back(since(
      5, text_setting("control.pos_judge", "",
                      "run of a tagger of clean texts, by which success of pos is measured; empty: by the "
                      "built-in grammar")));
  return table;
}

std::vector<std::string> control_measure_names() {
  std::vector<std::string> kinds;
  for (const ControlKind kind : control_kinds()) {
    kinds.push_back(control_name(kind));
    for (const ControlKind other : control_kinds()) {
      if (kind != other) kinds.push_back(control_name(kind) + '+' + control_name(other));
    }
  }
  std::vector<std::string> names;
  for (const std::string& kind : kinds) {
    for (const char* measure : {"_success", "_nats", "_seconds"}) names.push_back(kind + measure);
  }
  return names;
}

void measure_controls(const TextTask& task, const TaskEvaluation& evaluation, Report& report) {
  const Settings& settings = evaluation.settings;
  // Models that draw no texts have none.
  if (!settings.has("control.kinds")) return;
  const std::vector<std::string> names = split_words(settings.text("control.kinds"));
  if (names.empty()) return;
  if (!task.tokenizer().is(TokenizerKind::word)) {
    fail("control.kinds: success is counted in words, and the run has data.tokenizer {}",
         task.tokenizer().kind());
  }
  const ControlJudges judges(settings, task.facts().max_length);
  const ControlTasks tasks = ControlTasks::of(settings);
  // A control that cannot be asked for is refused before any text is drawn.
  std::vector<ControlTrial> trials;
  for (const std::string& name : names) {
    if (std::count(names.begin(), names.end(), name) > 1) fail("control.kinds names {} twice", name);
    ControlTrial trial{.name = name, .targets = evaluation_targets(control_kinds_called(name), settings)};
    for (const WantedProperties& wanted : trial.targets) judges.require(wanted);
    trial.requests = requests_for(trial.targets, task, evaluation, tasks);
    trials.push_back(std::move(trial));
  }
  for (const ControlTrial& trial : trials) measure_trial(trial, task, evaluation, judges, report);
}

}  // namespace haze
