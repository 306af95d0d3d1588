#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "haze/tools/tasks/control_target.h"

namespace haze {

/// The texts of one part ("train") of a corpus's folder, as write_corpus() leaves it: `train.txt` (E2E
/// format) and, line by line beside it, `train.tags` and `train.trees`. Tags are read for controls of the
/// kind pos alone, as `haze tag` writes them for real texts, and trees for the kinds tree and span. Throws
/// Error, naming file and line, where a file is missing or its line does not belong to the text.
std::vector<AnnotatedText> annotated_texts(const std::filesystem::path& folder, const std::string& part,
                                           const std::vector<ControlKind>& kinds = control_kinds());

/// For each text a line {"src": a control that the text has, "trg": the text}. The control's kind is drawn
/// from `kinds`, and of several fields or constituents one, from text number i's own stream of the seed. A
/// text that has nothing of the kind is left out. Throws Error where no text is left.
std::string controlled_lines(const std::vector<AnnotatedText>& texts, const std::vector<ControlKind>& kinds,
                             uint64_t seed);

}  // namespace haze
