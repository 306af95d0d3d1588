#include "haze/tools/corpus/corpus.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"
#include "haze/tools/corpus/ambiguity.h"
#include "haze/tools/corpus/entropy.h"
#include "haze/tools/corpus/recogniser.h"
#include "haze/tools/corpus/restaurant_grammar.h"
#include "haze/tools/corpus/restaurant_rules.h"
#include "haze/tools/corpus/spelling.h"
#include "haze/tools/text/text_format.h"

#include "temporary_folder.h"

using haze::CorpusLine;
using haze::testing::read_text;
using haze::testing::TemporaryFolder;
using haze::testing::write_text;

namespace {

std::string text_of(const CorpusLine& line) {
  return fmt::format("{}", fmt::join(line.words, " "));
}

/// The words at the leaves of a bracketed tree; counts its brackets.
std::vector<std::string> leaves(const std::string& tree, int& open_at_end) {
  std::vector<std::string> result;
  open_at_end = 0;
  for (std::size_t i = 0; i < tree.size(); ++i) {
    if (tree[i] == '(') ++open_at_end;
    if (tree[i] != ')') continue;
    --open_at_end;
    if (tree[i - 1] != ')') result.push_back(tree.substr(tree.rfind(' ', i) + 1, i - tree.rfind(' ', i) - 1));
  }
  return result;
}

/// The words of a derivation before they are spelled, without the rest of what realise() makes.
void append_words(const haze::Grammar& grammar, const haze::Derivation& derivation, std::size_t& position,
                  std::vector<std::string>& words) {
  for (const haze::Grammar::Symbol symbol : grammar.rule(derivation[position++]).right) {
    if (symbol.is_terminal) {
      words.push_back(grammar.terminal(symbol.id).word);
    } else {
      append_words(grammar, derivation, position, words);
    }
  }
}

}  // namespace

TEST_CASE("the built-in grammar is proved unambiguous") {
  const auto ambiguity = haze::find_ambiguity(haze::restaurant_grammar());
  CHECK_MESSAGE(!ambiguity.has_value(), ambiguity.value_or(""));
}

TEST_CASE("one adjective that a field's words have too makes the built-in grammar ambiguous") {
  std::string rules = std::string(haze::kRestaurantTexts) + std::string(haze::kRestaurantPhrases) +
                      std::string(haze::kRestaurantWords);
  const std::string adjective = "spacious/JJ";
  REQUIRE(rules.find(adjective) != std::string::npos);
  rules.replace(rules.find(adjective), adjective.size(), "family-friendly/JJ");
  CHECK(haze::find_ambiguity(haze::Grammar(rules)).has_value());
}

TEST_CASE("its size is as its README says") {
  const haze::CorpusStatistics statistics = haze::corpus_statistics();
  CHECK(statistics.entropy_nats == doctest::Approx(32.312).epsilon(1e-5));
  CHECK(statistics.length_entropy_nats == doctest::Approx(3.139).epsilon(1e-4));
  CHECK(statistics.surprisal_deviation == doctest::Approx(6.414).epsilon(1e-4));
  CHECK(statistics.mean_words == doctest::Approx(21.434).epsilon(3e-5));
  CHECK(statistics.word_types == 535);
  CHECK(statistics.longest == 47);
  CHECK(statistics.log10_texts == doctest::Approx(20.52).epsilon(1e-3));
  CHECK(statistics.entropy_given_length_nats() ==
        doctest::Approx(statistics.entropy_nats - statistics.length_entropy_nats));
  CHECK(statistics.bits_per_token() ==
        doctest::Approx(statistics.entropy_nats / std::log(2.0) / (statistics.mean_words + 1)));
}

TEST_CASE("in 200,000 draws texts coincide only where derivations do, and -log p averages to the entropy") {
  const haze::Grammar& grammar = haze::restaurant_grammar();
  const haze::GrammarMeasures exact = haze::measure(grammar);
  constexpr int kDraws = 200'000;
  std::unordered_map<std::string, haze::Derivation> seen;
  int repeats = 0;
  double surprisal = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    haze::Generator generator(20'240, i);
    haze::Derivation derivation = haze::sample_derivation(grammar, generator);
    surprisal -= haze::log_probability(grammar, derivation);
    std::vector<std::string> words;
    std::size_t position = 0;
    append_words(grammar, derivation, position, words);
    std::string text;
    for (const std::string& word : haze::written_words(std::move(words))) text += word + ' ';
    const auto known = seen.try_emplace(std::move(text), derivation);
    if (known.second) continue;
    ++repeats;
    CHECK_MESSAGE(known.first->second == derivation, known.first->first);
  }
  CHECK(repeats > 0);
  // Four standard errors: fails by chance once in 16,000 seeds.
  const double tolerance = 4 * std::sqrt(exact.surprisal_variance / kDraws);
  CHECK(std::abs(surprisal / kDraws - exact.entropy_nats) < tolerance);
}

