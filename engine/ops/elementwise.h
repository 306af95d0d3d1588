#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

/// Inputs have the shape of the result and any strides; the result is contiguous.
namespace haze::call {

struct Unary {
  UnaryOp op;
  Tensor x;     // floating
  double a, b;  // parameters of the operations that name them
  Tensor out;   // dtype of x

  const char* name() const { return haze::name(op); }
  void each_operand(auto&& f) const { f(Use::read, "x", x), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct Binary {
  BinaryOp op;
  Tensor x, y;  // floating or int32
  Tensor out;   // dtype of x; may be x itself

  const char* name() const { return haze::name(op); }
  void each_operand(auto&& f) const {
    f(Use::read, "the first argument", x), f(Use::read, "the second", y), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct Compare {
  CompareOp op;
  Tensor x, y;  // any dtype
  Tensor out;   // uint8

  const char* name() const { return "compare"; }
  void each_operand(auto&& f) const {
    f(Use::read, "the first argument", x), f(Use::read, "the second", y), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct Where {
  Tensor condition;  // uint8
  Tensor x, y;       // any dtype
  Tensor out;        // dtype of x

  const char* name() const { return "where"; }
  void each_operand(auto&& f) const {
    f(Use::read, "condition", condition), f(Use::read, "x", x), f(Use::read, "y", y);
    f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
