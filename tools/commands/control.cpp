#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/corpus/spelling.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/work_observer.h"
#include "haze/tools/tasks/control_requests.h"
#include "haze/tools/tasks/control_success.h"
#include "haze/tools/tasks/corpus_floor.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

struct Arguments {
  std::string run;
  std::optional<std::string> semantic, pos, tree, span, left, right;
  std::optional<int64_t> count;
  SampleSettingOptions settings;
  int64_t length = 0;
  uint64_t seed = 1;
  Device device = Device::cpu;
  bool trace = false;
};

/// "food: Japanese".
Field semantic_target(const std::string& text) {
  const size_t colon = text.find(':');
  Field target;
  if (colon != std::string::npos)
    target = {std::string(trim(text.substr(0, colon))), std::string(trim(text.substr(colon + 1)))};
  if (target.name.empty() || target.value.empty())
    throw WrongUsage(
        fmt::format("--semantic takes a field and its value, such as \"food: Japanese\", not '{}'", text));
  return target;
}

constexpr int64_t kLastWord = 1 << 20;

/// "0,2,NP", or "0 2 NP".
Constituent span_target(const std::string& text) {
  std::string with_blanks = text;
  std::replace(with_blanks.begin(), with_blanks.end(), ',', ' ');
  std::istringstream stream(with_blanks);
  int64_t first = -1, last = -1;
  std::string label, rest;
  if (!(stream >> first >> last >> label) || stream >> rest || first < 0 || last < first ||
      last > kLastWord) {
    throw WrongUsage(
        fmt::format("--span takes the first and last word of a phrase, counted from 0, and its label, such "
                    "as \"0,2,NP\", "
                    "not '{}'",
                    text));
  }
  return {first, last + 1, label};
}

/// A tree whose brackets are constituents or Penn Treebank tags. Throws Error, with the nearest constituent,
/// at another bracket around a word.
BracketedText tree_target(const std::string& text) {
  BracketedText tree = read_brackets(text, constituent_labels());
  for (size_t i = 0; i < tree.tags.size(); ++i) {
    if (!tree.tags[i].empty() && !is_penn_tag(tree.tags[i]))
      Labels::of_names(constituent_labels()).called(tree.tags[i], "constituent");
  }
  return tree;
}

std::vector<ControlTarget> targets_of(const Arguments& arguments) {
  std::vector<ControlTarget> targets;
  if (arguments.semantic)
    targets.push_back({.kind = ControlKind::semantic, .semantic = semantic_target(*arguments.semantic)});
  if (arguments.pos) {
    const std::vector<std::string> tags = split_words(*arguments.pos);
    if (tags.empty()) throw WrongUsage("--pos takes parts of speech with blanks between");
    targets.push_back({.kind = ControlKind::pos, .tags = tags, .words = std::ssize(tags)});
  }
  if (arguments.tree) {
    const BracketedText tree = tree_target(*arguments.tree);
    targets.push_back(
        {.kind = ControlKind::tree, .constituents = tree.constituents, .words = std::ssize(tree.words)});
  }
  if (arguments.span)
    targets.push_back({.kind = ControlKind::span, .constituents = {span_target(*arguments.span)}});
  if (arguments.length > 0) targets.push_back({.kind = ControlKind::length, .words = arguments.length - 1});
  return targets;
}

// What --left and --right give: a text with gaps between them, or a beginning.
void add_context(const Arguments& arguments, SampleRequest& request) {
  if (!arguments.left && !arguments.right) return;
  if (!arguments.right) {
    request.prompt = *arguments.left;
    return;
  }
  if (arguments.length == 0) throw WrongUsage("--right needs --length: how many tokens the whole text has");
  const int64_t given =
      std::ssize(split_words(arguments.left.value_or(""))) + std::ssize(split_words(*arguments.right)) + 1;
  if (given >= arguments.length)
    throw WrongUsage(fmt::format("--left, --right and the end are {} tokens, which leaves no gap in {}",
                                 given, arguments.length));
  std::string text = arguments.left.value_or("");
  for (int64_t gap = given; gap < arguments.length; ++gap) text += text.empty() ? "_" : " _";
  request.gapped = text + ' ' + *arguments.right;
  request.length = 0;
}