TEST_CASE("word counts of a sample follow the exact distribution of lengths") {
  const haze::GrammarMeasures exact = haze::measure(haze::restaurant_grammar());
  constexpr int kDraws = 5'000;
  std::vector<int> counts(exact.length_distribution.size());
  for (uint64_t i = 0; i < kDraws; ++i) ++counts.at(haze::generate_line(3, i).words.size());
  double chi_squared = 0;
  int bins = 0;
  for (std::size_t n = 0; n < counts.size(); ++n) {
    const double expected = kDraws * exact.length_distribution[n];
    if (expected < 10) continue;
    chi_squared += (counts[n] - expected) * (counts[n] - expected) / expected;
    ++bins;
  }
  // A chi-squared variable of d degrees exceeds d + 4 sqrt(2 d) about once in 4,000 times.
  CHECK(bins > 20);
  CHECK(chi_squared < bins + 4 * std::sqrt(2.0 * bins));
}

TEST_CASE("every text's tags, tree, fields and probability are found again from its words") {
  for (uint64_t i = 0; i < 400; ++i) {
    const CorpusLine line = haze::generate_line(7, i);
    CAPTURE(text_of(line));
    const auto probability = haze::corpus_log_probability(line.words);
    REQUIRE(probability.has_value());
    CHECK(*probability == doctest::Approx(line.log_probability).epsilon(1e-12));
    const auto analysed = haze::analyse_line(line.words);
    REQUIRE(analysed.has_value());
    CHECK(analysed->fields == line.fields);
    CHECK(analysed->tags == line.tags);
    CHECK(analysed->tree == line.tree);
    int open_at_end = -1;
    CHECK(leaves(line.tree, open_at_end) == line.words);
    CHECK(open_at_end == 0);
    CHECK(line.tags.size() == line.words.size());
  }
}

TEST_CASE("every text names its place and says each field at most once") {
  std::set<std::string> said;
  for (uint64_t i = 0; i < 2'000; ++i) {
    const CorpusLine line = haze::generate_line(8, i);
    REQUIRE(!line.fields.empty());
    CHECK(line.fields.front().first == "name");
    CHECK(text_of(line).find(line.fields.front().second) != std::string::npos);
    std::set<std::string> names;
    for (const auto& [name, value] : line.fields) CHECK(names.insert(name).second);
    said.insert(names.begin(), names.end());
    CHECK(line.words.back() == ".");
  }
  CHECK(said.size() == haze::restaurant_grammar().fields().size());
}

TEST_CASE("what a text says of price, rating and children agrees with its fields") {
  const std::map<std::string, std::vector<std::string>> tell_tale = {
      {"price : cheap", {"cheap", "affordable", "inexpensive", "low", "modest", "low-priced"}},
      {"price : high", {"expensive", "pricey", "high-priced", "costly", "high", "steep"}},
      {"customer rating : high", {"highly", "top-rated", "high", "excellent", "good", "outstanding"}},
      {"customer rating : low", {"poorly", "low-rated", "low", "poor", "bad", "disappointing"}},
      {"family friendly : no", {"not", "unsuitable", "adults", "adults-only", "no"}},
  };
  for (uint64_t i = 0; i < 2'000; ++i) {
    const CorpusLine line = haze::generate_line(9, i);
    for (const auto& [name, value] : line.fields) {
      const auto found = tell_tale.find(name + " : " + value);
      if (found == tell_tale.end()) continue;
      const bool is_said = std::any_of(line.words.begin(), line.words.end(), [&](const std::string& word) {
        return std::find(found->second.begin(), found->second.end(), word) != found->second.end();
      });
      CHECK_MESSAGE(is_said, text_of(line));
    }
  }
}

TEST_CASE("a changed text loses its probability") {
  const std::vector<std::string> good = {"Ondine", ",", "an", "old",    "pub",   "near", "Harrow",
                                         "Bridge", ",", "is", "highly", "rated", "."};
  REQUIRE(haze::corpus_log_probability(good).has_value());
  const std::vector<std::pair<std::size_t, std::string>> changes = {{0, "ondine"}, {2, "a"},   {3, "Old"},
                                                                    {4, "pubs"},   {5, "of"},  {6, "Zebra"},
                                                                    {8, "."},      {9, "are"}, {12, ","}};
  for (const auto& [position, word] : changes) {
    std::vector<std::string> bad = good;
    bad[position] = word;
    CHECK_FALSE(haze::corpus_log_probability(bad).has_value());
    CHECK_FALSE(haze::analyse_line(bad).has_value());
  }
}

TEST_CASE("the analysis of a grammatical text is that of its derivation") {
  for (uint64_t index = 0; index < 100; ++index) {
    const haze::CorpusLine line = haze::generate_line(3, index);
    const haze::TextAnalysis analysis = haze::analyse_text(line.words);
    REQUIRE(analysis.is_grammatical);
    REQUIRE(analysis.tags == line.tags);
    REQUIRE(analysis.constituents == haze::read_corpus_tree(line.tree).constituents);
  }
}

