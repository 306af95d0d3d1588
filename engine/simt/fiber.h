#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace haze::simt {

/// A function with a stack of its own, which can stop in the middle and go on later (a *fiber*, also:
/// coroutine with a stack). Switching is a jump within one thread of the system: some 10 ns.
class Fiber {
 public:
  /// Nothing runs before the first resume(). The body must not throw. Throws Error where no memory is left
  /// for a stack.
  explicit Fiber(std::function<void()> body);
  /// A fiber that has not ended may be destroyed. Objects on its stack are then not destroyed.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the body, from its beginning or from suspend(), until it calls suspend() or ends. Not from within a
  /// fiber.
  void resume();
  /// From within this fiber's body: back to resume()'s caller.
  void suspend();
  /// The same for the last time. The contents of the stack are abandoned.
  [[noreturn]] void abandon();
  bool ended() const { return ended_; }
  /// Whether the address lies on its stack.
  bool holds(const void* address) const;

  /// Bytes of a stack. A frame that goes past its end meets a page that cannot be touched.
  static constexpr size_t kStackBytes = 64 << 10;

 private:
  class Stack;
  struct Contexts;
  static void enter(Contexts& contexts);

  std::function<void()> body_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<Contexts> contexts_;
  bool started_ = false, ended_ = false, abandoned_ = false;
};

}  // namespace haze::simt
