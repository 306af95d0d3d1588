#include "haze/tools/tasks/png_folder.h"

#include "haze/tools/tasks/png_file.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = int64_t{1} << 31;

const char* name_of(Part part) {
  if (part == Part::train) return "train";
  return part == Part::valid ? "valid" : "test";
}

bool has_subfolders(const fs::path& folder) {
  for (const Part part : {Part::train, Part::valid, Part::test}) {
    if (fs::is_directory(folder / name_of(part))) return true;
  }
  return false;
}

bool is_png_name(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".png" || extension == ".PNG";
}

std::vector<fs::path> sorted_png_files(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (is_png_name(entry->path())) files.push_back(entry->path());
  }
  if (error) fail("{}: the folder cannot be read: {}", folder.string(), error.message());
  std::sort(files.begin(), files.end());
  return files;
}

Part part_of_file(size_t index) {
  if (index % 10 == 0) return Part::valid;
  return index % 10 == 1 ? Part::test : Part::train;
}

std::string described(const PngImage& image) {
  return fmt::format("{} x {} pixels, {}", image.width, image.height,
                     image.channels == 1 ? "gray" : "in colour");
}

// PNG holds the channels of a pixel side by side, a tensor one channel after another.
void append_channels(const PngImage& image, std::vector<uint8_t>& pixels) {
  for (int64_t channel = 0; channel < image.channels; ++channel) {
    for (size_t i = static_cast<size_t>(channel); i < image.pixels.size();
         i += static_cast<size_t>(image.channels))
      pixels.push_back(image.pixels[i]);
  }
}

}  // namespace

std::vector<fs::path> png_files(const fs::path& folder, Part part) {
  if (!fs::is_directory(folder)) fail("{}: there is no such folder", folder.string());
  if (has_subfolders(folder)) {
    const fs::path subfolder = folder / name_of(part);
    if (!fs::is_directory(subfolder)) {
      fail("{}: there is no such folder, and where one of the parts train, valid and test has one, all have",
           subfolder.string());
    }
    std::vector<fs::path> files = sorted_png_files(subfolder);
    if (files.empty()) fail("{}: there is no PNG file in it", subfolder.string());
    return files;
  }
  const std::vector<fs::path> all = sorted_png_files(folder);
  std::vector<fs::path> files;
  for (size_t i = 0; i < all.size(); ++i) {
    if (part_of_file(i) == part) files.push_back(all[i]);
  }
  if (files.empty()) {
    fail(
        "{}: {} PNG files are too few: every tenth is of the part valid, the next of test, the others of "
        "train",
        folder.string(), all.size());
  }
  return files;
}

ImageSet read_png_files(const std::vector<fs::path>& files) {
  ImageSet set;
  std::string first;
  for (const fs::path& file : files) {
    const PngImage image = read_png(file);
    if (first.empty()) {
      first = described(image);
      set.channels = image.channels;
      set.height = image.height;
      set.width = image.width;
      if (std::ssize(files) > kMostBytes / set.image_size()) {
        fail("{}: {} images as large as this one are more than the {} bytes that are read", file.string(),
             files.size(), kMostBytes);
      }
    } else if (described(image) != first) {
      fail("{}: the image is {}; {} is {}, and all have to be alike", file.string(), described(image),
           files.front().string(), first);
    }
    append_channels(image, set.pixels);
  }
  return set;
}

}  // namespace haze
