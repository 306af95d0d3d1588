#include <algorithm>
#include <cctype>
#include <filesystem>

#include <doctest/doctest.h>

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

std::string in_lower_case(std::string text) {
  for (char& letter : text) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return text;
}

/// The models of this repository: those of the table that have a configuration here. Other tests of this
/// program add models of their own.
std::vector<std::string> names_of_models() {
  std::vector<std::string> names;
  for (const ModelRow& row : model_table()) {
    if (fs::exists(kRepository / row.configuration) && row.configuration.starts_with("configs/"))
      names.push_back(in_lower_case(row.info.name));
  }
  return names;
}

}  // namespace

// Strict: the name is looked for in any case and anywhere, within identifiers such as MdlmOptions, in paths
// of headers, in texts and in comments.
TEST_CASE("below and above the chapters no file names a model, but the table of models") {
  const std::vector<std::string> models = names_of_models();
  REQUIRE(models.size() >= 4);
  std::vector<std::string> naming;
  for (const char* layer : {"engine", "autograd", "nn", "tools"}) {
    const std::vector<std::string> files = sources_of(layer);
    CHECK_MESSAGE(files.size() > 10, layer);
    for (const std::string& file : files) {
      const std::string text = in_lower_case(file + "\n" + read_text(kRepository / file));
      const auto is_named = [&](const std::string& model) { return text.find(model) != std::string::npos; };
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
