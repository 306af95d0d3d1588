#pragma once

#include <filesystem>
#include <vector>

#include "haze/tools/tasks/control_target.h"

namespace haze {

/// The texts whose properties a file lists as targets, a JSON value a line, as Li et al. 2022 published
/// theirs:
///   ["food", ":", "Fast", "food"]                                   a field and its value, in words
///   {"words_": ["START", "A", "pub", "END"], "pos": ["START", "DET", "NOUN", "END"]}
/// "START", "END" and blank words, such as a line end, are left out with their tags. Other keys are passed
/// over. Throws Error, naming file and line, where a line is none of these.
std::vector<AnnotatedText> read_target_file(const std::filesystem::path& path);

}  // namespace haze
