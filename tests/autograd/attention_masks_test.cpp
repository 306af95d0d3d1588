#include <limits>

#include "gradients.h"

using namespace haze;
using namespace haze::testing;

namespace {

// query [1, 6, 4, 3] in sequences of 2, 0 and 4 rows; key and value [1, 7, 2, 3] in sequences of 3, 1 and 3.
AttentionOptions ragged() {
  AttentionOptions options;
  options.query_offsets = int32s({0, 2, 2, 6}, {4});
  options.key_offsets = int32s({0, 3, 4, 7}, {4});
  return options;
}

void check_masks(const char* what, const AttentionOptions& options) {
  check_first_and_second(what, [&](const Inputs& in) { return attention(in[0], in[1], in[2], options); },
                         {random({1, 6, 4, 3}), random({1, 7, 2, 3}, 2), random({1, 7, 2, 3}, 3)});
}

}  // namespace

TEST_CASE(
    "attention of ragged targets to ragged sources, with grouped heads, agrees with central differences") {
  AttentionOptions options = ragged();
  check_masks("ragged", options);
  options.key_lengths = int32s({2, 1, 3}, {3});
  check_masks("ragged, padded", options);
  options.causal = true;
  check_masks("ragged, padded, causal", options);
  options.causal_offsets = int32s({1, 0, -2}, {3});
  check_masks("ragged, padded, causal_offsets", options);
}

TEST_CASE("attention under masks of blocks and pairs agrees with central differences") {
  AttentionOptions blocks = ragged();
  blocks.block_size = 2;
  blocks.block_mask = Tensor::from<uint8_t>({1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1}, {3, 2, 2});
  check_masks("blocks of each sequence", blocks);
  AttentionOptions pairs = blocks;
  pairs.pair_mask = Tensor::from<uint8_t>({1, 1, 0, 1, 1, 0, 1}, {7});
  check_masks("blocks and pairs", pairs);
  AttentionOptions added;
  const Tensor excluded = full({4, 1, 1}, -std::numeric_limits<double>::infinity(), Dtype::float64);
  added.pair_mask = concat(std::vector<Tensor>{excluded, random({4, 1, 6}, 4)}, 2);
  check_masks("an added mask of each head", added);
}
