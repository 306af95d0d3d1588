#include "haze/engine/simt/calls.h"

#include "haze/engine/simt/block.h"
#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/symbols.h"

namespace haze::simt {

uint64_t collective(bool checked, Collective what, uint32_t mask, uint64_t value, unsigned source,
                    std::source_location at) {
  const bool orders_memory = is_of_block(what) || what == Collective::warp_barrier;
  if (checked && orders_memory && is_left_out(at)) return 0;
  return Block::playing()->collective({what, mask, value, source, at});
}

unsigned lane() {
  return Block::playing()->current().lane();
}

Registers special_registers() {
  return registers;
}

void* shared(const void* tag, const char* name, size_t bytes) {
  return Block::playing()->shared(tag, name, bytes);
}

void* dynamic_shared() {
  return Block::playing()->dynamic_shared();
}

void fence(std::source_location at) {
  Checker* const checker = Checker::watching();
  if (checker && !is_left_out(at)) checker->fence();
}

void vector_access(const void* address, size_t bytes, bool writes, const void* return_address) {
  Checker* const checker = Checker::watching();
  if (checker) checker->access(address, bytes, writes ? AccessKind::write : AccessKind::read, return_address);
}

void atomic_access(const void* address, size_t bytes, const void* return_address) {
  Checker* const checker = Checker::watching();
  if (!checker) return;
  checker->access(address, bytes, AccessKind::atomic, return_address);
  checker->meet(address);
}

void copy_async(void* shared, const void* global, unsigned bytes, unsigned valid,
                const void* return_address) {
  Checker* const checker = Checker::watching();
  if (checker) checker->copy_async(shared, global, bytes, valid, return_address);
}

void copy_async_commit() {
  if (Checker* const checker = Checker::watching()) checker->copy_async_commit();
}

void copy_async_wait(unsigned groups, std::source_location at) {
  Checker* const checker = Checker::watching();
  if (checker && !is_left_out(at)) checker->copy_async_wait(groups);
}

void ldmatrix(bool checked, const MatrixLoad& load, const void* return_address, std::source_location at) {
  if (checked && lane() < load.count * 8) vector_access(load.row, 16, false, return_address);
  collective(checked, Collective::ldmatrix, ~0u, reinterpret_cast<uintptr_t>(&load), 0, at);
  Checker* const checker = Checker::watching();
  for (unsigned i = 0; checker && i < load.count; ++i) {
    checker->check(load.received[i], 16, AccessKind::read, offset_of(return_address));
  }
}

void mma(bool checked, const MatrixProduct& product, std::source_location at) {
  collective(checked, Collective::mma, ~0u, reinterpret_cast<uintptr_t>(&product), 0, at);
}

}  // namespace haze::simt
