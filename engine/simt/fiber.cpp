#include "haze/engine/simt/fiber.h"

#include <utility>
#include <vector>

#include <boost/context/detail/fcontext.hpp>
#include <sys/mman.h>
#include <unistd.h>

#include "haze/engine/error.h"

// AddressSanitizer must know which stack is in use.
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

// A thread that ends at a fault is abandoned: what its stack owns is never destroyed.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:haze::simt::\n";
}
#endif

namespace haze::simt {

using boost::context::detail::fcontext_t;
using boost::context::detail::transfer_t;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kHasFakeStacks = true;
void before_switch(void** leaving, const void* stack, size_t bytes) {
  __sanitizer_start_switch_fiber(leaving, stack, bytes);
}
void after_switch(void* own, const void** left, size_t* bytes) {
  __sanitizer_finish_switch_fiber(own, left, bytes);
}
void forget_poison(void* stack, size_t bytes) {
  __asan_unpoison_memory_region(stack, bytes);
}
#else
constexpr bool kHasFakeStacks = false;
void before_switch(void**, const void*, size_t) {}
void after_switch(void*, const void**, size_t*) {}
void forget_poison(void*, size_t) {}
#endif

size_t page_bytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// The stacks of one thread of the system that no fiber uses.
class StackPool {
 public:
  ~StackPool() {
    for (char* lowest : free_) munmap(lowest - page_bytes(), Fiber::kStackBytes + page_bytes());
  }
  char* take() {
    if (free_.empty()) return map();
    char* const lowest = free_.back();
    free_.pop_back();
    return lowest;
  }
  void give_back(char* lowest) {
    forget_poison(lowest, Fiber::kStackBytes);
    free_.push_back(lowest);
  }

 private:
  // Stacks grow downwards, so the page that cannot be touched is the lowest.
  static char* map() {
    void* const pages = mmap(nullptr, Fiber::kStackBytes + page_bytes(), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fail("simt: no memory for the stack of another thread");
    mprotect(pages, page_bytes(), PROT_NONE);
    return static_cast<char*>(pages) + page_bytes();
  }

  std::vector<char*> free_;
};

thread_local StackPool stack_pool;

}  // namespace

class Fiber::Stack {
 public:
  Stack() : lowest_(stack_pool.take()) {}
  ~Stack() { stack_pool.give_back(lowest_); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  char* lowest() const { return lowest_; }

 private:
  char* lowest_;
};

struct Fiber::Contexts {
  Fiber* fiber;
  fcontext_t own, caller;
  const void* caller_stack = nullptr;  // for AddressSanitizer
  size_t caller_bytes = 0;
};

void Fiber::enter(Contexts& contexts) {
  after_switch(nullptr, &contexts.caller_stack, &contexts.caller_bytes);
  contexts.fiber->body_();
  contexts.fiber->abandon();
}

Fiber::Fiber(std::function<void()> body)
    : body_(std::move(body)), stack_(std::make_unique<Stack>()), contexts_(std::make_unique<Contexts>()) {
  contexts_->fiber = this;
  contexts_->own =
      boost::context::detail::make_fcontext(stack_->lowest() + kStackBytes, kStackBytes, [](transfer_t from) {
        auto& contexts = *static_cast<Contexts*>(from.data);
        contexts.caller = from.fctx;
        enter(contexts);
      });
}

Fiber::~Fiber() {
  // With detect_stack_use_after_return=1, AddressSanitizer keeps the frames of every stack in some more
  // memory, which it frees only when a fiber leaves for the last time.
  if (kHasFakeStacks && started_ && !ended_) {
    abandoned_ = true;
    resume();
  }
}

void Fiber::resume() {
  started_ = true;
  void* own = nullptr;
  before_switch(&own, stack_->lowest(), kStackBytes);
  contexts_->own = boost::context::detail::jump_fcontext(contexts_->own, contexts_.get()).fctx;
  after_switch(own, nullptr, nullptr);
}

void Fiber::suspend() {
  void* own = nullptr;
  before_switch(&own, contexts_->caller_stack, contexts_->caller_bytes);
  contexts_->caller = boost::context::detail::jump_fcontext(contexts_->caller, nullptr).fctx;
  after_switch(own, &contexts_->caller_stack, &contexts_->caller_bytes);
  if (abandoned_) abandon();
}

void Fiber::abandon() {
  ended_ = true;
  before_switch(nullptr, contexts_->caller_stack, contexts_->caller_bytes);
  boost::context::detail::jump_fcontext(contexts_->caller, nullptr);
  std::abort();  // never resumed
}

bool Fiber::holds(const void* address) const {
  const auto* const byte = static_cast<const char*>(address);
  return byte >= stack_->lowest() && byte < stack_->lowest() + kStackBytes;
}

}  // namespace haze::simt
