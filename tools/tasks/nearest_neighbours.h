#pragma once

#include "haze/tools/tasks/sample_set.h"

namespace haze {

/// Shares in [0, 1].
struct PrecisionRecall {
  double precision = 0, recall = 0;
};

/// Precision and recall of generated examples (Kynkaanniemi et al. 2019, "Improved precision and recall
/// metric for assessing generative models", equations 1 and 2). Around each example of a set lies a ball that
/// reaches to its k-th nearest neighbour in the set. Precision is the share of `generated` that lies in the
/// balls of `real`, recall the share of `real` in the balls of `generated`. The paper has k = 3, and sets of
/// equal size. Every pair of examples is compared. Throws Error as require_comparable(), where k < 1, and
/// where a set has no k other examples.
PrecisionRecall precision_recall(const SampleSet& real, const SampleSet& generated, int64_t k = 3);

}  // namespace haze
