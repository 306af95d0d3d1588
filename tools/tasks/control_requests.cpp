#include "haze/tools/tasks/control_requests.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "haze/tools/run/models.h"
#include "haze/tools/run/saved_model.h"

namespace haze {
namespace {

std::unique_ptr<TextTask> task_of(const Settings& settings, const char* key) {
  if (!settings.has(key) || settings.text(key).empty()) return nullptr;
  std::unique_ptr<Task> task = load_task(settings.text(key));
  auto* text_task = dynamic_cast<TextTask*>(task.get());
  if (!text_task) fail("{} names a run that has not learned texts", key);
  task.release();
  return std::unique_ptr<TextTask>(text_task);
}

// How a classifier for a control is trained: the model that stands on a run and learns this task.
std::string training_command(const std::string& task) {
  for (const ModelRow& row : model_table()) {
    const std::vector<std::string>& tasks = row.info.tasks;
    if (std::find(tasks.begin(), tasks.end(), task) == tasks.end()) continue;
    for (const std::string& key : row.info.frozen) {
      if (!is_of_sampling(key))
        return fmt::format("haze train --config {} --set {}=RUN", row.configuration, key);
    }
  }
  fail("no model learns the task {}", task);
}

// Whether a model can be controlled by a source: its classifiers are of other kinds.
bool may_learn_pairs(const std::string& model) {
  const std::vector<std::string>& tasks = model_row(model).info.tasks;
  return std::find(tasks.begin(), tasks.end(), "pairs") != tasks.end();
}

// The task of the classifier that a control needs.
const TextTask& needed(const std::unique_ptr<TextTask>& task, ControlKind kind, const Settings& settings,
                       const std::string& setting, const char* learns) {
  if (task) return *task;
  const std::string& model = settings.text("model");
  if (may_learn_pairs(model)) {
    fail(
        "the control {}: a run of the model {} is controlled where it was trained on pairs of a control and "
        "a text, "
        "which haze data controls writes",
        control_name(kind), model);
  }
  if (!settings.has("sample." + setting))
    fail("the control {} needs a classifier, and the model {} takes none", control_name(kind), model);
  fail("the control {} needs a classifier of the run, which --{} names; {} trains one", control_name(kind),
       setting, training_command(learns));
}

void want_tree(const TextTask& task, const ControlTarget& target, Request& request) {
  for (const Constituent& one : with_joined_labels(target.constituents))
    request.spans.push_back({one.begin, one.end, {task.span_label_called(one.label)}});
  request.spans_are_all = true;
}

void want(const ControlTarget& target, const Settings& settings, const ControlTasks& tasks,
          Request& request) {
  const auto parser = [&]() -> const TextTask& {
    return needed(tasks.spans, target.kind, settings, "parser", "parsed");
  };
  switch (target.kind) {
    case ControlKind::semantic:
      request.label = needed(tasks.label, target.kind, settings, "classifier", "labelled")
                          .label_called(target.semantic.name, target.semantic.value);
      return;
    case ControlKind::pos:
      request.tags = needed(tasks.tags, target.kind, settings, "tagger", "tagged").tags_called(target.tags);
      return;
    case ControlKind::tree:
      return want_tree(parser(), target, request);
    case ControlKind::span: {
      const Constituent& span = target.constituents.at(0);
      request.spans.push_back({span.begin, span.end, parser().span_labels_with(span.label)});
      return;
    }
    case ControlKind::length:
      return;  // the request is as long
  }
}

// Tokens of the text, its end token among them, that the targets say; 0 where they leave it open.
int64_t wanted_length(std::span<const ControlTarget> targets) {
  const ControlTarget* saying = nullptr;
  for (const ControlTarget& target : targets) {
    if (target.kind == ControlKind::semantic || target.kind == ControlKind::span) continue;
    if (saying && saying->words != target.words) {
      fail("the {} is of {} words and the {} of {}: no text has both", control_name(saying->kind),
           saying->words, control_name(target.kind), target.words);
    }
    saying = &target;
  }
  return saying ? saying->words + 1 : 0;
}

// Positions and lengths of targets count words, and those of a request tokens.
void require_words(const TextTask& task, std::span<const ControlTarget> targets) {
  const std::string kind = task.tokenizer().kind();
  if (kind == "word") return;
  for (const ControlTarget& target : targets) {
    if (target.kind != ControlKind::semantic)
      fail("the control {} counts words, and the run has data.tokenizer {}; word makes every word a token",
           control_name(target.kind), kind);
  }
}

}  // namespace

ControlTasks ControlTasks::of(const Settings& settings) {
  return {task_of(settings, "sample.classifier"), task_of(settings, "sample.tagger"),
          task_of(settings, "sample.parser")};
}

void set_length(std::span<const ControlTarget> targets, SampleRequest& request) {
  if (const int64_t length = wanted_length(targets); length > 0) request.length = length;
  for (const ControlTarget& target : targets) {
    if (target.kind == ControlKind::span) request.shortest = target.constituents.at(0).end + 1;
  }
}

Request controlled_request(const TextTask& task, const Settings& settings, const Uses& uses,
                           const ControlTasks& tasks, std::span<const ControlTarget> targets,
                           SampleRequest request) {
  request.count = 1;
  if (uses.source) {
    std::vector<std::string> written;
    for (const ControlTarget& target : targets) written.push_back(target.written());
    request.source = fmt::format("{}", fmt::join(written, " "));
    request.length = 0;  // the source says it
    return task.requests(settings, uses, request).at(0);
  }
  require_words(task, targets);
  set_length(targets, request);
  Request result = task.requests(settings, uses, request).at(0);
  for (const ControlTarget& target : targets) want(target, settings, tasks, result);
  return result;
}

}  // namespace haze
