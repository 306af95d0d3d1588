#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace haze::simt {

/// An access of a thread, as far as later ones must know it.
struct Access {
  uint32_t thread = 0;  // block << 10 | index; a launch of a checked kernel has at most 2^22 blocks
  uint32_t stamp = 0;   // the time at which the thread's current interval began (checker.h); 0: no access
  uint32_t pc = 0;      // offset in the executable
};

/// The shadow of one element of memory.
struct Cell {
  Access write, reads[2], atomics[2];
  bool initialised = false;  // by the host, or by an earlier launch
  bool pending = false;      // `write` is a copy that has not been waited for
};

/// Memory that was asked for together, between redzones.
struct Region {
  uintptr_t begin = 0, end = 0;
  std::string name;
  bool freed = false;
  bool trusted = false;     // all of it counts as initialised
  unsigned cell_bytes = 0;  // of an element: the smallest access so far, a power of 2; 0: none yet
  std::vector<Cell> cells = {};

  bool contains(uintptr_t address, size_t bytes) const { return address >= begin && address + bytes <= end; }
  /// The cells of an access of so many bytes. Makes them smaller where the access is smaller.
  Cell* cells_of(uintptr_t address, size_t bytes);
  size_t count_of(uintptr_t address, size_t bytes) const;
};

/// A range of addresses in which regions are laid out, each with a redzone behind it. Memory that is freed is
/// kept for a while, so that a late access of it is noticed.
class Arena {
 public:
  /// Takes `bytes` bytes of addresses; memory is taken when it is touched.
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Aligned to 256 bytes. Null where no addresses are left.
  void* allocate(std::string name, size_t bytes);
  void free(void* memory);
  /// All that is there counts as initialised: who wrote it was not watched.
  void trust_all();
  /// Frees everything at once, and keeps nothing back.
  void clear();

  bool contains(const void* address) const { return reinterpret_cast<uintptr_t>(address) - base_ < bytes_; }
  /// The region that begins last at or before the address: the one that holds it, or whose redzone does. Null
  /// before the first.
  Region* region_near(uintptr_t address);

 private:
  uintptr_t base_;
  size_t bytes_, used_ = 0;
  std::vector<Region> regions_;     // ordered by address
  std::vector<uint32_t> granules_;  // the region of each 256 bytes below used_, counted from 1
};

}  // namespace haze::simt
