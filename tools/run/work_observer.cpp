#include "haze/tools/run/work_observer.h"

#include <utility>

namespace haze {

WorkObserver::WorkObserver(std::string label, const InterruptGuard& interrupt, ProgressOutput output)
    : label_(std::move(label)), interrupt_(interrupt), output_(std::move(output)) {}

void WorkObserver::update(std::int64_t done, std::int64_t all) {
  if (interrupt_.requested()) throw Interrupted(interrupt_.signal());
  if (!bar_) bar_.emplace(label_, all, done, output_);
  bar_->update(done);
  if (done < all) return;
  bar_->remove();
  bar_.reset();
}

}  // namespace haze