TEST_CASE("the analysis of another text is made of the phrases that the grammar knows") {
  const haze::TextAnalysis analysis =
      haze::analyse_text({"zebra", "Ondine", "is", "a", "quiet", "pub", "in", "the", "old", "town", "runs"});
  CHECK_FALSE(analysis.is_grammatical);
  CHECK(analysis.tags == std::vector<std::string>{"X", "PROPN", "AUX", "DET", "ADJ", "NOUN", "ADP", "DET",
                                                  "ADJ", "NOUN", "X"});
  using C = haze::Constituent;
  CHECK(
      analysis.constituents ==
      std::vector<C>{{1, 2, "NP"}, {2, 10, "VP"}, {3, 10, "NP"}, {3, 6, "NP"}, {6, 10, "PP"}, {7, 10, "NP"}});
  CHECK(haze::analyse_text({}).constituents.empty());
}

TEST_CASE("a text longer than any of the grammar is refused at once, however long") {
  const haze::Recogniser recogniser(haze::restaurant_grammar());
  CHECK(recogniser.longest() == static_cast<std::size_t>(haze::corpus_statistics().longest));
  const std::vector<std::string> endless(500'000, "pub");
  CHECK_FALSE(haze::corpus_log_probability(endless).has_value());
  CHECK_FALSE(haze::analyse_line(endless).has_value());
}

TEST_CASE("texts are the same on every machine") {
  CHECK(text_of(haze::generate_line(1, 0)) ==
        "Quillon is a highly rated pub offering cheap French food . You will find it in the city centre .");
  CHECK(text_of(haze::generate_line(1, 1)) ==
        "Ambrose 's Garden is a cheap but poorly rated restaurant . You can find it in the old town near "
        "Lockwood Station .");
  CHECK(text_of(haze::generate_line(2, 0)) ==
        "Located near Juniper Market in the city centre , Barnaby 's Larder serves affordable soup and has a "
        "customer rating of 5 out of 5 .");
  CHECK(haze::generate_line(1, 0).log_probability == doctest::Approx(-27.867466288718362).epsilon(1e-9));
}

TEST_CASE("a written corpus reads as E2E and its files agree line by line") {
  TemporaryFolder folder;
  const haze::CorpusOptions options{5, 30, 20, 10};
  const std::vector<haze::CorpusPart> parts = haze::write_corpus(folder / "corpus", options);
  REQUIRE(parts.size() == 3);
  std::istringstream texts(read_text(folder / "corpus/valid.txt")),
      tags(read_text(folder / "corpus/valid.tags")), trees(read_text(folder / "corpus/valid.trees"));
  double surprisal = 0;
  int64_t tokens = 0, lines = 0;
  for (std::string text, tag, tree; std::getline(texts, text); ++lines) {
    REQUIRE(std::getline(tags, tag));
    REQUIRE(std::getline(trees, tree));
    const haze::Record record = haze::parse_record(haze::TextFormat::e2e, text);
    std::istringstream words(record.target);
    const auto line = haze::analyse_line({std::istream_iterator<std::string>(words), {}});
    REQUIRE(line.has_value());
    REQUIRE(record.fields.size() == line->fields.size());
    for (std::size_t i = 0; i < line->fields.size(); ++i) {
      CHECK(record.fields[i] == haze::Field{line->fields[i].first, line->fields[i].second});
    }
    CHECK(tag == fmt::format("{}", fmt::join(line->tags, " ")));
    CHECK(tree == line->tree);
    surprisal -= line->log_probability;
    tokens += static_cast<int64_t>(line->words.size()) + 1;
  }
  CHECK(lines == 20);
  CHECK(parts[1].tokens == tokens);
  CHECK(parts[1].nats_per_token == doctest::Approx(surprisal / static_cast<double>(tokens)));
  const nlohmann::json json = nlohmann::json::parse(read_text(folder / "corpus/statistics.json"));
  CHECK(json["parts"]["valid"]["tokens"] == tokens);
  CHECK(json["bits_per_token"].get<double>() == doctest::Approx(haze::corpus_statistics().bits_per_token()));
}

TEST_CASE("a part's texts do not depend on how many there are of any part") {
  TemporaryFolder folder;
  haze::write_corpus(folder / "small", {5, 10, 10, 10});
  haze::write_corpus(folder / "large", {5, 20, 15, 10});
  for (const char* name : {"train.txt", "valid.txt", "test.txt", "train.trees", "test.tags"}) {
    const std::string small = read_text(folder / "small" / name), large = read_text(folder / "large" / name);
    CHECK(large.starts_with(small));
  }
  CHECK(read_text(folder / "small/train.txt") != read_text(folder / "small/test.txt"));
}

TEST_CASE("a corpus that cannot be written is an error that says why") {
  TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(haze::write_corpus(folder / "c", {1, 0, 1, 1}),
                       "the number of train texts is 0; it has to be from 1 to 1099511627776", haze::Error);
  CHECK_THROWS_AS(haze::write_corpus(folder / "c", {1, 1, -1, 1}), haze::Error);
  write_text(folder / "file", "x");
  const std::string taken = (folder / "file/corpus").string();
  CHECK_THROWS_WITH_AS(haze::write_corpus(taken, {1, 1, 1, 1}),
                       ("cannot make the folder " + taken + ": Not a directory").c_str(), haze::Error);
}
