#include "haze/nn/named_tensors.h"

#include <doctest/doctest.h>

namespace haze {
namespace {

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("copy_matching takes what has the same name and shape and lists the rest") {
  const NamedTensors targets = {{"a", full({2, 3}, 1)},
                                {"absent", full({2}, 1)},
                                {"wide", full({4}, 1)},
                                {"b", full({2}, 1, Dtype::float64)},
                                {"ids", full({2}, 1, Dtype::int32)}};
  const NamedTensors sources = {{"ids", full({2}, 5)},
                                {"b", full({2}, 6)},
                                {"a", full({2, 3}, 7)},
                                {"wide", full({5}, 8)},
                                {"unused", full({1}, 9)}};
  const NameMatch match = copy_matching(targets, sources);
  CHECK(match.taken == Names{"a", "b"});
  CHECK(match.missing == Names{"absent"});
  CHECK(match.other_shape == Names{"wide", "ids"});
  const std::vector<double> expected = {7, 1, 1, 6, 1};
  for (size_t i = 0; i < targets.size(); ++i) {
    CAPTURE(targets[i].name);
    for (const double value : targets[i].tensor.to_vector<double>()) CHECK(value == expected[i]);
  }
}

TEST_CASE("copy_matching of nothing, into nothing and of another rank changes nothing and is no error") {
  const NamedTensors targets = {{"a", full({6}, 1)}};
  CHECK(copy_matching(targets, {}).missing == Names{"a"});
  CHECK(copy_matching({}, targets).taken.empty());
  CHECK(copy_matching(targets, {{"a", full({2, 3}, 2)}}).other_shape == Names{"a"});
  CHECK(copy_matching(targets, {{"a", full({1}, 2)}}).other_shape == Names{"a"});
  CHECK(targets[0].tensor.to_vector<double>() == std::vector<double>(6, 1.0));
}

}  // namespace haze
