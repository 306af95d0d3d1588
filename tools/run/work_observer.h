#pragma once

#include <optional>
#include <string>

#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/progress.h"

namespace haze {

/// Looks at work that takes a while, such as a bound or sampling: shows a progress bar, and breaks the work
/// off at Ctrl-C.
class WorkObserver {
 public:
  /// `interrupt` must outlive this.
  WorkObserver(std::string label, const InterruptGuard& interrupt,
               ProgressOutput output = ProgressOutput::standard_error());

  /// Tells that `done` of `all` pieces of work are done; the last one takes the bar away. Throws Interrupted
  /// where Ctrl-C was pressed.
  void update(std::int64_t done, std::int64_t all);

 private:
  std::string label_;
  const InterruptGuard& interrupt_;
  ProgressOutput output_;
  std::optional<ProgressBar> bar_;
};

}  // namespace haze
