#include "haze/tools/tasks/control_corpus.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"
#include "haze/tools/corpus/corpus.h"
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

}  // namespace

std::vector<AnnotatedText> annotated_texts(const fs::path& folder, const std::string& part) {
  const TextFile texts(folder / (part + ".txt"), {.format = TextFormat::e2e});
  const fs::path tag_file = folder / (part + ".tags"), tree_file = folder / (part + ".trees");
  const std::vector<std::string> tags = lines_beside(texts, tag_file), trees = lines_beside(texts, tree_file);
  std::vector<AnnotatedText> result;
  for (int64_t i = 0; i < texts.size(); ++i) {
    const Record record = texts.record(i);
    const auto line = static_cast<size_t>(i);
    AnnotatedText text{
        .fields = record.fields, .words = split_words(record.target), .tags = split_words(tags[line])};
    if (text.tags.size() != text.words.size()) {
      fail("{}:{}: there are {} tags for the text's {} words", tag_file.string(), i + 1, text.tags.size(),
           text.words.size());
    }
    BracketedText tree;
    try {
      tree = read_corpus_tree(trees[line]);
    } catch (const Error& error) {
      fail("{}:{}: {}", tree_file.string(), i + 1, error.what());
    }
    if (tree.words != text.words)
      fail("{}:{}: the tree has other words than the text", tree_file.string(), i + 1);
    text.constituents = std::move(tree.constituents);
    result.push_back(std::move(text));
  }
  return result;
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
