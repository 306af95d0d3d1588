#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "haze/tools/run/compare_table.h"
#include "haze/tools/run/report.h"
#include "haze/tools/run/saved_model.h"

namespace haze {

/// The result of an evaluation, as `haze compare` keeps it in the run's folder.
struct KeptEvaluation {
  Report report;
  int64_t parameters = 0;  // numbers of the model's weights
};

/// Everything on which the result of a row's evaluation depends beside the run, as JSON: the step of the
/// checkpoint, the options (evaluation_of), the settings of [sample], and the data file's size, checksum and
/// reading.
std::string evaluation_key(const CompareEvaluation& options, const CompareRow& row, int64_t step);

/// The latest checkpoint of a run, with the settings of a row's evaluation.
SavedModel load_row(const std::filesystem::path& run_folder, const CompareRow& row);

/// Evaluates the latest checkpoint of a run. Throws what `observer` throws.
KeptEvaluation evaluate_row(const std::filesystem::path& run_folder, const CompareEvaluation& options,
                            const CompareRow& row, const WorkProgress& observer);

/// Writes an evaluation to `evaluation-<CRC-32 of the key>.json` of a run's folder; one of the same key is
/// replaced.
void keep_evaluation(const std::filesystem::path& run_folder, const std::string& key,
                     const KeptEvaluation& evaluation);

/// The evaluation of this key; none where it was not made. Throws Error where its file is damaged.
std::optional<KeptEvaluation> find_evaluation(const std::filesystem::path& run_folder,
                                              const std::string& key);

}  // namespace haze
