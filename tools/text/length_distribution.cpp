#include "haze/tools/text/length_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"

namespace haze {

LengthDistribution::LengthDistribution(std::vector<int64_t> counts) : counts_(std::move(counts)) {
  for (int64_t count : counts_) {
    if (count < 0) fail("lengths: a count is negative");
    total_ += count;
  }
  if (total_ == 0 || counts_[0] != 0) fail("lengths: there is no text, or an empty one");
}

double LengthDistribution::log_probability(int64_t length) const {
  if (length < 1 || length > longest()) return -std::numeric_limits<double>::infinity();
  const double count = static_cast<double>(counts_[length]) + 0.5;
  return std::log(count / (static_cast<double>(total_) + 0.5 * static_cast<double>(longest())));
}

int64_t LengthDistribution::draw(Generator& generator, int64_t above) const {
  return draw_between(generator, above + 1, std::max(above + 1, longest()));
}

int64_t LengthDistribution::draw_between(Generator& generator, int64_t least, int64_t most) const {
  const auto first = counts_.begin() + std::min(least, longest() + 1);
  const auto last = counts_.begin() + std::min(most, longest()) + 1;
  const int64_t texts = first < last ? std::accumulate(first, last, int64_t{0}) : 0;
  if (texts == 0) return std::clamp(longest(), least, most);
  auto rest = static_cast<int64_t>(generator.below(static_cast<uint64_t>(texts)));
  int64_t length = least;
  while (rest >= counts_[length]) rest -= counts_[length++];
  return length;
}

std::string LengthDistribution::to_json() const {
  return nlohmann::json{{"counts", counts_}}.dump() + '\n';
}

LengthDistribution LengthDistribution::from_json(std::string_view text, const std::string& source) {
  require_shallow(text, source);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const nlohmann::json counts = json.is_object() ? json.value("counts", nlohmann::json()) : nlohmann::json();
  const auto is_count = [](const nlohmann::json& count) { return count.is_number_integer(); };
  if (!counts.is_array() || !std::all_of(counts.begin(), counts.end(), is_count))
    fail("{}: not the lengths of a haze model: \"counts\" must be a list of whole numbers", source);
  try {
    return LengthDistribution(counts.get<std::vector<int64_t>>());
  } catch (const Error& error) {
    fail("{}: {}", source, error.what());
  }
}

}  // namespace haze
