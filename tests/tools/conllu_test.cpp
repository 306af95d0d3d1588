#include "haze/tools/text/conllu.h"

#include "text_test_files.h"

using namespace haze;
using haze::text_test::TestFolder;

namespace {

// A line of the format, of which all but number, form and tag are left open.
std::string line(const std::string& id, const std::string& form, const std::string& tag) {
  return id + "\t" + form + "\t_\t" + tag + "\t_\t_\t0\troot\t_\t_\n";
}

const std::string kGood = line("1", "Good", "ADJ") + line("2", "food", "NOUN");

std::string error_in(const std::string& content) {
  const TestFolder folder;
  const auto path = folder.write("a.conllu", content);
  return folder.error_of([&] { read_conllu(path); });
}

}  // namespace

TEST_CASE("words and universal tags are read; comments, ranges and empty nodes are left out") {
  const TestFolder folder;
  const auto path = folder.write(
      "a.conllu", "# text = He doesn't eat\n" + line("1", "He", "PRON") + line("2-3", "doesn't", "_") +
                      line("2", "does", "AUX") + line("3", "n't", "PART") + line("3.1", "want", "VERB") +
                      line("4", "eat", "VERB") + "\n# text = Good food\n" + kGood + "\n");
  const std::vector<TaggedSentence> sentences = read_conllu(path);
  REQUIRE(sentences.size() == 2);
  CHECK(sentences[0].words == std::vector<std::string>{"He", "does", "n't", "eat"});
  CHECK(sentences[0].tags == std::vector<std::string>{"PRON", "AUX", "PART", "VERB"});
  CHECK(sentences[1].words == std::vector<std::string>{"Good", "food"});
}

TEST_CASE(
    "a blank inside a word becomes an underscore; CRLF, a byte order mark and a missing last line end do no "
    "harm") {
  const TestFolder folder;
  const auto path =
      folder.write("a.conllu",
                   "\xEF\xBB\xBF# a comment\r\n1\t20 "
                   "000\t_\tNUM\t_\t_\t0\troot\t_\t_\r\n\r\n\r\n1\tCafé\t_\tPROPN\t_\t_\t0\troot\t_\t_");
  const std::vector<TaggedSentence> sentences = read_conllu(path);
  REQUIRE(sentences.size() == 2);
  CHECK(sentences[0].words == std::vector<std::string>{"20_000"});
  CHECK(sentences[1].words == std::vector<std::string>{"Café"});
  CHECK(sentences[1].tags == std::vector<std::string>{"PROPN"});
}

TEST_CASE("damaged treebanks are refused by file and line") {
  CHECK(error_in(kGood + "3\tand\t_\tCCONJ\n") ==
        "a.conllu:3: a word has 10 columns with tabs between, and this line has 4");
  CHECK(error_in("1 Good _ ADJ _ _ 0 root _ _\n") ==
        "a.conllu:1: a word has 10 columns with tabs between, and this line has 1");
  CHECK(error_in(kGood + line("4", "and", "CCONJ")) ==
        "a.conllu:3: the words of a sentence are counted from 1: column 1 must be 3, not '4'");
  // A blank line is missing between two sentences.
  CHECK(error_in(kGood + kGood) ==
        "a.conllu:3: the words of a sentence are counted from 1: column 1 must be 3, not '1'");
  CHECK(error_in("# one\n" + line("-1", "Good", "ADJ")) ==
        "a.conllu:2: the words of a sentence are counted from 1: column 1 must be 1, not '-1'");
  CHECK(error_in(line("1", "", "ADJ")) == "a.conllu:1: column 2, the word, is empty");
  CHECK(error_in(line("1", "Good", "JJ"))
            .starts_with(
                "a.conllu:1: column 4, 'JJ', is not one of the universal parts of speech: ADJ, ADP, "));
  CHECK(error_in(line("1", "Good", "_")).starts_with("a.conllu:1: column 4, '_', "));
  CHECK(error_in(line("1", "G\xFFod", "ADJ")) == "a.conllu:1: byte 4 of the line (0xFF) is not valid UTF-8");
  CHECK(error_in("# a comment\n\n") == "a.conllu: there is no sentence in it");
  CHECK(error_in("") == "a.conllu: there is no sentence in it");
  const TestFolder folder;
  CHECK(folder.error_of([&] { read_conllu(folder.path("missing")); }) ==
        "missing: the file cannot be opened");
}
