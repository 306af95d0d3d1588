#include "haze/engine/simt/async_copies.h"

#include <cstring>
#include <utility>

namespace haze::simt {

void AsyncCopy::carry_out() const {
  if (valid > 0) std::memcpy(to, from, valid);
  std::memset(static_cast<char*>(to) + valid, 0, bytes - valid);
}

void AsyncCopies::commit() {
  groups_.push_back(std::exchange(open_, {}));
}

std::vector<AsyncCopy> AsyncCopies::take(unsigned kept) {
  std::vector<AsyncCopy> result;
  while (groups_.size() > kept) {
    result.insert(result.end(), groups_.front().begin(), groups_.front().end());
    groups_.pop_front();
  }
  return result;
}

}  // namespace haze::simt
