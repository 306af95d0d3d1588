#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "haze/tools/lab/lab_report.h"

namespace haze {
namespace {

constexpr unsigned kLanes = 32;

struct Place {
  std::string memory;
  uintptr_t begin;
  size_t element_bytes;
};

// Operands by their names; other memory by the allocation's, in units of the access, or of
// 4 bytes where it is a vector of 16.
Place place_of(const simt::WarpStep& step, const std::vector<Problem::Operand>& operands) {
  const uintptr_t address = step.request.addresses[static_cast<size_t>(std::countr_zero(step.request.lanes))];
  for (const Problem::Operand& operand : operands) {
    const auto begin = reinterpret_cast<uintptr_t>(operand.tensor.address());
    const size_t element = size_of(operand.tensor.dtype());
    const size_t bytes = static_cast<size_t>(operand.tensor.elements()) * element;
    if (!step.in_shared && address >= begin && address < begin + bytes) return {operand.name, begin, element};
  }
  return {step.memory, step.memory_begin, step.request.bytes <= 8 ? step.request.bytes : 4};
}

// "; lanes 0-7, 16-23", where not all of them take part.
std::string lanes_of(const simt::Request& request) {
  if (request.lanes == ~0u) return "";
  std::string text;
  for (unsigned first = 0; first < kLanes; ++first) {
    if (!(request.lanes >> first & 1)) continue;
    const unsigned begin = first;
    while (first + 1 < kLanes && (request.lanes >> (first + 1) & 1)) ++first;
    text += text.empty() ? "; lanes " : ", ";
    text += begin == first ? fmt::format("{}", first) : fmt::format("{}-{}", begin, first);
  }
  return text;
}

// "0, 1, ..., 31" for equal distances, all numbers otherwise.
std::string elements_of(const simt::Request& request, const Place& place) {
  std::vector<int64_t> elements;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(request.lanes >> lane & 1)) continue;
    elements.push_back(static_cast<int64_t>((request.addresses[lane] - place.begin) / place.element_bytes));
  }
  const auto distance = [&](size_t i) { return elements[i] - elements[i - 1]; };
  bool even = elements.size() > 3;
  for (size_t i = 2; i < elements.size(); ++i) even = even && distance(i) == distance(1);
  std::string text;
  if (even && distance(1) == 0) {
    text = fmt::format("{}", elements.front());
  } else if (even) {
    text = fmt::format("{}, {}, ..., {}", elements[0], elements[1], elements.back());
  } else {
    for (const int64_t element : elements) text += fmt::format("{}{}", text.empty() ? "" : ", ", element);
  }
  return text;
}

std::string line_of(const simt::WarpStep& step, const std::vector<Problem::Operand>& operands) {
  const std::string source = step.line.substr(0, step.line.find(' '));
  if (step.request.lanes == 0) return fmt::format("{:<24}  {}", source, step.what);
  const Place place = place_of(step, operands);
  const size_t elements = std::max<size_t>(1, step.request.bytes / place.element_bytes);
  return fmt::format("{:<24}  {:<5}  {} [{}]{}", source, step.what, place.memory,
                     elements_of(step.request, place),
                     elements > 1 ? fmt::format(" and {} after each", elements - 1) : "") +
         lanes_of(step.request);
}

}  // namespace

std::vector<std::string> step_lines(const FollowedRung& followed) {
  std::vector<std::string> lines;
  for (const simt::LaunchCounts& launch : followed.launches) {
    lines.push_back(fmt::format("warp 0 of block 0 of {}", kernel_name(launch.function)));
    for (const simt::WarpStep& step : launch.followed) lines.push_back(line_of(step, followed.operands));
  }
  return lines;
}

}  // namespace haze
