#include "haze/nn/padding.h"

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

using nn_test::sequences_of;

// The elements of an int32 tensor, or of an undefined one a value that none has.
std::vector<int32_t> ints(const Tensor& x) {
  return x.defined() ? x.to_vector<int32_t>() : std::vector<int32_t>{-1};
}

}  // namespace

TEST_CASE("padding: ragged rows lie at the start of their sequence's stretch, and come back") {
  const Padding padding = Padding::of(sequences_of({3, 0, 2}));
  CHECK(padding.count == 3);
  CHECK(padding.longest == 3);
  CHECK(ints(padding.slots) == std::vector<int32_t>{0, 1, 2, 6, 7});
  CHECK(ints(padding.lengths) == std::vector<int32_t>{3, 0, 2});
  const Variable x = Tensor::from<float>({1, 2, 3, 4, 5}, {5, 1});
  const Variable padded = padding.pad(x);
  CHECK(padded.shape() == Shape{3, 3, 1});
  CHECK(padded.value().to_vector<float>() == std::vector<float>{1, 2, 3, 0, 0, 0, 4, 5, 0});
  CHECK(padding.unpad(padded).value().to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5});
}

TEST_CASE("padding: sequences of one length are a padded batch as they are") {
  for (const auto& sequences : {sequences_of({2, 2}), sequences_of({0, 0}), sequences_of({})}) {
    const Padding padding = Padding::of(sequences);
    CHECK(padding.count == sequences.count);
    CHECK_FALSE(padding.slots.defined());
    CHECK_FALSE(padding.lengths.defined());
  }
}

TEST_CASE("padding: from the host's lengths it is as from the index of the rows") {
  for (const auto& sequences : {sequences_of({3, 1, 2}), sequences_of({0, 4}), sequences_of({2, 2, 2}),
                                sequences_of({1, 0, 0}), sequences_of({})}) {
    const Padding of = Padding::of(sequences), of_rows = Padding::of_rows(sequences.index, sequences.count);
    CHECK(of.count == of_rows.count);
    CHECK(of.longest == of_rows.longest);
    CHECK(ints(of.slots) == ints(of_rows.slots));
    CHECK(ints(of.lengths) == ints(of_rows.lengths));
  }
}

TEST_CASE("padding: rows in any order keep their order within a sequence") {
  const Padding padding = Padding::of_rows(Tensor::from<int32_t>({1, 0, 1, 0}, {4}), 2);
  CHECK(ints(padding.slots) == std::vector<int32_t>{2, 0, 3, 1});
  CHECK_FALSE(padding.lengths.defined());
}

TEST_CASE("padding: more rows than int32 counts give a sentence") {
  std::vector<int64_t> lengths(65536);
  lengths[0] = 32768;
  CHECK(testing::error_of([&] { Padding::of(Sequences::of_lengths(lengths)); }) ==
        "attention: 65536 sequences padded to 32768 rows are more than 2147483647 rows");
}

}  // namespace haze
