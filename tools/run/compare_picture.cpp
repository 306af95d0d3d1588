#include "haze/tools/run/compare_picture.h"

#include <algorithm>

#include "haze/engine/error.h"
#include "haze/tools/run/kept_evaluation.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/tasks/point_sets.h"

namespace haze {
namespace {

bool is_of_points(const SavedModel& saved) {
  return saved.task->facts().value_shape.size() == 1;
}

int64_t examples_in_panel(const SavedModel& saved) {
  return is_of_points(saved) ? 2000 : 64;
}

Picture panel(const SavedModel& saved, const Tensor& values) {
  constexpr int64_t kColumns = 8;
  if (!is_of_points(saved)) return sheet_of(values, kColumns);
  return points_picture(values, point_set_extent(saved.settings.text("data.set")));
}

Picture data_panel(const SavedModel& saved) {
  const std::unique_ptr<Examples> examples = saved.task->examples(saved.settings, Part::test);
  return panel(saved, examples->batch(spread_indices(examples->size(), examples_in_panel(saved))).values);
}

Picture samples_panel(const SavedModel& saved, uint64_t seed) {
  const Samples samples = draw_samples(*saved.model, *saved.task, saved.settings,
                                       {.count = examples_in_panel(saved), .seed = seed});
  return panel(saved, samples.values);
}

}  // namespace

void require_pictures(const CompareTable& table) {
  for (const CompareRow& row : table.rows) {
    if (row.training.text("data.task") != "tensors")
      fail("{}: the row '{}' makes texts, and there are no pictures of texts", row.where, row.name);
  }
}

ComparePicture compare_picture(const CompareTable& table, const std::vector<CompareRun>& runs) {
  ComparePicture result;
  std::vector<Picture> panels;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const auto run =
        std::find_if(runs.begin(), runs.end(), [&](const CompareRun& other) { return other.row == row; });
    if (run == runs.end()) continue;
    const SavedModel saved = load_row(run->folder, table.rows[row]);
    if (panels.empty()) {
      panels.push_back(data_panel(saved));
      result.panels.emplace_back("data");
    }
    if (!saved.model->sampler()) continue;
    panels.push_back(samples_panel(saved, evaluation_of(table, run->seed).seed));
    result.panels.push_back(table.rows[row].name);
  }
  result.picture = beside_each_other(panels);
  return result;
}

}  // namespace haze
