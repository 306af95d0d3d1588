#pragma once

#include <algorithm>

#include "haze/engine/call.h"

/// Indices are contiguous int32. A kernel throws Error, naming `operation`, where one lies outside its axis;
/// the cpu's then has written nothing.
namespace haze::call {

struct IndexSelect {
  const char* operation;  // index_select or embedding
  Tensor x;               // contiguous [outer, extent, inner], any dtype
  Tensor indices;         // [count]
  Tensor out;             // contiguous [outer, count, inner]

  const char* name() const { return operation; }
  double bytes() const { return detail::stored_bytes(indices) + 2 * detail::stored_bytes(out); }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "the indices", indices), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct IndexAdd {
  const char* operation;  // index_add_into or embedding_gradient
  Tensor indices;         // [count]
  Tensor source;          // contiguous [outer, count, inner], floating or int32
  Tensor target;          // contiguous [outer, extent, inner]

  const char* name() const { return operation; }
  double bytes() const {  // no more rows of the target than there are indices
    return detail::stored_bytes(indices) + detail::stored_bytes(source) +
           2 * std::min(detail::stored_bytes(target), detail::stored_bytes(source));
  }
  void each_operand(auto&& f) const {
    f(Use::read, "the indices", indices), f(Use::read, "source", source), f(Use::update, "target", target);
  }
  void run(Cpu) const;
};

struct Gather {
  Tensor x;  // any strides, any dtype
  int axis;
  Tensor index;  // rank of x, extents at most its
  Tensor out;    // contiguous, shape of index

  const char* name() const { return "gather"; }
  double bytes() const { return detail::stored_bytes(index) + 2 * detail::stored_bytes(out); }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "index", index), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct Scatter {
  bool adds;  // scatter_add, which takes floating tensors; otherwise scatter, which takes any
  int axis;
  Tensor index;   // rank of target, extents at most its
  Tensor source;  // contiguous, shape of index
  Tensor target;  // contiguous

  const char* name() const { return adds ? "scatter_add" : "scatter"; }
  double bytes() const {
    return detail::stored_bytes(index) + detail::stored_bytes(source) +
           2 * std::min(detail::stored_bytes(target), detail::stored_bytes(source));
  }
  void each_operand(auto&& f) const {
    f(Use::read, "index", index), f(Use::read, "source", source), f(Use::update, "x", target);
  }
  void run(Cpu) const;
};

}  // namespace haze::call
