#include "haze/engine/simt/hooks.h"

#include "haze/engine/simt/checker.h"

namespace haze::simt {
namespace {

constinit uint64_t calls = 0;

inline void access(const void* address, size_t bytes, AccessKind kind, const void* return_address) {
  ++calls;
  if (Checker* const checker = Checker::watching()) checker->access(address, bytes, kind, return_address);
}

// A range of bytes, as accesses of the largest size that fits.
void access_range(const void* address, size_t bytes, AccessKind kind, const void* return_address) {
  const auto* byte = static_cast<const char*>(address);
  while (bytes > 0) {
    size_t part = 16;
    while (part > bytes || reinterpret_cast<uintptr_t>(byte) % part != 0) part /= 2;
    access(byte, part, kind, return_address);
    byte += part;
    bytes -= part;
  }
}

}  // namespace

uint64_t hook_calls() {
  return calls;
}

}  // namespace haze::simt

// g++ calls these before every memory access of a file that it compiles with -fsanitize=thread.
// ThreadSanitizer's library, which usually defines them, is not linked. Nothing here may throw: g++ takes
// them for functions that do not.
using haze::simt::AccessKind;

#define HAZE_HOOK(name, bytes, kind)                                                   \
  void __tsan_##name(void* address) {                                                  \
    haze::simt::access(address, bytes, AccessKind::kind, __builtin_return_address(0)); \
  }
#define HAZE_HOOKS(bytes)                       \
  HAZE_HOOK(read##bytes, bytes, read)           \
  HAZE_HOOK(write##bytes, bytes, write)         \
  HAZE_HOOK(unaligned_read##bytes, bytes, read) \
  HAZE_HOOK(unaligned_write##bytes, bytes, write)

extern "C" {
HAZE_HOOKS(1)
HAZE_HOOKS(2)
HAZE_HOOKS(4)
HAZE_HOOKS(8)
HAZE_HOOKS(16)
void __tsan_read_range(void* address, size_t bytes) {
  haze::simt::access_range(address, bytes, AccessKind::read, __builtin_return_address(0));
}
void __tsan_write_range(void* address, size_t bytes) {
  haze::simt::access_range(address, bytes, AccessKind::write, __builtin_return_address(0));
}
void __tsan_init() {}  // runs before main()
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
// Of the guard of a function's static.
char __tsan_atomic8_load(const volatile char* address, int) {
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}
int __tsan_atomic32_load(const volatile int* address, int) {
  return __atomic_load_n(address, __ATOMIC_ACQUIRE);
}
void __tsan_atomic32_store(volatile int* address, int value, int) {
  __atomic_store_n(address, value, __ATOMIC_RELEASE);
}
int __tsan_atomic32_fetch_add(volatile int* address, int value, int) {
  return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);
}
int __tsan_atomic32_fetch_sub(volatile int* address, int value, int) {
  return __atomic_fetch_sub(address, value, __ATOMIC_ACQ_REL);
}
}
