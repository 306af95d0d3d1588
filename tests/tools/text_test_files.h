#pragma once

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <stdlib.h>

#include "haze/engine/error.h"

namespace haze::text_test {

/// A folder of a test's own, removed with what is in it.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "haze_text_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) fail("cannot make the test folder {}", name);
    path_ = name;
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::filesystem::path path(std::string_view name) const { return path_ / name; }

  std::filesystem::path write(std::string_view name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

  /// The sentence of the Error that `action` throws, without this folder's path; "" where it throws none.
  template <typename Action>
  std::string error_of(Action action) const {
    try {
      action();
    } catch (const Error& error) {
      std::string sentence = error.what();
      const std::string prefix = path_.string() + "/";
      if (const size_t at = sentence.find(prefix); at != std::string::npos) sentence.erase(at, prefix.size());
      return sentence;
    }
    return "";
  }

 private:
  std::filesystem::path path_;
};

/// A file of the shared data (the folder HAZE_SHARED_DATA, or ../shared/data), where it is there.
inline std::optional<std::filesystem::path> shared_data(std::string_view name) {
  const char* folder = getenv("HAZE_SHARED_DATA");
  const std::filesystem::path path = std::filesystem::path(folder ? folder : "../shared/data") / name;
  if (std::filesystem::exists(path)) return path;
  MESSAGE("skipped: " << path.string() << " is not there");
  return std::nullopt;
}

}  // namespace haze::text_test
