#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/corpus/corpus.h"
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
  command->add_option("folder", arguments->folder, "folder to write train, valid and test to")->required();
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
    const std::vector<CorpusPart> parts = write_corpus(arguments->folder, arguments->options);
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

void add_check(CLI::App& data, int& status) {
  struct Arguments {
    std::string file = "-";
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = data.add_subcommand("check", "Say which texts, one a line, the built-in grammar makes");
  command->add_option("file", arguments->file, "file of texts; -: standard input")->capture_default_str();
  command->add_flag("--json", arguments->json, "one JSON object a line");
  command->callback([arguments, &status] {
    std::ifstream file;
    if (arguments->file != "-") {
      file.open(arguments->file);
      if (!file) fail("{}: the file cannot be opened", arguments->file);
    }
    std::istream& input = arguments->file == "-" ? std::cin : file;
    int64_t texts = 0, made = 0;
    for (std::string line; std::getline(input, line); ++texts) {
      require_utf8(line, fmt::format("{}:{}: the line", arguments->file, texts + 1));
      std::istringstream stream(line);
      const std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
      const auto probability = corpus_log_probability(words);
      made += probability.has_value();
      if (arguments->json) {
        nlohmann::ordered_json json{{"text", line}, {"grammatical", probability.has_value()}};
        if (probability) json["log_probability"] = *probability;
        fmt::print("{}\n", json.dump());
      } else if (!probability) {
        fmt::print("not of the grammar: {}\n", line);
      }
    }
    if (!arguments->json) fmt::print("{} of {} texts are of the grammar\n", made, texts);
    status = made == texts ? 0 : 1;
  });
}

}  // namespace

void add_data_command(CLI::App& app, int& status) {
  CLI::App* command = app.add_subcommand("data", "The built-in corpus");
  command->require_subcommand(0, 1);
  command->callback([command] {
    if (command->get_subcommands().empty()) fmt::print("{}", command->help("haze"));
  });
  add_generate(*command);
  add_check(*command, status);
}

}  // namespace haze
