#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace haze {

/// What ptxas, the assembler of CUDA, says of a kernel.
struct CompiledKernel {
  unsigned registers = 0;     // of a thread
  unsigned shared_bytes = 0;  // of a block, static
  unsigned spill_stores = 0,
           spill_loads = 0;  // bytes that a thread moves because its registers do not suffice
};

/// Kernels by their names with template arguments, such as "softmax<float>", without namespaces.
using CompiledKernels = std::map<std::string, CompiledKernel, std::less<>>;

/// The table of the repository (compiled_kernels.txt), for sm_90.
const CompiledKernels& compiled_kernels();
/// From the output of compile_kernels.sh. Throws Error, beginning with `where`, where a line is none of a
/// table.
CompiledKernels parse_compiled_kernels(std::string_view text, std::string_view where);

/// "softmax<float>" of "void haze::checked::softmax<float>(float const*, float*)".
std::string kernel_name(std::string demangled);

}  // namespace haze
