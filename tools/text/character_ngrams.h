#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace haze {

/// Buckets that character n-grams are hashed to.
inline constexpr int64_t kSpellingBuckets = 1 << 14;

/// The buckets, in [0, kSpellingBuckets), of the features of a word's spelling, as in fastText (Bojanowski et
/// al. 2017, sections 3.2 and 4.3): its prefixes and suffixes of 1 to 4 characters, all its 3-grams and
/// 4-grams, and its shape. All but the shape are of the word with A-Z in lower case. The shape has X for each
/// run of A-Z, x for a-z and for characters outside ASCII, 0 for digits, and other characters as they are:
/// "BBC-2" has the shape "X-0".
///
/// A feature's bucket is its 64-bit FNV-1a hash modulo kSpellingBuckets; the hashed bytes are a letter for
/// the kind of feature (p, s, n or h), then the feature. Throws Error where the word is empty or not valid
/// UTF-8.
std::vector<int32_t> character_ngrams(std::string_view word);

}  // namespace haze
