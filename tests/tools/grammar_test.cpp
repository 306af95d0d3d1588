#include "haze/tools/corpus/grammar.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include "haze/engine/error.h"
#include "haze/tools/corpus/ambiguity.h"
#include "haze/tools/corpus/derivation.h"
#include "haze/tools/corpus/entropy.h"
#include "haze/tools/corpus/recogniser.h"
#include "haze/tools/corpus/spelling.h"

using haze::Derivation;
using haze::Grammar;
using Words = std::vector<std::string>;

namespace {

constexpr const char* kSmall = R"(
fields: name | price
<S:text> = 2 <NP:name> <VP:is> ./. | <NP:name> <VP:is> ./. <S:more>
<NP:name> = 3 {name} The/NNP Owl/NNP | {name} Otto/NNP
<VP:is> = is/VBZ <NP:place> <where>
<NP:place> = a/DT <size> inn/NN | a/DT <size> pub/NN
<size> = 3 () | 2 old/JJ | big/JJ
<where> = () | here/RB | 2 by/IN <NP:river>
<NP:river> = a/DT river/NN
<S:more>
  = it/PRP is/VBZ cheap/JJ ./.
  | {price=high} it/PRP is/VBZ not/RB cheap/JJ ./.
)";

/// Every derivation of a grammar without recursion.
class Enumerator {
 public:
  explicit Enumerator(const Grammar& grammar) : grammar_(grammar) {}

  std::vector<Derivation> all() { return of(grammar_.root()); }
  std::vector<Derivation> of(int32_t nonterminal) { return of_sequence({{false, nonterminal}}, 0); }

 private:
  std::vector<Derivation> of_sequence(const std::vector<Grammar::Symbol>& symbols, std::size_t begin) {
    if (begin == symbols.size()) return {{}};
    const std::vector<Derivation> rest = of_sequence(symbols, begin + 1);
    if (symbols[begin].is_terminal) return rest;
    std::vector<Derivation> result;
    for (const int32_t rule : grammar_.nonterminal(symbols[begin].id).rules) {
      for (const Derivation& inside : of_sequence(grammar_.rule(rule).right, 0)) {
        for (const Derivation& after : rest) {
          Derivation whole = {rule};
          whole.insert(whole.end(), inside.begin(), inside.end());
          whole.insert(whole.end(), after.begin(), after.end());
          result.push_back(std::move(whole));
        }
      }
    }
    return result;
  }

  const Grammar& grammar_;
};

/// Every word has a capital, so that a phrase is written alike wherever it stands.
constexpr const char* kCapitals = R"(
fields: name
<S:text> = <NP:one> <VP:does> | <NP:one> <VP:does> <S:then>
<NP:one> = Ann/NNP | <adjective> Bob/NNP | <NP:two>
<NP:two> = Ann/NNP And/CC Bob/NNP
<adjective> = () | Old/JJ
<VP:does> = Sees/VBZ <NP:one> | Runs/VBZ
<S:then> = And/CC <NP:one> <VP:does>
)";

/// By enumeration: the least cost of words [begin, ...) as labelled phrases, 1 each, and other words, 2 each.
int least_cost(const std::map<Words, bool>& phrases, const Words& words, std::size_t begin) {
  if (begin == words.size()) return 0;
  int least = 2 + least_cost(phrases, words, begin + 1);
  for (std::size_t end = begin + 1; end <= words.size(); ++end) {
    if (phrases.contains(Words(words.begin() + static_cast<std::ptrdiff_t>(begin),
                               words.begin() + static_cast<std::ptrdiff_t>(end))))
      least = std::min(least, 1 + least_cost(phrases, words, end));
  }
  return least;
}

std::string message_of(const std::string& text) {
  try {
    Grammar grammar(text);
  } catch (const haze::Error& error) {
    return error.what();
  }
  return "no error";
}

