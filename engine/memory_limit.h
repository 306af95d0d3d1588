#pragma once

#include <cstddef>

#include "haze/engine/error.h"

namespace haze {

/// Thrown where a MemoryLimit forbids to ask for memory.
class MemoryLimitReached : public Error {
 public:
  using Error::Error;
};

/// While it lives, the tensors that this thread makes may take `bytes` bytes in all, on every device
/// together; what is freed meanwhile still counts. Asking for more throws MemoryLimitReached before memory is
/// asked for. A limit inside another one stands for it.
class MemoryLimit {
 public:
  explicit MemoryLimit(size_t bytes);
  ~MemoryLimit();
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;

  /// Called by allocate(); throws where the limit of this thread, if there is one, is reached.
  static void count(size_t bytes);

 private:
  MemoryLimit* outer_;
  size_t limit_;
  size_t left_;
};

}  // namespace haze
