#include "haze/tools/tasks/control_judges.h"

#include <algorithm>

#include "haze/tools/tasks/control_success.h"
#include "haze/tools/tasks/tagging.h"

namespace haze {
namespace {

std::optional<SavedModel> judge_called(const Settings& settings, const std::string& key, int64_t longest) {
  if (settings.text(key).empty()) return {};
  SavedModel judge = load_model(settings.text(key), {}, Purpose::training);
  const auto* task = dynamic_cast<const TextTask*>(judge.task.get());
  if (!task) fail("{} names a run of the model {}, which reads no texts", key, judge.settings.text("model"));
  if (task->facts().max_length < longest) {
    fail("{}: the judge reads {} tokens, and texts may have {}", key, task->facts().max_length, longest);
  }
  return judge;
}

const TextTask& task_of(const SavedModel& judge) {
  return dynamic_cast<const TextTask&>(*judge.task);
}

void require_language_model(const SavedModel& judge) {
  const Likelihood* likelihood = judge.model->likelihood();
  if (task_of(judge).facts().max_source_length == 0 && likelihood && likelihood->is_exact()) return;
  fail(
      "control.judge names a run of the model {}; a judge is a language model of texts, whose likelihood is "
      "exact",
      judge.settings.text("model"));
}

bool asks_for(const WantedProperties& wanted, ControlKind kind) {
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const ControlTarget& target) { return target.kind == kind; });
}

}  // namespace

ControlJudges::ControlJudges(const Settings& settings, int64_t longest)
    : knows_grammar_(settings.text("control.target_file").empty()),
      fluency_(judge_called(settings, "control.judge", longest)),
      tagger_(judge_called(settings, "control.pos_judge", longest)) {
  if (fluency_) require_language_model(*fluency_);
  if (tagger_) require_tagger(*tagger_->model, tagger_->settings);
}

void ControlJudges::require(const WantedProperties& wanted) const {
  for (const ControlTarget& target : wanted) {
    const bool is_of_grammar = target.kind == ControlKind::tree || target.kind == ControlKind::span;
    if (is_of_grammar && !knows_grammar_) {
      fail(
          "the control {} is measured on the built-in corpus alone: only its grammar finds trees and phrases",
          control_name(target.kind));
    }
    if (target.kind != ControlKind::pos) continue;
    if (tagger_) {
      task_of(*tagger_).tags_called(target.tags);
    } else if (!knows_grammar_) {
      fail(
          "the control pos of control.target_file needs a tagger of clean texts, which control.pos_judge "
          "names");
    }
  }
}

std::vector<double> ControlJudges::successes(const std::vector<WantedProperties>& targets,
                                             const std::vector<std::string>& texts) const {
  const size_t tries = texts.size() / targets.size();
  const bool by_tagger = tagger_ && asks_for(targets.front(), ControlKind::pos);
  TextTags tags(texts.size());
  if (by_tagger) tags = tags_of_texts(task_of(*tagger_), *tagger_->model, tagger_->settings, texts);
  std::vector<double> successes;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::vector<std::string> words = split_words(texts[i]);
    double all = 1;
    for (const ControlTarget& target : targets[i / tries]) {
      const bool is_of_grammar = knows_grammar_ && !(by_tagger && target.kind == ControlKind::pos);
      all *= is_of_grammar ? control_success(target, words) : control_success_by_tags(target, words, tags[i]);
    }
    successes.push_back(all);
  }
  return successes;
}

std::optional<std::vector<double>> ControlJudges::nats(const std::vector<std::string>& texts) const {
  if (!fluency_) return {};
  const TextTask& task = task_of(*fluency_);
  const int64_t longest = task.facts().max_length;
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts) {
    tokens.push_back(task.tokenizer().encode(text));
    // A text of all the tokens that there may be was cut: it has no end.
    if (std::ssize(tokens.back()) < longest) tokens.back().push_back(Tokenizer::kEnd);
    if (std::ssize(tokens.back()) > longest)
      fail("control.judge: the judge reads {} tokens, and a text has {}", longest, tokens.back().size());
  }
  Batch batch;
  batch.target = TextBatch::of(std::span<const std::vector<int32_t>>(tokens));
  Generator unused(0);
  std::vector<double> nats = fluency_->model->likelihood()->draw_nats(batch, unused);
  for (size_t i = 0; i < nats.size(); ++i) nats[i] /= static_cast<double>(tokens[i].size());
  return nats;
}

std::vector<size_t> best_of_tries(std::span<const double> numbers, size_t tries) {
  std::vector<size_t> best;
  for (auto first = numbers.begin(); first != numbers.end(); first += static_cast<std::ptrdiff_t>(tries)) {
    const auto largest = std::max_element(first, first + static_cast<std::ptrdiff_t>(tries));
    best.push_back(static_cast<size_t>(largest - numbers.begin()));
  }
  return best;
}

}  // namespace haze
