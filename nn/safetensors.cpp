#include "haze/nn/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "haze/nn/safetensors_header.h"

namespace haze {
namespace {

using safetensors::Entry;
using safetensors::Header;
using safetensors::in_quotes;
using safetensors::kStoredTypes;

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

constexpr uint64_t kLengthBytes = 8;

void check_names(const NamedTensors& tensors, const std::string& file) {
  std::unordered_set<std::string_view> names;
  for (const auto& [name, tensor] : tensors) {
    if (name == "__metadata__") fail("{}: no tensor can have the name {}", file, in_quotes(name));
    if (!tensor.defined()) fail("{}: tensor {} is undefined", file, in_quotes(name));
    if (!names.insert(name).second) fail("{}: the name {} occurs twice", file, in_quotes(name));
  }
}

/// Indices of the tensors in the order of their data: a larger element first, so that each is aligned.
std::vector<size_t> data_order(const NamedTensors& tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(tensors[a].tensor.dtype()) > size_of(tensors[b].tensor.dtype());
  });
  return order;
}

Header describe(const NamedTensors& tensors, const std::vector<size_t>& order, const Metadata& metadata) {
  Header header{.entries = std::vector<Entry>(tensors.size()), .metadata = metadata};
  uint64_t offset = 0;
  for (const size_t index : order) {
    const std::string& name = tensors[index].name;
    const Tensor& tensor = tensors[index].tensor;
    const auto type = std::find_if(kStoredTypes.begin(), kStoredTypes.end(), [&](const auto& stored) {
      return stored.dtype == tensor.dtype() && !stored.converted;
    });
    const uint64_t bytes = static_cast<uint64_t>(tensor.elements()) * type->bytes;
    header.entries[index] = {name, &*type, tensor.shape(), offset, offset + bytes};
    offset += bytes;
  }
  return header;
}

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t fraction = half & 0x3ffu;
  if (exponent == 0) return std::copysign(std::ldexp(static_cast<float>(fraction), -24), sign ? -1.0f : 1.0f);
  const uint32_t wide_exponent = exponent == 31 ? 255 : exponent + (127 - 15);
  return std::bit_cast<float>(sign | wide_exponent << 23 | fraction << 13);
}

int32_t narrow(int64_t value, const Entry& entry, const std::string& file) {
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
    fail("{}: tensor {} holds {}, which does not fit into 32 bits", file, in_quotes(entry.name), value);
  }
  return static_cast<int32_t>(value);
}

/// `count` elements at `stored` into `target`, from the first of it on.
void convert(const Entry& entry, const std::byte* stored, void* target, size_t count,
             const std::string& file) {
  for (size_t i = 0; i < count; ++i) {
    if (entry.type->code == "F16") {
      uint16_t half;
      std::memcpy(&half, stored + i * sizeof half, sizeof half);
      static_cast<float*>(target)[i] = half_to_float(half);
    } else if (entry.type->code == "I64") {
      int64_t value;
      std::memcpy(&value, stored + i * sizeof value, sizeof value);
      static_cast<int32_t*>(target)[i] = narrow(value, entry, file);
    } else {
      const auto value = std::to_integer<uint8_t>(stored[i]);
      if (value > 1) fail("{}: tensor {} of BOOL holds {}", file, in_quotes(entry.name), value);
      static_cast<uint8_t*>(target)[i] = value;
    }
  }
}

Tensor read_tensor(const FileReader& file, const Entry& entry, uint64_t data_start) {
  Tensor tensor(entry.shape, entry.type->dtype);
  const uint64_t start = data_start + entry.first;
  if (!entry.type->converted) {
    file.read_at(start, tensor.raw(), entry.last - entry.first);
    return tensor;
  }
  constexpr size_t kChunk = 1 << 16;
  const auto elements = static_cast<size_t>(tensor.elements());
  std::vector<std::byte> stored(std::min(kChunk, elements) * entry.type->bytes);
  for (size_t done = 0; done < elements; done += kChunk) {
    const size_t count = std::min(kChunk, elements - done);
    file.read_at(start + done * entry.type->bytes, stored.data(), count * entry.type->bytes);
    convert(entry, stored.data(), static_cast<char*>(tensor.raw()) + done * size_of(tensor.dtype()), count,
            file.path().string());
  }
  return tensor;
}

}  // namespace

const Tensor& SafetensorsContents::at(std::string_view name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  if (found == tensors.end()) fail("there is no tensor {}", in_quotes(name));
  return found->tensor;
}

void write_safetensors(FileWriter& file, const NamedTensors& tensors, const Metadata& metadata) {
  check_names(tensors, file.path().string());
  const std::vector<size_t> order = data_order(tensors);
  std::string json = print_header(describe(tensors, order, metadata), file.path());
  while (json.size() % kLengthBytes != 0) json += ' ';
  if (json.size() > safetensors::kMaxHeaderBytes) {
    fail("{}: the names of {} tensors make a header of over 100 MB", file.path().string(), tensors.size());
  }
  const uint64_t length = json.size();
  file.append(&length, sizeof length);
  file.append(json);
  for (const size_t index : order) {
    const Tensor dense = contiguous(to(tensors[index].tensor, Device::cpu));
    file.append(dense.raw(), static_cast<size_t>(dense.elements()) * size_of(dense.dtype()));
  }
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata) {
  FileWriter file(unfinished_name(path));
  write_safetensors(file, tensors, metadata);
  file.finish_as(path);
}

Header safetensors::read_header(const FileReader& file) {
  const std::string name = file.path().string();
  uint64_t length = 0;
  if (file.bytes() < kLengthBytes) {
    fail("{}: not a safetensors file: it has only {} bytes", name, file.bytes());
  }
  file.read_at(0, &length, sizeof length);
  if (length > file.bytes() - kLengthBytes) {
    fail("{}: not a safetensors file, or cut short: a header of {} bytes in a file of {}", name, length,
         file.bytes());
  }
  if (length > safetensors::kMaxHeaderBytes) fail("{}: a header of {} bytes is over 100 MB", name, length);
  std::string json(length, '\0');
  file.read_at(kLengthBytes, json.data(), length);
  Header header = parse_header(json, file.path());
  header.data_start = kLengthBytes + length;
  check_layout(header.entries, file.bytes() - header.data_start, file.path());
  return header;
}

SafetensorsContents read_safetensors(const std::filesystem::path& path) {
  const FileReader file(path);
  Header header = safetensors::read_header(file);
  SafetensorsContents contents;
  contents.metadata = std::move(header.metadata);
  for (const Entry& entry : header.entries) {
    contents.tensors.push_back({entry.name, read_tensor(file, entry, header.data_start)});
  }
  return contents;
}

void save_parameters(Module& module, const std::filesystem::path& path, const Metadata& metadata) {
  write_safetensors(path, state_tensors(module), metadata);
}

NameDifference load_parameters(Module& module, const std::filesystem::path& path, bool strict) {
  return copy_by_name(state_tensors(module), read_safetensors(path).tensors, strict, path.string());
}

}  // namespace haze
