#include "haze/tools/tasks/text_spelling.h"

#include "haze/tools/tasks/text_examples.h"
#include "haze/tools/text/character_ngrams.h"

#include "text_test_files.h"

using namespace haze;
using haze::text_test::TestFolder;

namespace {

void append(const std::string& word, int32_t token, std::vector<int32_t>& ngrams,
            std::vector<int32_t>& tokens) {
  for (const int32_t bucket : character_ngrams(word)) {
    ngrams.push_back(bucket);
    tokens.push_back(token);
  }
}

}  // namespace

TEST_CASE("each word is spelt at its row of the batch, and end tokens are not spelt") {
  TextSpelling spelling;
  spelling.add("good  food");
  spelling.add("food");
  const std::vector<int64_t> indices = {1, 0};
  const Spelling of_texts = spelling.of(indices);
  std::vector<int32_t> ngrams, tokens;
  append("food", 0, ngrams, tokens);
  append("good", 2, ngrams, tokens);
  append("food", 3, ngrams, tokens);
  CHECK(of_texts.ngrams.to_vector<int32_t>() == ngrams);
  CHECK(of_texts.tokens.to_vector<int32_t>() == tokens);
}

TEST_CASE("a batch has a spelling where the task asks for one, of unknown words too") {
  const TestFolder folder;
  const TextFile file(folder.write("texts.txt", "good food\n"));
  TokenCounter counter(TokenizerKind::word);
  counter.add("good");
  const Tokenizer tokenizer = counter.build(1);
  const std::vector<int64_t> first = {0};
  TextExampleOptions options;
  CHECK_FALSE(TextExamples(file, tokenizer, {}, options).batch(first).spelling);
  options.spelling = true;
  const Batch batch = TextExamples(file, tokenizer, {}, options).batch(first);
  CHECK(batch.target->ids.to_vector<int32_t>()[1] == Tokenizer::kUnknown);
  std::vector<int32_t> ngrams, tokens;
  append("good", 0, ngrams, tokens);
  append("food", 1, ngrams, tokens);
  REQUIRE(batch.spelling);
  CHECK(batch.spelling->ngrams.to_vector<int32_t>() == ngrams);
  CHECK(batch.spelling->tokens.to_vector<int32_t>() == tokens);
}
