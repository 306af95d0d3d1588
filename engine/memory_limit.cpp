#include "haze/engine/memory_limit.h"

namespace haze {
namespace {

thread_local MemoryLimit* current = nullptr;

}  // namespace

MemoryLimit::MemoryLimit(size_t bytes) : outer_(current), limit_(bytes), left_(bytes) {
  current = this;
}

MemoryLimit::~MemoryLimit() {
  current = outer_;
}

void MemoryLimit::count(size_t bytes) {
  if (!current) return;
  if (bytes > current->left_) throw MemoryLimitReached(fmt::format("more than {} bytes", current->limit_));
  current->left_ -= bytes;
}

}  // namespace haze