/// By enumeration: whether some text has two derivations.
bool is_ambiguous_by_enumeration(const Grammar& grammar) {
  std::map<Words, int> count;
  for (const Derivation& derivation : Enumerator(grammar).all()) {
    if (++count[haze::realise(grammar, derivation).words] > 1) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("entropy, lengths and counts by recursion agree with full enumeration to 1e-12") {
  const Grammar grammar(kSmall);
  std::map<Words, double> probability;
  std::map<std::size_t, double> length;
  double total = 0, mean_words = 0;
  const std::vector<Derivation> all = Enumerator(grammar).all();
  for (const Derivation& derivation : all) {
    const Words words = haze::realise(grammar, derivation).words;
    const double p = std::exp(haze::log_probability(grammar, derivation));
    probability[words] += p;
    length[words.size()] += p;
    total += p;
    mean_words += p * static_cast<double>(words.size());
  }
  double entropy = 0, second_moment = 0, length_entropy = 0;
  for (const auto& [words, p] : probability) {
    entropy -= p * std::log(p);
    second_moment += p * std::log(p) * std::log(p);
  }
  for (const auto& [words, p] : length) length_entropy -= p * std::log(p);

  const haze::GrammarMeasures measures = haze::measure(grammar);
  CHECK(probability.size() == all.size());
  CHECK(std::abs(total - 1) < 1e-12);
  CHECK(std::abs(measures.entropy_nats - entropy) < 1e-12);
  CHECK(std::abs(measures.surprisal_variance - (second_moment - entropy * entropy)) < 1e-12);
  CHECK(std::abs(measures.mean_words - mean_words) < 1e-12);
  CHECK(std::abs(measures.length_entropy_nats - length_entropy) < 1e-12);
  CHECK(std::abs(measures.log10_derivations - std::log10(static_cast<double>(all.size()))) < 1e-12);
  CHECK(static_cast<std::size_t>(measures.longest()) == length.rbegin()->first);
  for (const auto& [words, p] : length) CHECK(std::abs(measures.length_distribution[words] - p) < 1e-12);
}

TEST_CASE("any text falls into the fewest fragments, as by enumeration") {
  const Grammar grammar(kCapitals);
  const haze::Recogniser recogniser(grammar);
  std::map<Words, bool> phrases;
  for (std::size_t id = 0; id < grammar.nonterminals().size(); ++id) {
    const auto nonterminal = static_cast<int32_t>(id);
    if (grammar.nonterminal(nonterminal).label.empty()) continue;
    for (const Derivation& derivation : Enumerator(grammar).of(nonterminal))
      phrases[haze::realise(grammar, derivation, nonterminal).words] = true;
  }
  const Words vocabulary = {"Ann", "Bob", "And", "Old", "Sees", "Runs", "Cat"};
  haze::Generator generator(5);
  for (int trial = 0; trial < 300; ++trial) {
    Words words(1 + generator.below(9));
    for (std::string& word : words) word = vocabulary[generator.below(vocabulary.size())];
    int cost = 0;
    std::size_t begin = 0;
    for (const haze::Fragment& fragment : recogniser.fragments(words)) {
      REQUIRE(fragment.begin == begin);
      begin = fragment.end;
      cost += fragment.nonterminal < 0 ? 2 : 1;
      if (fragment.nonterminal < 0) continue;
      const Words made = haze::realise(grammar, fragment.derivation, fragment.nonterminal).words;
      REQUIRE(std::equal(made.begin(), made.end(),
                         words.begin() + static_cast<std::ptrdiff_t>(fragment.begin),
                         words.begin() + static_cast<std::ptrdiff_t>(fragment.end)));
    }
    REQUIRE(begin == words.size());
    REQUIRE(cost == least_cost(phrases, words, 0));
  }
}

TEST_CASE("the recogniser gives each text its probability and derivation, and nothing to other texts") {
  const Grammar grammar(kSmall);
  const haze::Recogniser recogniser(grammar);
  for (const Derivation& derivation : Enumerator(grammar).all()) {
    const Words words = haze::realise(grammar, derivation).words;
    REQUIRE(recogniser.derivation(words).has_value());
    CHECK(*recogniser.derivation(words) == derivation);
    CHECK(std::abs(*recogniser.log_probability(words) - haze::log_probability(grammar, derivation)) < 1e-12);
  }
  CHECK(recogniser.longest() == static_cast<std::size_t>(haze::measure(grammar).longest()));
  for (const Words& wrong :
       {Words{}, Words{"Otto"}, Words{"Otto", "is", "an", "pub", "."}, Words{"otto", "is"},
        Words{"Otto", "is", "a", "old", "pub", "."}, Words{"Otto", "is", "a", "pub", ".", "."},
        Words{"Otto", "is", "a", "pub", ".", "it", "is", "cheap", "."}}) {
    CHECK_FALSE(recogniser.log_probability(wrong).has_value());
    CHECK_FALSE(recogniser.derivation(wrong).has_value());
  }
}

TEST_CASE("the inside probability of an ambiguous text is the sum over its derivations") {
  const Grammar grammar("<S:s> = <x> <x> \n <x> = () | 3 so/RB | so/RB so/RB");
  // "so so": empty + so so, so so + empty, so + so.
  const double expected = 0.2 * 0.2 * 2 + 0.6 * 0.6;
  CHECK(std::abs(*haze::Recogniser(grammar).log_probability({"So", "so"}) - std::log(expected)) < 1e-12);
}

TEST_CASE("the proof of unambiguity agrees with enumeration") {
  const std::vector<std::pair<std::string, bool>> cases = {
      {kSmall, false},
      {"<S:s> = <x> <y> \n <x> = a/DT | a/DT b/NN \n <y> = c/NN | b/NN c/NN", true},  // where x ends
      {"<S:s> = <x> <y> \n <x> = a/DT | a/DT b/NN \n <y> = c/NN | d/NN c/NN", false},
      {"<S:s> = <x> | <y> \n <x> = a/DT b/NN | c/NN \n <y> = a/DT <z> \n <z> = b/NN | d/NN", true},
      {"<S:s> = <x> | <y> \n <x> = a/DT b/NN | c/NN \n <y> = a/DT <z> \n <z> = e/NN | d/NN", false},
      {"<S:s> = <x> <x> \n <x> = () | a/DT", true},
      {"<S:s> = <x> . <x> \n <x> = () | a/DT", false},
      {"<S:s> = <x> <y> <z> \n <x> = () | a/DT \n <y> = () | b/NN \n <z> = () | a/DT c/NN", false},
      {"<S:s> = <x> <y> <z> \n <x> = () | a/DT \n <y> = () | b/NN \n <z> = () | a/DT", true},
      {"<S:s> = <x> <y> <z> \n <x> = d/NN | d/NN a/DT b/NN \n <y> = a/DT | e/NN \n <z> = c/NN | b/NN c/NN",
       false},
      {"<S:s> = <x> <y> <z> \n <x> = d/NN | d/NN a/DT b/NN \n <y> = a/DT | () \n <z> = c/NN | b/NN c/NN",
       true},
  };
  for (const auto& [grammar_text, is_ambiguous] : cases) {
    const std::string text = grammar_text;
    CAPTURE(text);
    std::string spelled = text;
    for (std::size_t at; (at = spelled.find(" . ")) != std::string::npos;) spelled.replace(at, 3, " ./. ");
    const Grammar grammar(spelled);
    CHECK(is_ambiguous_by_enumeration(grammar) == is_ambiguous);
    CHECK(haze::find_ambiguity(grammar).has_value() == is_ambiguous);
  }
}

TEST_CASE("words that one text spells alike count as ambiguous, and the sentence names the lines") {
  const Grammar tags("<S:s> = <x> | <y>\n<x> = fish/NN\n<y> = fish/VB");
  CHECK(*haze::find_ambiguity(tags) == "<S:s>: its rules in lines 1 and 1 can write the same words");
  const Grammar capitals("<S:s> = <x> is/VBZ | the/DT is/VBZ\n<x> = The/NNP");
  CHECK(haze::find_ambiguity(capitals).has_value());
}

TEST_CASE("a derivation gives words, tags, a tree and fields") {
  const Grammar grammar(kSmall);
  const haze::Recogniser recogniser(grammar);
  const Words words = {"The",   "Owl", "is", "an", "old", "pub",   "by", "a",
                       "river", ".",   "It", "is", "not", "cheap", "."};
  const auto derivation = recogniser.derivation(words);
  REQUIRE(derivation.has_value());
  const haze::Realisation realisation = haze::realise(grammar, *derivation);
  CHECK(realisation.words == words);
  CHECK(realisation.tree ==
        "(S (NP (NNP The) (NNP Owl)) (VP (VBZ is) (NP (DT an) (JJ old) (NN pub)) (IN by) (NP (DT a) (NN "
        "river)))"
        " (. .) (S (PRP It) (VBZ is) (RB not) (JJ cheap) (. .)))");
  CHECK(fmt::format("{}", fmt::join(realisation.tags, " ")) ==
        "PROPN PROPN AUX DET ADJ NOUN ADP DET NOUN PUNCT PRON AUX PART ADJ PUNCT");
  CHECK(realisation.fields ==
        std::vector<std::pair<std::string, std::string>>{{"name", "The Owl"}, {"price", "high"}});
}

TEST_CASE("a and an follow the sound of the next word") {
  for (const char* word : {"old", "Italian", "inn", "unusual", "hour", "8"}) CHECK(haze::takes_an(word));
  for (const char* word : {"pub", "one-star", "university", "European", "high", "5", ""}) {
    CHECK_FALSE(haze::takes_an(word));
  }
}

TEST_CASE("the written vocabulary is that of all texts") {
  const Grammar grammar(kSmall);
  std::set<std::string> expected;
  for (const Derivation& derivation : Enumerator(grammar).all()) {
    for (const std::string& word : haze::realise(grammar, derivation).words) expected.insert(word);
  }
  CHECK(haze::written_vocabulary(grammar) == expected);
}

TEST_CASE("a mistake in a grammar gets a sentence with its line") {
  CHECK(message_of("") == "the grammar has no rules");
  CHECK(message_of("# only\nx = y") ==
        "grammar line 2: expected <symbol> = ..., | ..., or a comment, got \"x\"");
  CHECK(message_of("| a/DT") == "grammar line 1: rules are written <symbol> = first | second");
  CHECK(message_of("<x> = a/DT\n= b/NN") == "grammar line 2: rules are written <symbol> = first | second");
  CHECK(message_of("<x> a/DT") == "grammar line 1: expected = after <x>");
  CHECK(message_of("<x> = a/DT\n<x> = b/NN") == "grammar line 2: <x> is already defined in line 1");
  CHECK(message_of("<x> = a") == "grammar line 1: \"a\" is neither a <symbol> nor a word/TAG");
  CHECK(message_of("<x> = a/DT |") == "grammar line 1: an alternative is empty; write () for no words");
  CHECK(message_of("<x> = () a/DT") == "grammar line 1: () stands beside other words");
  CHECK(message_of("<x> = 0 a/DT") == "grammar line 1: a weight has to be at least 1");
  CHECK(message_of("<x> = a/DT\n\n  | <y>") == "grammar line 3: <y> is not defined");
  CHECK(message_of("<x> = a/DT\n<y> = b/NN") == "grammar line 2: <y> is never used");
  CHECK(message_of("<x> = <y> a/DT\n<y> = b/NN | <x>") ==
        "grammar line 2: <x> can contain itself; a grammar must not be recursive");
  CHECK(message_of("<x> = a/DT\n<y> = <z>\n<z> = <y>") ==
        "grammar line 2: <y> cannot be reached from the root <x>");
  CHECK(message_of("<x> = a/DT b/NN\n | a/DT b/NN") ==
        "grammar line 2: this way to write <x> already stands in line 1");
  CHECK(message_of("<x> = {food=a} a/DT") ==
        "grammar line 1: \"food\" is not among the fields declared in the line fields:");
  CHECK(message_of("fields: food\n<x> = {food a/DT") == "grammar line 2: \"{food\" lacks its closing brace");
  CHECK(message_of("fields: food\n<x> = {food=} a/DT") == "grammar line 2: the field \"food\" has no value");
  CHECK(message_of("fields: food\n<x> = {food=a}") == "grammar line 2: a rule only states fields");
  CHECK(message_of("fields: food\n<x> = <y> <y>\n<y> = {food} a/DT") ==
        "grammar line 2: a text could state the field \"food\" twice");
  CHECK(message_of("<x> = a/XYZ") ==
        "grammar line 1: the word \"a\" has the tag \"XYZ\", which is not a Penn Treebank tag known here");
}
