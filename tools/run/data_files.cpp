#include "haze/tools/run/data_files.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/nn/file_io.h"
#include "haze/nn/nesting.h"
#include "haze/tools/corpus/corpus.h"

namespace haze {
namespace {

/// Whether the folder holds the corpus of these options, and all of it. A run that was killed before its
/// first checkpoint and is begun anew may have left that of other settings.
bool holds_corpus(const std::filesystem::path& folder, const CorpusOptions& options) {
  const std::filesystem::path statistics = folder / "statistics.json";
  if (!std::filesystem::is_regular_file(statistics)) return false;
  const std::string text = read_whole_file(statistics);
  require_shallow(text, statistics.string());
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("seed", uint64_t{0}) != options.seed) return false;
  const auto texts = [&](const char* pointer) {
    const nlohmann::json::json_pointer path(pointer);
    return json.contains(path) ? json[path] : nlohmann::json();
  };
  return texts("/parts/train/texts") == options.train && texts("/parts/valid/texts") == options.valid &&
         texts("/parts/test/texts") == options.test;
}

/// Whether data.train serves for evaluation too.
bool is_one_file(const Settings& settings) {
  return !settings.text("data.train").empty() && settings.text("data.valid").empty();
}

}  // namespace

DataFiles data_files(const Settings& settings, const std::filesystem::path& folder) {
  if (!settings.text("data.train").empty())
    return {settings.text("data.train"), data_file(settings, folder, Part::valid)};
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
      if (built_in) return folder / "valid.txt";
      return settings.text(is_one_file(settings) ? "data.train" : "data.valid");
    case Part::test:
      break;
  }
  if (built_in) return folder / "test.txt";
  const std::string& test = settings.text("data.test");
  if (test.empty()) return data_file(settings, folder, Part::valid);
  return test;
}

TextFileOptions text_file_options(const Settings& settings) {
  return {.format = text_format(settings.text("data.format")),
          .max_line_bytes = settings.integer("data.max_line_bytes")};
}

TextFileOptions text_file_options(const Settings& settings, Part part) {
  TextFileOptions options = text_file_options(settings);
  const bool is_own = part == Part::test && !settings.text("data.test").empty();
  if (is_one_file(settings) && !is_own)
    options.part = part == Part::train ? FilePart::all_but_tenth : FilePart::tenth;
  return options;
}

std::string fingerprint_of(const std::filesystem::path& path) {
  const FileReader file(path);
  return fmt::format("{} bytes, CRC-32 {:08x}", file.bytes(), file.checksum());
}

}  // namespace haze
