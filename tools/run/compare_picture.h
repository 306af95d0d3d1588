#pragma once

#include "haze/tools/run/compare_runs.h"
#include "haze/tools/tasks/picture.h"

namespace haze {

/// Throws Error, with file and line, where a row makes texts, of which there are no pictures.
void require_pictures(const CompareTable& table);

/// Samples of a table's rows beside each other, for the eye.
struct ComparePicture {
  Picture picture;
  std::vector<std::string> panels;  // from left to right: "data", then the names of rows
};

/// From left to right examples of the first row's test part, then of every row that can sample the samples of
/// its first seed, drawn as its evaluation draws them: 64 images, or 2000 points. Throws Error where a run
/// has no checkpoint.
ComparePicture compare_picture(const CompareTable& table, const std::vector<CompareRun>& runs);

}  // namespace haze