// A text, and what it lacks altogether, such as "[missing span]" (Li et al. 2022, table 3).
std::string marked(const std::string& text, const std::vector<ControlTarget>& targets) {
  std::string result = text;
  for (const ControlTarget& target : targets) {
    if (control_success(target, split_words(text)) == 0)
      result += fmt::format("  [missing {}]", control_name(target.kind));
  }
  return result;
}

// Success is read off the texts, by code that knows nothing of classifiers.
void print_success(const std::vector<ControlTarget>& targets, const std::vector<std::string>& texts) {
  for (const ControlTarget& target : targets) {
    std::vector<double> successes;
    for (const std::string& text : texts) successes.push_back(control_success(target, split_words(text)));
    const auto [mean, error] = mean_and_error(successes);
    const std::string known = error ? fmt::format(" +- {:.3f}", *error) : "";
    fmt::print("{}: {:.3f}{} of {} texts\n", target.written(), mean, known, texts.size());
  }
}

void control(const Arguments& arguments) {
  const std::vector<ControlTarget> targets = targets_of(arguments);
  if (targets.empty() && !arguments.left && !arguments.right) {
    throw WrongUsage(
        "nothing is controlled: say what is wanted with --semantic, --pos, --tree, --span, --length, --left "
        "or "
        "--right");
  }
  const SavedModel saved = load_model(
      arguments.run, [&](Settings& settings) { arguments.settings.apply_to(settings); }, Purpose::sampling,
      arguments.device);
  const auto* task = dynamic_cast<const TextTask*>(saved.task.get());
  if (!task) fail("the model {} makes no texts, which control is for", saved.settings.text("model"));
  const int64_t count = arguments.count.value_or(saved.settings.integer("sample.count"));
  const Uses uses = sampler_of(*saved.model, saved.settings).uses();
  const ControlTasks tasks = ControlTasks::of(saved.settings);
  std::vector<Request> requests;
  for (int64_t i = 0; i < count; ++i) {
    SampleRequest request{.length = arguments.length, .seed = arguments.seed + static_cast<uint64_t>(i)};
    add_context(arguments, request);
    requests.push_back(controlled_request(*task, saved.settings, uses, tasks, targets, request));
  }
  std::optional<TraceKeeper> keeper;
  if (arguments.trace) keeper.emplace(*task, requests.front());
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt);
  const auto observer = [&](const Snapshot& snapshot) {
    work.update(snapshot.step, snapshot.steps);
    if (keeper) keeper->observe(snapshot);
  };
  const Samples samples =
      draw_samples(*saved.model, *task, saved.settings, requests, arguments.seed, observer);
  if (keeper) fmt::print("{}\n", render_trace(keeper->trace(), TraceStyle::for_stream(STDOUT_FILENO)));
  std::vector<std::string> texts;
  for (int64_t i = 0; i < count; ++i) texts.push_back(task->written(samples, i));
  for (const std::string& text : texts) fmt::print("{}\n", for_stream(marked(text, targets), STDOUT_FILENO));
  print_success(targets, texts);
}

}  // namespace

void add_control_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("control", "Write texts that have a property, and count how many have it");
  command->add_option("run", arguments->run, "folder of a run or of a checkpoint")
      ->required()
      ->check(file_name());
  command->add_option(
      "--semantic", arguments->semantic,
      "a field and its value that the text says, such as \"food: Japanese\"; needs --classifier");
  command->add_option(
      "--pos", arguments->pos,
      "the part of speech of every word, such as \"PRON AUX DET NOUN PUNCT\"; needs --tagger");
  command->add_option(
      "--tree", arguments->tree,
      "the tree, such as \"(S (NP *) (VP * (NP * *)) *)\", a * for each word; needs --parser");
  command->add_option(
      "--span", arguments->span,
      "first and last word of a phrase, counted from 0, and its label, such as \"0,2,NP\"; needs --parser");
  command->add_option("--length", arguments->length, "tokens of each text with its end")
      ->check(whole_number(1));
  command->add_option("--left", arguments->left, "the words that the text begins with");
  command->add_option("--right", arguments->right, "the words that it ends with; needs --length");
  command->add_option("--count", arguments->count, "texts to write (default: the run's)")
      ->check(whole_number(1, kMostSamples));
  arguments->settings.add_to(*command, {"count"});
  command->add_option("--seed", arguments->seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_flag("--trace", arguments->trace, "show how the first text is pulled to its target");
  add_threads_option(*command);
  add_device_option(*command, arguments->device);
  command->callback([arguments] { control(*arguments); });
}

}  // namespace haze
