#pragma once

#include "haze/engine/call.h"

/// Images are contiguous [batch, channels, height, width].
namespace haze::call {

struct Unfold {
  Tensor x;  // any dtype
  int64_t kernel_h, kernel_w, stride, padding;
  Tensor out;  // contiguous [batch, channels kernel_h kernel_w, out_h out_w]

  const char* name() const { return "unfold"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct Fold {
  Tensor columns;  // contiguous [batch, channels kernel_h kernel_w, out_h out_w], floating
  int64_t kernel_h, kernel_w, stride, padding;
  Tensor out;

  const char* name() const { return "fold"; }
  void each_operand(auto&& f) const { f(Use::read, "columns", columns), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct AveragePool {
  Tensor x;  // floating
  int64_t size;
  Tensor out;  // [batch, channels, height / size, width / size]

  const char* name() const { return "average_pool"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct MaxPool {
  Tensor x;  // floating
  int64_t size;
  Tensor out, indices;  // [batch, channels, height / size, width / size]; int32 indices

  const char* name() const { return "max_pool"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::write, "the result", out), f(Use::write, "the indices", indices);
  }
  void run(Cpu) const;
};

struct Upsample {
  Tensor x;  // any dtype
  int64_t size;
  Tensor out;  // [batch, channels, height size, width size]

  const char* name() const { return "upsample"; }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze::call
