#include <algorithm>
#include <cctype>
#include <filesystem>

#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include "haze/tools/run/models.h"
#include "haze/tools/run/training_settings.h"

#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;

namespace {

const fs::path kRepository = fs::path(HAZE_TEST_DATA).parent_path().parent_path();
/// The table of models.
const std::string kTable = "tools/run/models.cpp";

bool is_source(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".cpp" || extension == ".h" || extension == ".cu" || extension == ".cuh" ||
         extension == ".cmake" || path.filename() == "CMakeLists.txt";
}

/// Sources, headers and CMake files of a layer, in the order of their names, relative to the repository.
std::vector<std::string> sources_of(const std::string& layer) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(kRepository / layer)) {
    if (entry.is_regular_file() && is_source(entry.path()))
      files.push_back(fs::relative(entry.path(), kRepository).generic_string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool is_upper(char c) {
  return std::isupper(static_cast<unsigned char>(c)) != 0;
}
bool is_lower(char c) {
  return std::islower(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// Whether a word begins at text[at], a letter or digit that follows another: at a capital after a small
/// letter, and at the last of several capitals and digits before a small letter, as in "XMLFile". A plural,
/// as in "XMLs", is one word.
bool begins_word(const std::string& text, size_t at) {
  if (!is_upper(text[at])) return false;
  if (is_lower(text[at - 1])) return true;
  if (at + 1 == text.size() || !is_lower(text[at + 1])) return false;
  const bool plural = text[at + 1] == 's' && (at + 2 == text.size() || !is_lower(text[at + 2]));
  return !plural;
}

/// The words of a text in lower case. Letters and digits make them; all else ends them, the underscore
/// included, and so does a change of case within an identifier.
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  bool inside = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool belongs = is_upper(text[at]) || is_lower(text[at]) || is_digit(text[at]);
    if (belongs && (!inside || begins_word(text, at))) words.emplace_back();
    if (belongs) words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    inside = belongs;
  }
  return words;
}

/// Whether a word is this one, its plural, or it and a number.
bool is_form_of(const std::string& word, const std::string& name) {
  if (!word.starts_with(name)) return false;
  const std::string rest = word.substr(name.size());
  return rest == "s" || std::all_of(rest.begin(), rest.end(), is_digit);
}

/// Whether the words of `name` stand in `words` one after another, the last of them in any form.
bool holds_name(const std::vector<std::string>& words, const std::string& name) {
  const std::vector<std::string> parts = words_of(name);
  const auto same = [&](const std::string& word, const std::string& part) {
    return &part == &parts.back() ? is_form_of(word, part) : word == part;
  };
  return std::search(words.begin(), words.end(), parts.begin(), parts.end(), same) != words.end();
}

/// The models of this repository: those of the table that have a configuration here. Other tests of this
/// program add models of their own.
std::vector<std::string> names_of_models() {
  std::vector<std::string> names;
  for (const ModelRow& row : model_table()) {
    if (fs::exists(kRepository / row.configuration) && row.configuration.starts_with("configs/"))
      names.push_back(row.info.name);
  }
  return names;
}

}  // namespace

TEST_CASE("words end at all but letters and digits, and where the case changes") {
  const auto words = [](const std::string& text) {
    return fmt::format("{}", fmt::join(words_of(text), " "));
  };
  CHECK(words("") == "");
  CHECK(words("__ ;") == "");
  CHECK(words("mdlm_model(\"mdlm\");") == "mdlm model mdlm");
  CHECK(words("MdlmOptions kMdlm theMDLM") == "mdlm options k mdlm the mdlm");
  CHECK(words("DDPMSampler, DDPMs DDPMsAndMore") == "ddpm sampler ddpms ddpms and more");
  CHECK(words("D3PM D3PMs D3pm d3pmLoss x2Year") == "d3pm d3pms d3pm d3pm loss x2 year");
  CHECK(words("ScoreSde score_sde score-SDE") == "score sde score sde score sde");
  CHECK(words("began Organ") == "began organ");
}

TEST_CASE("a model's name is found in identifiers, paths, texts and comments, and not inside other words") {
  const auto found = [](const std::string& text, const std::string& name) {
    return holds_name(words_of(text), name);
  };
  for (const char* text : {"gan", "GAN", "Gan", "gan_model", "GanOptions", "kGan", "makeGANs", "GANLoss",
                           "\"gan\"", "gaussian/gan.h", "// a GAN's", "GANs", "gan2", "toy_gan", "[gan]"}) {
    CHECK_MESSAGE(found(text, "gan"), text);
  }
  for (const char* text : {"began", "organ", "gang", "Ganges", "organs", "slogan_of"})
    CHECK_FALSE_MESSAGE(found(text, "gan"), text);
  for (const char* text : {"score_sde", "ScoreSde", "score_sde_model", "kScoreSDEs"})
    CHECK_MESSAGE(found(text, "score_sde"), text);
  for (const char* text : {"score", "sde", "score_of_sde", "score_sdea"})
    CHECK_FALSE_MESSAGE(found(text, "score_sde"), text);
  for (const char* text : {"D3pmLoss", "D3PM", "kD3pm", "D3PMs"}) CHECK_MESSAGE(found(text, "d3pm"), text);
  CHECK(found("AutoregressiveModel", "autoregressive"));
}

// Strict: the name is looked for in any case, within identifiers such as MdlmOptions, in paths of headers, in
// texts and in comments.
TEST_CASE("below and above the chapters no file names a model, but the table of models") {
  const std::vector<std::string> models = names_of_models();
  REQUIRE(models.size() >= 4);
  std::vector<std::string> naming;
  for (const char* layer : {"engine", "autograd", "nn", "tools"}) {
    const std::vector<std::string> files = sources_of(layer);
    CHECK_MESSAGE(files.size() > 10, layer);
    for (const std::string& file : files) {
      const std::vector<std::string> words = words_of(file + "\n" + read_text(kRepository / file));
      const auto is_named = [&](const std::string& model) { return holds_name(words, model); };
      if (std::any_of(models.begin(), models.end(), is_named)) naming.push_back(file);
    }
  }
  CHECK(naming == std::vector<std::string>{kTable});
}

TEST_CASE("tools include headers of the chapters in the table of models alone") {
  std::vector<std::string> including;
  for (const std::string& file : sources_of("tools")) {
    const std::string text = read_text(kRepository / file);
    constexpr std::string_view kInclude = "#include \"haze/diffusion/";
    for (size_t at = text.find(kInclude); at != std::string::npos; at = text.find(kInclude, at + 1)) {
      const size_t begin = at + kInclude.size();
      const std::string header = text.substr(begin, text.find('"', begin) - begin);
      // What all chapters share lies in diffusion/ itself, a chapter in a folder below.
      if (header.find('/') != std::string::npos && (including.empty() || including.back() != file))
        including.push_back(file);
    }
  }
  CHECK(including == std::vector<std::string>{kTable});
}

TEST_CASE("the model that is trained where nothing names one is the first of the table") {
  CHECK(settings_from({}, {}).text("model") == model_table().front().info.name);
}

TEST_CASE("every model of the table has a configuration of its own that names it") {
  for (const ModelRow& row : model_table()) {
    if (!row.configuration.starts_with("configs/")) continue;
    CAPTURE(row.info.name);
    REQUIRE(fs::exists(kRepository / row.configuration));
    CHECK(settings_from(kRepository / row.configuration, {}).text("model") == row.info.name);
  }
}
