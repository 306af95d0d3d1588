#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "haze/tools/corpus/derivation.h"
#include "haze/tools/text/constituents.h"

namespace haze {

/// One text of the built-in corpus with all that is known of it.
struct CorpusLine {
  std::vector<std::pair<std::string, std::string>> fields;  ///< name and value of every field that it says
  std::vector<std::string> words;                           ///< the text; joined by blanks it reads as in E2E
  std::vector<std::string> tags;                            ///< universal part-of-speech tags, one a word
  std::string tree;                                         ///< bracketed constituency tree, Penn labels
  double log_probability = 0;                               ///< exact; natural logarithm
};

/// Text number `index`, below 2^62, of the corpus of this seed: the same on every machine, whatever else is
/// generated.
CorpusLine generate_line(uint64_t seed, uint64_t index);

/// The index of the first text of part 0, train, 1, valid, or 2, test (write_corpus()).
uint64_t first_of_part(std::size_t part);

/// The fields, tags, tree and exact log-probability of a text, whoever wrote it; none where the built-in
/// grammar does not make it. So it tells whether a model's sample is grammatical and what it says.
std::optional<CorpusLine> analyse_line(const std::vector<std::string>& words);

/// The analysis of any text.
struct TextAnalysis {
  bool is_grammatical = false;            ///< whether the grammar makes it
  std::vector<std::string> tags;          ///< universal part of speech of each word; X where it is unknown
  std::vector<Constituent> constituents;  ///< in the order of their opening brackets, without ROOT
  std::vector<std::pair<std::string, std::string>> fields;  ///< name and value of every field that it says
};

/// Fields, tags and constituents of a text, exact where the built-in grammar makes it. Otherwise those of its
/// longest phrases that the grammar knows (Recogniser::fragments()). A word outside them has a tag that the
/// grammar gives it somewhere.
TextAnalysis analyse_text(const std::vector<std::string>& words);

/// Whether values of a field of the built-in corpus need not be words of the text: "family friendly" is said
/// by "Children are welcome".
bool is_coded_field(const std::string& field);

/// The labels of constituents that the grammar makes, such as NP, ROOT among them.
const std::vector<std::string>& constituent_labels();

/// The tree of a corpus line with its words, tags and constituents.
BracketedText read_corpus_tree(std::string_view tree);

/// Exact log-probability (nats) of a text under the built-in grammar; none where the grammar does not make
/// it.
std::optional<double> corpus_log_probability(const std::vector<std::string>& words);

/// `name : Ondine | Type : pub||Ondine is a pub .`, without a line end.
std::string e2e_line(const CorpusLine& line);

/// Exact properties of the corpus's distribution of texts.
struct CorpusStatistics {
  double entropy_nats = 0;                  ///< of a text
  double surprisal_deviation = 0;           ///< standard deviation of -log p(text), in nats
  double mean_words = 0;                    ///< of a text, without an end token
  double length_entropy_nats = 0;           ///< of the number of words
  std::vector<double> length_distribution;  ///< [n]: probability of exactly n words
  int longest = 0;                          ///< words
  int word_types = 0;                       ///< words as written, with their capitals
  double log10_texts = 0;                   ///< decimal logarithm of the number of different texts

  /// The text's entropy where its length is known.
  double entropy_given_length_nats() const { return entropy_nats - length_entropy_nats; }
  /// The floor: no model has fewer nats per token on average. One end token a text counts.
  double nats_per_token() const { return entropy_nats / (mean_words + 1); }
  double bits_per_token() const;
};

CorpusStatistics corpus_statistics();

/// Options of write_corpus().
struct CorpusOptions {
  uint64_t seed = 1;
  int64_t train = 40'000, valid = 2'000, test = 2'000;  ///< texts in each part, at least 1
};

/// Throws Error where a corpus must not be written to a folder: it holds files, and no corpus that a new one
/// could replace.
void require_place_for_corpus(const std::filesystem::path& folder);

/// One part of a written corpus in numbers.
struct CorpusPart {
  std::string name;           ///< train, valid or test
  int64_t texts = 0;          ///< lines
  int64_t tokens = 0;         ///< words, and one end token a text
  double nats_per_token = 0;  ///< mean of -log p over these very tokens: what the true model would score
};

/// Writes the corpus to a folder, which is made where it is missing. For train, valid and test it writes
/// `train.txt` (E2E format), and `train.tags` and `train.trees` line by line beside it. Then it writes
/// `statistics.json`, whose presence says that all is there. Each file is whole at every moment. A part's
/// texts do not depend on the number of texts in any part. Number i of train, valid and test is text i, 2^40
/// + i and 2^41 + i of the seed. Texts are drawn independently, so a short one can occur in two parts. Throws
/// Error where a count is not between 1 and 2^40, or where the system refuses.
std::vector<CorpusPart> write_corpus(const std::filesystem::path& folder, const CorpusOptions& options);

/// statistics.json: the exact figures, in nats and in bits, and the parts.
std::string statistics_json(const CorpusStatistics& statistics, const CorpusOptions& options,
                            const std::vector<CorpusPart>& parts);

}  // namespace haze
