#include "haze/tools/text/character_ngrams.h"

#include <algorithm>
#include <set>

#include "text_test_files.h"

using namespace haze;

namespace {

std::set<int32_t> set_of(std::string_view word) {
  const std::vector<int32_t> buckets = character_ngrams(word);
  return {buckets.begin(), buckets.end()};
}

// The hash as its authors define it, with the feature in one string.
int32_t bucket(const std::string& feature) {
  uint64_t hash = 14695981039346656037U;
  for (const char c : feature) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211U;
  return static_cast<int32_t>(hash % 16384);
}

std::vector<int32_t> sorted(std::vector<int32_t> buckets) {
  std::sort(buckets.begin(), buckets.end());
  return buckets;
}

std::vector<int32_t> buckets_of(const std::vector<std::string>& features) {
  std::vector<int32_t> buckets;
  for (const std::string& feature : features) buckets.push_back(bucket(feature));
  return sorted(buckets);
}

}  // namespace

TEST_CASE("a word is spelt by its affixes, 3-grams, 4-grams and shape") {
  CHECK(sorted(character_ngrams("Eaten")) ==
        buckets_of({"pe", "pea", "peat", "peate", "sn", "sen", "sten", "saten", "neat", "nate", "nten",
                    "neate", "naten", "hXx"}));
  CHECK(sorted(character_ngrams("a")) == buckets_of({"pa", "sa", "hx"}));
  CHECK(sorted(character_ngrams("BBC-20")).size() == 1 + 8 + 4 + 3);
  CHECK(set_of("BBC-20").contains(bucket("hX-0")));
  // Characters, not bytes: é is one.
  CHECK(sorted(character_ngrams("é")) == buckets_of({"pé", "sé", "hx"}));
  CHECK(set_of("Café").contains(bucket("sfé")));
}

TEST_CASE("words of one suffix share buckets, and case changes the shape alone") {
  CHECK(set_of("walked").contains(bucket("sed")));
  CHECK(set_of("Sauntered").contains(bucket("sed")));
  std::set<int32_t> lower = set_of("food"), upper = set_of("FOOD");
  lower.erase(bucket("hx"));
  upper.erase(bucket("hX"));
  CHECK(lower == upper);
  const text_test::TestFolder folder;
  CHECK(folder.error_of([] { character_ngrams(""); }) == "character_ngrams: the word is empty");
  CHECK(folder.error_of([] { character_ngrams("\xFF"); }) == "byte 1 of the word (0xFF) is not valid UTF-8");
}
