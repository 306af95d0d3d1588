#include "haze/engine/simt/symbols.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string_view>
#include <unordered_map>

#include <fmt/format.h>
#include <unistd.h>

extern "C" const char __executable_start, _end;  // by the linker

namespace haze::simt {
namespace {

std::string run(const std::string& command) {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 4096> part;
  while (pipe && std::fgets(part.data(), part.size(), pipe.get())) text += part.data();
  return text;
}

// "void haze::checked::(anonymous namespace)::reduce<true>(float const*)" as "reduce<true>".
std::string short_name(std::string function) {
  static constexpr std::string_view kAnonymous = "(anonymous namespace)::";
  if (const size_t at = function.find(kAnonymous); at != std::string::npos)
    function.erase(at, kAnonymous.size());
  function.resize(std::min(function.find('('), function.size()));
  static constexpr std::string_view kSpace = "haze::checked::";
  const size_t at = function.find(kSpace);
  return at == std::string::npos ? function : function.substr(at + kSpace.size());
}

// The function and "file:line" of an offset in the executable. Both are empty where it has no symbols.
struct Symbol {
  std::string function, line;
};

std::unordered_map<uint32_t, Symbol>& known() {
  static std::unordered_map<uint32_t, Symbol> symbols;
  return symbols;
}

const Symbol& symbol_at(uint32_t offset) {
  look_up({offset});
  return known().at(offset);
}

}  // namespace

void look_up(const std::vector<uint32_t>& offsets) {
  std::vector<uint32_t> missing;
  std::string arguments;
  for (const uint32_t offset : offsets) {
    if (!known().try_emplace(offset).second) continue;
    missing.push_back(offset);
    arguments += fmt::format(" {:#x}", offset);
  }
  std::array<char, 4096> path{};
  if (missing.empty() || readlink("/proc/self/exe", path.data(), path.size() - 1) < 0) return;
  // Two lines for each offset: the function, then file:line.
  std::istringstream lines(run(fmt::format("addr2line -Csfe '{}'{} 2>/dev/null", path.data(), arguments)));
  std::string function, line;
  for (const uint32_t offset : missing) {
    if (!std::getline(lines, function) || !std::getline(lines, line)) return;
    if (!function.starts_with("??")) known().at(offset) = {function, line.substr(0, line.find(' '))};
  }
}

uint32_t offset_at(const void* address) {
  return static_cast<uint32_t>(static_cast<const char*>(address) - &__executable_start);
}

uint32_t offset_of(const void* return_address) {
  return offset_at(return_address) - 1;
}

std::string line_of(uint32_t offset) {
  const Symbol& symbol = symbol_at(offset);
  if (symbol.line.empty()) return "?";
  return fmt::format("{} in {}", symbol.line, short_name(symbol.function));
}

std::string function_at(uint32_t offset) {
  const Symbol& symbol = symbol_at(offset);
  return symbol.function.empty() ? "?" : symbol.function;
}

bool is_of_program(const void* address) {
  return address >= &__executable_start && address < &_end;
}

}  // namespace haze::simt
