#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace haze {

/// Buckets that character n-grams are hashed to.
inline constexpr int64_t kSpellingBuckets = 1 << 14;

/// The buckets, in [0, kSpellingBuckets), of the features of a word's spelling (fastText: Bojanowski et al.
/// 2017, sections 3.2 and 4.3). The features are prefixes and suffixes of 1 to 4 characters, all 3-grams and
/// 4-grams, and the shape. All but the shape are of the word with A-Z in lower case. The shape has X for A-Z,
/// x for a-z and for characters outside ASCII, and 0 for digits. Other characters stay as they are. A run of
/// one sign stands once: "BBC-20" has the shape "X-0".
///
/// A feature's bucket is its 64-bit FNV-1a hash modulo kSpellingBuckets. The hashed bytes are a letter for
/// the kind of feature (p, s, n or h), then the feature. Throws Error where the word is empty or not valid
/// UTF-8.
std::vector<int32_t> character_ngrams(std::string_view word);

}  // namespace haze
