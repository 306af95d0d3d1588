#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace haze {

/// A sentence and the part of speech of each of its words.
struct TaggedSentence {
  std::vector<std::string> words, tags;
};

/// The sentences of a file in the format CoNLL-U (universaldependencies.org/format.html). A word is a line of
/// ten columns with tabs between, of which FORM (2) and UPOS (4) are read; a blank line ends a sentence.
/// Comments, ranges of words that are written as one (3-4) and empty nodes (3.1) are left out. A blank inside
/// a word becomes an underscore, since a text has blanks between its words.
///
/// Throws Error, beginning with "file:line: ", where a line has another number of columns, words are not
/// counted 1, 2, 3, or a form is empty. It also throws where a tag is none of the 17 universal ones, and
/// where the file cannot be read or has no sentence.
std::vector<TaggedSentence> read_conllu(const std::filesystem::path& path);

}  // namespace haze
