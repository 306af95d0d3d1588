#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "haze/nn/safetensors.h"

namespace haze::safetensors {

/// The public package refuses a longer header too.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;

/// How elements are stored in a file, and the dtype they are read as.
struct StoredType {
  std::string_view code;
  size_t bytes;
  Dtype dtype;
  bool converted;  // stored differently from the dtype
};

inline constexpr std::array<StoredType, 8> kStoredTypes = {{{"F32", 4, Dtype::float32, false},
                                                            {"F64", 8, Dtype::float64, false},
                                                            {"BF16", 2, Dtype::bfloat16, false},
                                                            {"I32", 4, Dtype::int32, false},
                                                            {"U8", 1, Dtype::uint8, false},
                                                            {"F16", 2, Dtype::float32, true},
                                                            {"I64", 8, Dtype::int32, true},
                                                            {"BOOL", 1, Dtype::uint8, true}}};

/// One tensor of a header; its bytes are [first, last) of the data.
struct Entry {
  std::string name;
  const StoredType* type = nullptr;
  Shape shape;
  uint64_t first = 0;
  uint64_t last = 0;
};

struct Header {
  std::vector<Entry> entries;
  Metadata metadata;
  uint64_t data_start = 0;  // where the data begin in the file; of a header that was read
};

/// A text as it can stand in an error: quoted, control characters escaped, shortened to 100 bytes.
std::string in_quotes(std::string_view text);

/// The header as JSON. Throws Error where a text is not UTF-8.
std::string print_header(const Header& header, const std::filesystem::path& path);

/// The header behind `json`. Throws Error as read_safetensors() does.
Header parse_header(std::string_view json, const std::filesystem::path& path);

/// The header of a file, whose tensors are not read. Throws Error as read_safetensors() does.
Header read_header(const FileReader& file);

/// Throws Error where the entries' ranges do not match their shapes or do not cover the data exactly once.
void check_layout(const std::vector<Entry>& entries, uint64_t data_bytes, const std::filesystem::path& path);

}  // namespace haze::safetensors
