#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace haze {

/// BLEU of a text against another, up to 4-grams, in [0, 1] (Papineni et al. 2002). Counts of 2-grams and
/// longer are raised by one, as in Lin and Och 2004, so that short texts have a score; a text without words
/// has 0.
double sentence_bleu(std::span<const int32_t> text, std::span<const int32_t> reference);

/// Minimum Bayes risk decoding (Kumar and Byrne 2004; Li et al. 2022, section 5.2). The index of the
/// candidate with the least mean loss 1 - BLEU against the others, and the first of equals. Throws Error
/// where there is none.
size_t minimum_bayes_risk(std::span<const std::vector<int32_t>> candidates);

}  // namespace haze
