#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/tasks/text_annotations.h"
#include "haze/tools/text/conllu.h"
#include "haze/tools/text/text_format.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

void print_statistics(const CorpusStatistics& s) {
  fmt::print("a text of the built-in grammar, exactly:\n");
  fmt::print("  entropy            {:9.4f} nats\n", s.entropy_nats);
  fmt::print("  given its length   {:9.4f} nats\n", s.entropy_given_length_nats());
  fmt::print("  words              {:9.4f} on average, {} at most\n", s.mean_words, s.longest);
  fmt::print("  per token          {:9.4f} nats, {:.4f} bits, one end token a text counted\n",
             s.nats_per_token(), s.bits_per_token());
  fmt::print("  word types         {:9}\n", s.word_types);
  fmt::print("  different texts    10^{:.1f}\n", s.log10_texts);
}

void add_generate(CLI::App& data) {
  struct Arguments {
    std::string folder;
    CorpusOptions options;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = data.add_subcommand("generate", "Write the built-in corpus of restaurant descriptions");
  command->add_option("folder", arguments->folder, "folder to write train, valid and test to")
      ->required()
      ->check(file_name());
  command->add_option("--seed", arguments->options.seed, "of the corpus")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--train", arguments->options.train, "texts to train on")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--valid", arguments->options.valid, "texts to validate on")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--test", arguments->options.test, "texts to test on")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_flag("--json", arguments->json, "report in JSON");
  command->callback([arguments] {
    require_place_for_corpus(arguments->folder);
    const std::vector<CorpusPart> parts = write_corpus(arguments->folder, arguments->options);
    say(fmt::format("haze: {} texts are written to train.txt, valid.txt and test.txt in {}",
                    arguments->options.train + arguments->options.valid + arguments->options.test,
                    arguments->folder));
    const CorpusStatistics statistics = corpus_statistics();
    if (arguments->json) {
      fmt::print("{}", statistics_json(statistics, arguments->options, parts));
      return;
    }
    print_statistics(statistics);
    for (const CorpusPart& part : parts) {
      fmt::print("{:<6} {:>8} texts, {:>9} tokens, {:.4f} nats per token\n", part.name, part.texts,
                 part.tokens, part.nats_per_token);
    }
  });
}

struct CheckArguments {
  std::string file = "-";
  bool json = false;
  bool is_standard_input() const { return file == "-"; }
};

/// The text of a line: in the E2E format what stands after "||", which no sentence of the grammar holds.
std::string_view text_of(std::string_view line) {
  const size_t bars = line.find("||");
  return trim(bars == std::string_view::npos ? line : line.substr(bars + 2));
}

std::optional<double> log_probability_of(std::string_view text) {
  std::istringstream stream{std::string(text)};
  return corpus_log_probability({std::istream_iterator<std::string>(stream), {}});
}

void print_as_json(std::string_view text, std::optional<double> log_probability) {
  nlohmann::ordered_json json{{"text", text}, {"grammatical", log_probability.has_value()}};
  if (log_probability) json["log_probability"] = *log_probability;
  fmt::print("{}\n", json.dump());
}

/// How a line that is not of the grammar is shown.
std::string shown(std::string_view line) {
  if (trim(line).empty()) return "(a blank line)";
  const std::string_view text = text_of(line);
  return excerpt(text.empty() ? line : text, 200);
}

/// Judges the text of every line and returns whether all are of the grammar.
bool check_texts(std::istream& input, const std::string& name, const CheckArguments& arguments) {
  int64_t texts = 0, made = 0;
  for (std::string line; std::getline(input, line);) {
    if (++texts == 1) line = std::string(without_byte_order_mark(line));
    try {
      require_utf8(line, "the line");
    } catch (const Error& error) {
      fail("{}:{}: {}", name, texts, error.what());
    }
    const auto log_probability = log_probability_of(text_of(line));
    made += log_probability.has_value();
    if (arguments.json) {
      print_as_json(text_of(line), log_probability);
    } else if (!log_probability) {
      fmt::print("line {} is not of the grammar: {}\n", texts, for_stream(shown(line), STDOUT_FILENO));
    }
  }
  // An error of standard input looks like its end to a stream.
  if (input.bad() || (arguments.is_standard_input() && std::ferror(stdin)))
    fail("{}: it cannot be read: {}", name, std::strerror(errno));
  if (texts == 0) fail("{}: there is no text in it", name);
  if (!arguments.json) fmt::print("{} of {} texts are of the grammar\n", made, texts);
  return made == texts;
}

void add_check(CLI::App& data, int& status) {
  auto arguments = std::make_shared<CheckArguments>();
  CLI::App* command = data.add_subcommand("check", "Say which texts, one a line, the built-in grammar makes");
  command
      ->add_option("file", arguments->file,
                   "file of texts; of a line with \"||\", as in a corpus's train.txt, what stands after it "
                   "is the text; -: standard input")
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "one JSON object a line");
  command->callback([arguments, &status] {
    bool all_made = false;
    if (arguments->is_standard_input()) {
      all_made = check_texts(std::cin, "standard input", *arguments);
    } else {
      std::ifstream file = open_texts(arguments->file);
      all_made = check_texts(file, arguments->file, *arguments);
    }
    status = all_made ? 0 : 1;
  });
}

void write_conllu(const std::filesystem::path& file, const std::filesystem::path& texts_file) {
  const std::filesystem::path tags_file = annotation_file(texts_file, Annotation::tags);
  if (tags_file == texts_file) fail("{}: the texts cannot have the name of their tags", texts_file.string());
  for (const std::filesystem::path& path : {texts_file, tags_file}) {
    if (std::filesystem::exists(path)) fail("{} is there already", path.string());
  }
  const std::vector<TaggedSentence> sentences = read_conllu(file);
  std::string texts, tags;
  int64_t words = 0;
  for (const TaggedSentence& sentence : sentences) {
    texts += fmt::format("{}\n", fmt::join(sentence.words, " "));
    tags += fmt::format("{}\n", fmt::join(sentence.tags, " "));
    words += std::ssize(sentence.words);
  }
  make_folder_of(texts_file);
  write_file_atomically(tags_file, tags);
  write_file_atomically(texts_file, texts);
  fmt::print("{} sentences, {} words\n", sentences.size(), words);
  say(fmt::format("haze: the sentences are written to {}, their parts of speech to {}", texts_file.string(),
                  tags_file.string()));
}

void add_conllu(CLI::App& data) {
  struct Arguments {
    std::string file, texts;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = data.add_subcommand(
      "conllu", "Write the sentences of a treebank, one a line, and their parts of speech beside them");
  command->add_option("file", arguments->file, "file in the format CoNLL-U")->required();
  command
      ->add_option("texts", arguments->texts,
                   "file to write in data.format lines; its tags are written to the same name with .tags")
      ->required();
  command->callback([arguments] { write_conllu(arguments->file, arguments->texts); });
}

}  // namespace

void add_data_command(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand("data", "The built-in corpus, treebanks, points and images");
  command->require_subcommand(0, 1);
  command->callback([command] {
    if (command->get_subcommands().empty()) fmt::print("{}", command->help("haze"));
  });
  add_generate(*command);
  add_check(*command, status);
  add_conllu(*command);
  add_data_show_command(*command);
  add_data_controls_command(*command);
}

}  // namespace haze
