#include <algorithm>
#include <memory>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/commands/shown_sampling.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/corpus/spelling.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/tasks/control_requests.h"
#include "haze/tools/tasks/control_success.h"
#include "haze/tools/tasks/corpus_floor.h"
#include "haze/tools/tasks/gapped_text.h"
#include "haze/tools/tasks/text_requests.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

struct Arguments {
  std::string run;
  std::optional<std::string> semantic, pos, tree, span, left, right;
  std::optional<int64_t> count;
  SampleSettingOptions settings;
  SamplingOptions sampling;
  int64_t length = 0;  // words
  Device device = Device::cpu;
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
  if (arguments.length > 0) targets.push_back({.kind = ControlKind::length, .words = arguments.length});
  return targets;
}

// The words of a tree that are no *: they are wanted where they stand. None where there are only *.
std::optional<std::string> words_of_tree(const Arguments& arguments) {
  if (!arguments.tree) return {};
  const std::vector<std::string> words = tree_target(*arguments.tree).words;
  if (std::all_of(words.begin(), words.end(), [](const std::string& word) { return word == "*"; })) return {};
  if (std::find(words.begin(), words.end(), "*") == words.end())
    throw WrongUsage("--tree gives every word of the text; write * for each one that is open");
  std::vector<std::string> gapped;
  for (const std::string& word : words) gapped.push_back(word == "*" ? "_" : without_gaps(word));
  return fmt::format("{}", fmt::join(gapped, " "));
}

// Adds the words of --left and --right: a text with a gap between them, or a beginning.
void add_context(const Arguments& arguments, SampleRequest& request) {
  if (!arguments.right) {
    request.prompt = arguments.left;
    return;
  }
  if (arguments.length == 0) throw WrongUsage("--right needs --length: how many words the whole text has");
  const std::string left = arguments.left.value_or("");
  const int64_t given = std::ssize(split_words(left)) + std::ssize(split_words(*arguments.right));
  if (given >= arguments.length)
    throw WrongUsage(
        fmt::format("--left and --right are {} words, which leaves no gap in {}", given, arguments.length));
  request.gapped = fmt::format("{} _{{{}}} {}", without_gaps(left), arguments.length - given,
                               without_gaps(*arguments.right));
}

// Adds the words that are given, whatever the targets are. Returns whether they are of a tree.
bool add_given_words(const Arguments& arguments, SampleRequest& request) {
  if (const std::optional<std::string> words = words_of_tree(arguments)) {
    if (arguments.left || arguments.right)
      throw WrongUsage(
          "the words of --tree do not go together with --left and --right; write * for each word");
    request.gapped = *words;
    return true;
  }
  add_context(arguments, request);
  return false;
}

// Throws Error, with the option's name, at a word of the command line that the model does not know. Only the
// tokeniser of words splits a text without regard to its neighbours: for others the request finds the word.
void require_known_words(const Arguments& arguments, const Tokenizer& tokenizer) {
  if (!tokenizer.is(TokenizerKind::word)) return;
  if (arguments.left) known_tokens(tokenizer, *arguments.left, "--left");
  if (arguments.right) known_tokens(tokenizer, *arguments.right, "--right");
  if (!arguments.tree) return;
  for (const std::string& word : tree_target(*arguments.tree).words) {
    if (word != "*") known_tokens(tokenizer, word, "--tree");
  }
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

void control(Arguments& arguments) {
  const std::vector<ControlTarget> targets = targets_of(arguments);
  if (targets.empty() && !arguments.left && !arguments.right) {
    throw WrongUsage(
        "nothing is controlled: say what is wanted with --semantic, --pos, --tree, --span, --length, --left "
        "or "
        "--right");
  }
  // Wrong usage is seen before a model is loaded.
  SampleRequest request{.seed = arguments.sampling.chosen_seed()};
  const bool gives_tree_words = add_given_words(arguments, request);
  const SavedModel saved = load_model(
      arguments.run, [&](Settings& settings) { arguments.settings.apply_to(settings); }, Purpose::sampling,
      arguments.device);
  const auto* task = dynamic_cast<const TextTask*>(saved.task.get());
  if (!task) fail("the model {} makes no texts, which control is for", saved.settings.text("model"));
  const int64_t count = arguments.count.value_or(saved.settings.integer("sample.count"));
  const Uses uses = sampler_of(*saved.model, saved.settings).uses();
  if (gives_tree_words && !uses.gaps) {
    fail("--tree: the model {} cannot be given words of the text; write * for each word",
         saved.settings.text("model"));
  }
  require_known_words(arguments, task->tokenizer());
  const ControlTasks tasks = ControlTasks::of(saved.settings);
  std::vector<Request> requests;
  for (int64_t i = 0; i < count; ++i) {
    request.first = i;
    requests.push_back(controlled_request(*task, saved.settings, uses, tasks, targets, request));
  }
  const ShownSamples shown = draw_shown(saved, requests, arguments.sampling);
  std::vector<std::string> texts;
  for (int64_t i = 0; i < count; ++i) texts.push_back(task->written(shown.samples, i));
  for (const std::string& text : texts) fmt::print("{}\n", for_stream(marked(text, targets), STDOUT_FILENO));
  print_success(targets, texts);
  shown.say_summary();
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
      "the tree, such as \"(S (NP It) (VP * (NP * *)) *)\", a * for each word that is open; needs --parser");
  command->add_option(
      "--span", arguments->span,
      "first and last word of a phrase, counted from 0, and its label, such as \"0,2,NP\"; needs --parser");
  command->add_option("--length", arguments->length, "words of each text")->check(whole_number(1));
  command->add_option("--left", arguments->left, "the words that the text begins with");
  command->add_option("--right", arguments->right, "the words that it ends with; needs --length");
  command->add_option("--count", arguments->count, "texts to write (default: the run's)")
      ->check(whole_number(1, kMostSamples));
  arguments->sampling.add_to(*command);
  add_threads_option(*command);
  add_device_option(*command, arguments->device);
  arguments->settings.add_to(*command, {"count"});
  command->callback([arguments] { control(*arguments); });
}

}  // namespace haze
