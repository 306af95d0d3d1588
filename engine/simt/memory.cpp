#include "haze/engine/simt/memory.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <sys/mman.h>

#include "haze/engine/error.h"

namespace haze::simt {
namespace {

constexpr size_t kGranule = 256;
constexpr size_t kRedzone = 256;

}  // namespace

Cell* Region::cells_of(uintptr_t address, size_t bytes) {
  const uintptr_t offset = address - begin;
  const auto alignment = uintptr_t{1} << std::countr_zero(offset | std::bit_floor(bytes));
  if (cell_bytes == 0) {
    cell_bytes = static_cast<unsigned>(alignment);
    cells.resize((end - begin + cell_bytes - 1) / cell_bytes);
  } else if (alignment < cell_bytes) {
    const auto parts = cell_bytes / static_cast<unsigned>(alignment);
    std::vector<Cell> smaller;
    smaller.reserve(cells.size() * parts);
    for (const Cell& cell : cells) smaller.insert(smaller.end(), parts, cell);
    cells = std::move(smaller);
    cell_bytes = static_cast<unsigned>(alignment);
  }
  return &cells[offset / cell_bytes];
}

size_t Region::count_of(uintptr_t address, size_t bytes) const {
  return (address - begin + bytes - 1) / cell_bytes - (address - begin) / cell_bytes + 1;
}

Arena::Arena(size_t bytes) : bytes_(bytes) {
  void* const addresses =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (addresses == MAP_FAILED) fail("simt: no {} bytes of addresses for the emulated device", bytes);
  base_ = reinterpret_cast<uintptr_t>(addresses);
}

Arena::~Arena() {
  munmap(reinterpret_cast<void*>(base_), bytes_);
}

void* Arena::allocate(std::string name, size_t bytes) {
  const size_t taken = (bytes + kRedzone + kGranule - 1) / kGranule * kGranule;
  if (taken > bytes_ - used_) return nullptr;
  const uintptr_t begin = base_ + used_;
  used_ += taken;
  regions_.push_back({.begin = begin, .end = begin + bytes, .name = std::move(name)});
  granules_.resize(used_ / kGranule, static_cast<uint32_t>(regions_.size()));
  return reinterpret_cast<void*>(begin);
}

void Arena::free(void* memory) {
  Region* const region = region_near(reinterpret_cast<uintptr_t>(memory));
  region->freed = true;
  region->cells = {};
  region->cell_bytes = 0;
  // The addresses are never used again, their memory goes back.
  const size_t bytes = (region->end - region->begin) / 4096 * 4096;
  const uintptr_t page = (region->begin + 4095) / 4096 * 4096;
  if (bytes > 4096) madvise(reinterpret_cast<void*>(page), bytes - 4096, MADV_DONTNEED);
}

void Arena::trust_all() {
  for (Region& region : regions_) region.trusted = true;
}

void Arena::clear() {
  regions_.clear();
  granules_.clear();
  used_ = 0;
}

Region* Arena::region_near(uintptr_t address) {
  const size_t granule = (address - base_) / kGranule;
  if (granule >= granules_.size()) return regions_.empty() ? nullptr : &regions_.back();
  return &regions_[granules_[granule] - 1];
}

}  // namespace haze::simt
