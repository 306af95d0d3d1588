#include "haze/tools/lab/compiled_kernels.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "haze/engine/error.h"
#include "haze/tools/lab/embedded.h"

namespace haze {

const CompiledKernels& compiled_kernels() {
  static const CompiledKernels table = parse_compiled_kernels(kCompiledKernelsText, "compiled_kernels.txt");
  return table;
}

CompiledKernels parse_compiled_kernels(std::string_view text, std::string_view where) {
  CompiledKernels kernels;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    CompiledKernel kernel;
    std::string name;
    words >> kernel.registers >> kernel.shared_bytes >> kernel.spill_stores >> kernel.spill_loads >> std::ws;
    std::getline(words, name);
    if (words.fail() || name.empty()) fail("{}: '{}' is no line of a table of compiled kernels", where, line);
    kernels[name] = kernel;
  }
  return kernels;
}

std::string kernel_name(std::string demangled) {
  constexpr std::array<std::string_view, 4> kLeftOut = {
      "haze::checked::", "haze::gpu::", "(anonymous namespace)::", "void "};
  for (const std::string_view part : kLeftOut) {
    for (size_t at = demangled.find(part); at != std::string::npos; at = demangled.find(part))
      demangled.erase(at, part.size());
  }
  const size_t after_template = demangled.find(">(");
  demangled.resize(std::min(after_template == std::string::npos ? demangled.find('(') : after_template + 1,
                            demangled.size()));
  return demangled;
}

}  // namespace haze
