#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace haze::simt {

/// A copy from global to shared memory (PTX: cp.async) that a thread has asked for.
struct AsyncCopy {
  void* to;
  const void* from;
  unsigned bytes, valid;  // from `valid` on, the bytes become 0
  uint32_t pc;

  /// Makes it happen.
  void carry_out() const;
};

/// The copies of one thread that it has not waited for.
class AsyncCopies {
 public:
  void add(const AsyncCopy& copy) { open_.push_back(copy); }
  /// Those that no group holds yet become a group, which may be empty.
  void commit();
  /// Takes out all groups but the last `kept`.
  std::vector<AsyncCopy> take(unsigned kept);

 private:
  std::vector<AsyncCopy> open_;
  std::deque<std::vector<AsyncCopy>> groups_;
};

}  // namespace haze::simt
