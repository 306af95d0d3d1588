#include "haze/tools/run/data_files.h"

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

std::filesystem::path data_file(const Settings& settings, const std::filesystem::path& folder, Part part) {
  const bool built_in = settings.text("data.train").empty();
  switch (part) {
    case Part::train:
      return built_in ? folder / "train.txt" : std::filesystem::path(settings.text("data.train"));
    case Part::valid:
      return built_in ? folder / "valid.txt" : std::filesystem::path(settings.text("data.valid"));
    case Part::test:
      break;
  }
  if (built_in) return folder / "test.txt";
  const std::string& test = settings.text("data.test");
  return test.empty() ? settings.text("data.valid") : test;
}

TextFileOptions text_file_options(const Settings& settings) {
  return {.format = text_format(settings.text("data.format")),
          .max_line_bytes = settings.integer("data.max_line_bytes")};
}

std::string fingerprint_of(const std::filesystem::path& path) {
  const FileReader file(path);
  return fmt::format("{} bytes, CRC-32 {:08x}", file.bytes(), file.checksum());
}

}  // namespace haze
