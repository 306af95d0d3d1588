#include "haze/tools/tasks/control_corpus.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/tasks/text_annotations.h"
#include "haze/tools/text/text_file.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  if (!file) fail("{}: the file cannot be opened: {}", path.string(), std::strerror(errno));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(std::move(line));
  return lines;
}

// Line i of a file beside the texts. Throws Error where there are not as many.
std::vector<std::string> lines_beside(const TextFile& texts, const fs::path& path) {
  std::vector<std::string> lines = lines_of(path);
  if (std::ssize(lines) != texts.size()) {
    fail("{}: it has {} lines, and {} has {} texts", path.string(), lines.size(), texts.path().string(),
         texts.size());
  }
  return lines;
}

// Reads train.tags into the texts of train.txt.
void add_tags(const TextFile& file, std::vector<AnnotatedText>& texts) {
  std::vector<std::vector<std::string>> tags =
      TextAnnotations::read(file.path(), Annotation::tags, file.size()).tags;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (tags[i].size() != texts[i].words.size()) {
      fail("{}:{}: there are {} tags for the text's {} words",
           annotation_file(file.path(), Annotation::tags).string(), i + 1, tags[i].size(),
           texts[i].words.size());
    }
    texts[i].tags = std::move(tags[i]);
  }
}

// Reads train.trees likewise.
void add_trees(const TextFile& file, std::vector<AnnotatedText>& texts) {
  const fs::path path = annotation_file(file.path(), Annotation::trees);
  const std::vector<std::string> lines = lines_beside(file, path);
  for (size_t i = 0; i < texts.size(); ++i) {
    BracketedText tree;
    try {
      tree = read_corpus_tree(lines[i]);
    } catch (const Error& error) {
      fail("{}:{}: {}", path.string(), i + 1, error.what());
    }
    if (tree.words != texts[i].words)
      fail("{}:{}: the tree has other words than the text", path.string(), i + 1);
    texts[i].constituents = std::move(tree.constituents);
  }
}

}  // namespace

std::vector<AnnotatedText> annotated_texts(const fs::path& folder, const std::string& part,
                                           const std::vector<ControlKind>& kinds) {
  const TextFile file(folder / (part + ".txt"), {.format = TextFormat::e2e});
  std::vector<AnnotatedText> texts;
  for (int64_t i = 0; i < file.size(); ++i) {
    const Record record = file.record(i);
    texts.push_back({.fields = record.fields, .words = split_words(record.target)});
  }
  const auto asks_for = [&](ControlKind kind) {
    return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  };
  if (asks_for(ControlKind::pos)) add_tags(file, texts);
  if (asks_for(ControlKind::tree) || asks_for(ControlKind::span)) add_trees(file, texts);
  return texts;
}

std::string controlled_lines(const std::vector<AnnotatedText>& texts, const std::vector<ControlKind>& kinds,
                             uint64_t seed) {
  if (kinds.empty()) fail("controls: no kind is asked for");
  std::string lines;
  for (size_t i = 0; i < texts.size(); ++i) {
    Generator generator(seed, i);
    const auto kind = static_cast<size_t>(generator.uniform() * static_cast<double>(kinds.size()));
    const auto choice = static_cast<uint64_t>(generator.uniform() * static_cast<double>(1 << 30));
    const std::optional<ControlTarget> target = target_from(kinds[kind], texts[i], choice);
    if (!target) continue;
    const nlohmann::ordered_json line{{"src", target->written()},
                                      {"trg", fmt::format("{}", fmt::join(texts[i].words, " "))}};
    lines += line.dump() + '\n';
  }
  if (lines.empty()) fail("controls: no text has any of what is asked for");
  return lines;
}

}  // namespace haze
