#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "haze/engine/dtype.h"

namespace haze {

/// A kernel ready to be timed. Its functions hold the operands.
struct KernelCase {
  std::function<void()> ours;
  std::function<void()> peer;  // empty where there is none
};

/// One kernel on operands of one size, and how much work a call is.
struct KernelRow {
  std::string name;
  double operations = 0;  // additions, multiplications and functions such as exp of a call
  double bytes = 0;       // of operands and result, each moved once
  /// Makes the operands, so that only those of the row being measured are in memory.
  std::function<KernelCase()> prepare;
  double peer_bytes = 0;  // where the peer is a copy of so many bytes, read and written ones counted
};

/// Kernels measured in one unit: operations a second, or bytes a second where `by_memory`.
struct KernelGroup {
  std::string title, peer;
  bool by_memory = false;
  bool bfloat16 = false;  // the operands of products
  std::vector<KernelRow> rows;
};

enum class MatmulPeer { onednn, blis };

/// Matrix products of float32 or bfloat16 into float32.
KernelGroup matmul_kernels(Dtype dtype, MatmulPeer peer);
/// Convolutions of a U-Net and their gradients, float32; their peer is oneDNN.
KernelGroup convolution_kernels();
/// Kernels that do little with each number, on tensors larger than the last-level cache; their peer copies.
KernelGroup memory_kernels();

}  // namespace haze
