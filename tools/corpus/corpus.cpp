#include "haze/tools/corpus/corpus.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"
#include "haze/nn/file_io.h"
#include "haze/nn/nesting.h"
#include "haze/tools/corpus/ambiguity.h"
#include "haze/tools/corpus/entropy.h"
#include "haze/tools/corpus/recogniser.h"
#include "haze/tools/corpus/restaurant_grammar.h"
#include "haze/tools/corpus/spelling.h"

namespace haze {
namespace {

// Streams of their own, so that a model trained with the corpus's seed does not draw the same numbers.
constexpr uint64_t kFirstStream = uint64_t{1} << 62;
constexpr uint64_t kPartStride = uint64_t{1} << 40;
constexpr const char* kStatisticsFile = "statistics.json";

const Recogniser& recogniser() {
  static const Recogniser instance(restaurant_grammar());
  return instance;
}

CorpusLine as_line(const Derivation& derivation) {
  Realisation realisation = realise(restaurant_grammar(), derivation);
  return {std::move(realisation.fields), std::move(realisation.words), std::move(realisation.tags),
          std::move(realisation.tree), log_probability(restaurant_grammar(), derivation)};
}

// A tag that the grammar gives a word somewhere.
std::string some_tag(const std::string& word) {
  static const std::map<std::string, std::string> tags = [] {
    std::map<std::string, std::string> result;
    for (const Grammar::Terminal& terminal : restaurant_grammar().terminals()) {
      result.emplace(terminal.word, terminal.universal_tag);
      result.emplace(with_capital(terminal.word), terminal.universal_tag);
    }
    return result;
  }();
  const auto found = tags.find(word == "an" ? "a" : word);
  return found == tags.end() ? "X" : found->second;
}

double bits(double nats) {
  return nats / std::numbers::ln2;
}

CorpusPart write_part(const std::filesystem::path& folder, std::string_view name, uint64_t seed,
                      uint64_t first, int64_t texts) {
  CorpusPart part{std::string(name), texts, 0, 0};
  std::string lines, tags, trees;
  double surprisal = 0;
  for (int64_t i = 0; i < texts; ++i) {
    const CorpusLine line = generate_line(seed, first + static_cast<uint64_t>(i));
    lines += e2e_line(line) + '\n';
    tags += fmt::format("{}\n", fmt::join(line.tags, " "));
    trees += line.tree + '\n';
    part.tokens += static_cast<int64_t>(line.words.size()) + 1;
    surprisal -= line.log_probability;
  }
  part.nats_per_token = surprisal / static_cast<double>(part.tokens);
  write_file_atomically(folder / fmt::format("{}.txt", name), lines);
  write_file_atomically(folder / fmt::format("{}.tags", name), tags);
  write_file_atomically(folder / fmt::format("{}.trees", name), trees);
  return part;
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code problem;
  std::filesystem::create_directories(folder, problem);
  if (problem) fail("cannot make the folder {}: {}", folder.string(), problem.message());
}

}  // namespace

CorpusLine generate_line(uint64_t seed, uint64_t index) {
  Generator generator(seed, kFirstStream + index);
  return as_line(sample_derivation(restaurant_grammar(), generator));
}

uint64_t first_of_part(std::size_t part) {
  return kPartStride * part;
}

std::optional<CorpusLine> analyse_line(const std::vector<std::string>& words) {
  const std::optional<Derivation> derivation = recogniser().derivation(words);
  if (!derivation) return std::nullopt;
  return as_line(*derivation);
}

const std::vector<std::string>& constituent_labels() {
  static const std::vector<std::string> labels = [] {
    std::set<std::string> result;
    for (const Grammar::Nonterminal& nonterminal : restaurant_grammar().nonterminals()) {
      if (!nonterminal.label.empty()) result.insert(nonterminal.label);
    }
    return std::vector<std::string>(result.begin(), result.end());
  }();
  return labels;
}

BracketedText read_corpus_tree(std::string_view tree) {
  return read_brackets(tree, constituent_labels());
}

bool is_coded_field(const std::string& field) {
  const Grammar& grammar = restaurant_grammar();
  return std::any_of(grammar.rules().begin(), grammar.rules().end(), [&](const Grammar::Rule& rule) {
    return std::any_of(rule.statements.begin(), rule.statements.end(),
                       [&](const Grammar::Statement& statement) {
                         return !statement.value.empty() &&
                                grammar.fields()[static_cast<std::size_t>(statement.field)] == field;
                       });
  });
}

TextAnalysis analyse_text(const std::vector<std::string>& words) {
  const Grammar& grammar = restaurant_grammar();
  const std::vector<Fragment> fragments = recogniser().fragments(words);
  TextAnalysis analysis;
  for (const Fragment& fragment : fragments) {
    if (fragment.nonterminal < 0) {
      analysis.tags.push_back(some_tag(words[fragment.begin]));
      continue;
    }
    const Realisation realisation = realise(grammar, fragment.derivation, fragment.nonterminal);
    analysis.tags.insert(analysis.tags.end(), realisation.tags.begin(), realisation.tags.end());
    analysis.fields.insert(analysis.fields.end(), realisation.fields.begin(), realisation.fields.end());
    const auto offset = static_cast<int64_t>(fragment.begin);
    for (Constituent constituent : read_corpus_tree(realisation.tree).constituents) {
      constituent.begin += offset;
      constituent.end += offset;
      analysis.constituents.push_back(std::move(constituent));
    }
  }
  analysis.is_grammatical = fragments.size() == 1 && fragments[0].nonterminal == grammar.root();
  return analysis;
}

std::optional<double> corpus_log_probability(const std::vector<std::string>& words) {
  return recogniser().log_probability(words);
}

std::string e2e_line(const CorpusLine& line) {
  std::string result;
  for (const auto& [name, value] : line.fields) {
    if (!result.empty()) result += " | ";
    result += fmt::format("{} : {}", name, value);
  }
  return result + fmt::format("||{}", fmt::join(line.words, " "));
}

double CorpusStatistics::bits_per_token() const {
  return bits(nats_per_token());
}

CorpusStatistics corpus_statistics() {
  const GrammarMeasures measures = measure(restaurant_grammar());
  CorpusStatistics result;
  result.entropy_nats = measures.entropy_nats;
  result.surprisal_deviation = std::sqrt(measures.surprisal_variance);
  result.mean_words = measures.mean_words;
  result.length_entropy_nats = measures.length_entropy_nats;
  result.length_distribution = measures.length_distribution;
  result.longest = measures.longest();
  result.word_types = static_cast<int>(written_vocabulary(restaurant_grammar()).size());
  result.log10_texts = measures.log10_derivations;
  return result;
}

void require_place_for_corpus(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored) || std::filesystem::is_empty(folder, ignored)) return;
  const std::filesystem::path path = folder / kStatisticsFile;
  const std::string text = std::filesystem::is_regular_file(path) ? read_whole_file(path) : "";
  require_shallow(text, path.string());
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("seed") && json.contains("parts")) return;
  fail("{}: the folder is not empty, and what it holds is not a whole corpus; choose another, or empty it",
       folder.string());
}

