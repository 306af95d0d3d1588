#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "haze/nn/file_io.h"
#include "haze/nn/named_tensors.h"

namespace haze {

/// Free text that a safetensors file carries beside its tensors.
using Metadata = std::map<std::string, std::string>;

/// The contents of a safetensors file; the tensors in the order of its header.
struct SafetensorsContents {
  NamedTensors tensors;
  Metadata metadata;

  /// Throws Error where there is no tensor of this name.
  const Tensor& at(std::string_view name) const;
};

/// Appends a safetensors file (https://github.com/huggingface/safetensors#format) to `file`: the length of
/// the header, the header (JSON, padded so that data starts at a multiple of 8), the tensors' bytes. Data are
/// laid out by falling element size, so that every tensor is aligned. The header keeps the order given.
/// float32 becomes F32, float64 F64, bfloat16 BF16, int32 I32, uint8 U8. Throws Error on an undefined tensor,
/// on a name that occurs twice, is "__metadata__" or is not UTF-8, and where the file cannot be written.
void write_safetensors(FileWriter& file, const NamedTensors& tensors, const Metadata& metadata = {});

/// Writes the file under a temporary name in the same folder, then renames it: at every moment `path` holds
/// what it held before or the whole new file. Throws as above.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                       const Metadata& metadata = {});

/// Reads a safetensors file. Besides the five types that are written it takes F16 (as float32), I64 (as
/// int32; a value outside its range is an Error) and BOOL (as uint8). Throws Error on everything that the
/// format does not allow, in one sentence that names the file and the tensor. That is a header longer than
/// the file or than 100 MB, malformed JSON, a name that occurs twice, or an unknown type. It is also offsets
/// that do not match the shape, overlap, leave bytes unused or end outside the file.
SafetensorsContents read_safetensors(const std::filesystem::path& path);

/// Writes the parameters and then the buffers of a module, under their names.
void save_parameters(Module& module, const std::filesystem::path& path, const Metadata& metadata = {});

/// Reads parameters and buffers into the module's own storage. Throws one Error that lists all missing,
/// unexpected and wrong-shaped names, and then has changed nothing; where not `strict`, missing and
/// unexpected names are returned instead.
NameDifference load_parameters(Module& module, const std::filesystem::path& path, bool strict = true);

}  // namespace haze
