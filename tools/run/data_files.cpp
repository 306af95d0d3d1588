#include "haze/tools/run/data_files.h"

#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/nn/file_io.h"
#include "haze/tools/corpus/corpus.h"

namespace haze {
namespace {

/// Whether the folder holds the corpus of these options, and all of it. A run that was killed before its
/// first checkpoint and is begun anew may have left that of other settings.
bool holds_corpus(const std::filesystem::path& folder, const CorpusOptions& options) {
  std::ifstream file(folder / "statistics.json");
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("seed", uint64_t{0}) != options.seed) return false;
  const auto texts = [&](const char* pointer) {
    const nlohmann::json::json_pointer path(pointer);
    return json.contains(path) ? json[path] : nlohmann::json();
  };
  return texts("/parts/train/texts") == options.train && texts("/parts/valid/texts") == options.valid &&
         texts("/parts/test/texts") == options.test;
}

}  // namespace

DataFiles data_files(const Settings& settings, const std::filesystem::path& folder) {
  if (!settings.text("data.train").empty()) return {settings.text("data.train"), settings.text("data.valid")};
  CorpusOptions options;
  options.seed = static_cast<uint64_t>(settings.integer("train.seed"));
  options.train = settings.integer("data.corpus_size");
  if (!holds_corpus(folder, options)) write_corpus(folder, options);
  return {folder / "train.txt", folder / "valid.txt"};
}

TextFileOptions text_file_options(const Settings& settings) {
  return {.format = text_format(settings.text("data.format")),
          .max_line_bytes = settings.integer("data.max_line_bytes")};
}

DataSet load_data_set(const std::filesystem::path& path, const Settings& settings,
                      const Tokenizer& tokenizer) {
  const TextFile file(path, text_file_options(settings));
  return DataSet(file, tokenizer,
                 {.max_length = static_cast<int32_t>(settings.integer("data.max_length")),
                  .layout = data_layout(settings.text("data.layout")),
                  .too_long = long_record(settings.text("data.too_long"))});
}

std::string fingerprint_of(const std::filesystem::path& path) {
  const FileReader file(path);
  return fmt::format("{} bytes, CRC-32 {:08x}", file.bytes(), file.checksum());
}

std::vector<std::span<const int32_t>> some_sequences(const DataSet& data, int64_t count) {
  std::vector<std::span<const int32_t>> result;
  const int64_t taken = std::min(count, data.size());
  for (int64_t i = 0; i < taken; ++i) result.push_back(data.sequence(i * data.size() / taken));
  return result;
}

}  // namespace haze