std::vector<CorpusPart> write_corpus(const std::filesystem::path& folder, const CorpusOptions& options) {
  const std::vector<std::pair<std::string_view, int64_t>> sizes = {
      {"train", options.train}, {"valid", options.valid}, {"test", options.test}};
  for (const auto& [name, texts] : sizes) {
    if (texts < 1 || static_cast<uint64_t>(texts) > kPartStride) {
      fail("the number of {} texts is {}; it has to be from 1 to {}", name, texts, kPartStride);
    }
  }
  make_folder(folder);
  // An earlier corpus's statistics must not stand beside files of this one while it is being written.
  std::error_code ignored;
  std::filesystem::remove(folder / kStatisticsFile, ignored);
  std::vector<CorpusPart> parts;
  for (const auto& [name, texts] : sizes) {
    parts.push_back(write_part(folder, name, options.seed, first_of_part(parts.size()), texts));
  }
  write_file_atomically(folder / kStatisticsFile, statistics_json(corpus_statistics(), options, parts));
  return parts;
}

std::string statistics_json(const CorpusStatistics& statistics, const CorpusOptions& options,
                            const std::vector<CorpusPart>& parts) {
  nlohmann::ordered_json json;
  json["seed"] = options.seed;
  json["entropy_nats"] = statistics.entropy_nats;
  json["entropy_bits"] = bits(statistics.entropy_nats);
  json["nats_per_token"] = statistics.nats_per_token();
  json["bits_per_token"] = statistics.bits_per_token();
  json["mean_words"] = statistics.mean_words;
  json["length_entropy_nats"] = statistics.length_entropy_nats;
  json["entropy_given_length_nats"] = statistics.entropy_given_length_nats();
  json["surprisal_deviation_nats"] = statistics.surprisal_deviation;
  json["longest"] = statistics.longest;
  json["word_types"] = statistics.word_types;
  json["log10_texts"] = statistics.log10_texts;
  for (const CorpusPart& part : parts) {
    json["parts"][part.name] = {{"texts", part.texts},
                                {"tokens", part.tokens},
                                {"nats_per_token", part.nats_per_token},
                                {"bits_per_token", bits(part.nats_per_token)}};
  }
  return json.dump(2) + '\n';
}

}  // namespace haze
