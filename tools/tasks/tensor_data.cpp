#include "haze/tools/tasks/tensor_data.h"

#include <algorithm>

#include "haze/engine/ops.h"
#include "haze/nn/file_io.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/tasks/digits.h"
#include "haze/tools/tasks/idx_file.h"
#include "haze/tools/tasks/png_folder.h"
#include "haze/tools/tasks/point_sets.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

// Streams of the run's seed for the parts, far from those of training.
constexpr uint64_t kFirstPartStream = uint64_t{1} << 61;

const std::string& set_of(const Settings& settings) {
  return settings.text("data.set");
}

bool is_of_points(const Settings& settings) {
  const std::vector<std::string> names = point_set_names();
  return std::find(names.begin(), names.end(), set_of(settings)) != names.end();
}

uint64_t seed_of(const Settings& settings) {
  return static_cast<uint64_t>(settings.integer("train.seed"));
}

uint64_t stream_of(Part part) {
  return kFirstPartStream + static_cast<uint64_t>(part);
}

// The most examples that the settings let a part have; of a drawn set, those it has.
int64_t most_of_part(const Settings& settings, Part part) {
  return settings.integer(part == Part::train ? "data.train_size" : "data.valid_size");
}

Tensor indices_tensor(std::span<const int64_t> indices) {
  return Tensor::from(std::vector<int32_t>(indices.begin(), indices.end()), {std::ssize(indices)});
}

class PointExamples : public Examples {
 public:
  explicit PointExamples(LabelledPoints points) : points_(std::move(points)) {}

  int64_t size() const override { return points_.values.size(0); }
  int64_t rows(int64_t) const override { return 1; }
  Batch batch(std::span<const int64_t> indices) const override {
    const Tensor rows = indices_tensor(indices);
    Batch batch;
    batch.values = index_select(points_.values, 0, rows);
    if (points_.labels.defined()) batch.labels = index_select(points_.labels, 0, rows);
    return batch;
  }

 private:
  LabelledPoints points_;
};

class ImageExamples : public Examples {
 public:
  explicit ImageExamples(ImageSet images) : images_(std::move(images)) {}

  int64_t size() const override { return images_.count(); }
  // A network of images holds dozens of numbers for each pixel: 16 pixels are as much as a token.
  int64_t rows(int64_t) const override { return std::max<int64_t>(images_.image_size() / 16, 1); }
  Batch batch(std::span<const int64_t> indices) const override {
    Batch batch;
    batch.values = values_of_images(images_, indices);
    if (images_.labels.empty()) return batch;
    std::vector<int32_t> labels;
    for (const int64_t index : indices) labels.push_back(images_.labels[static_cast<size_t>(index)]);
    batch.labels = Tensor::from(labels, {std::ssize(labels)});
    return batch;
  }

 private:
  ImageSet images_;
};

// Images of a file of MNIST: which of them a part has.
struct ImageRange {
  MnistFiles files;
  int64_t first = 0, last = 0;
};

ImageRange mnist_range(const Settings& settings, Part part) {
  ImageRange range{mnist_files(settings.text("data.folder"), part == Part::test ? "t10k" : "train")};
  const int64_t count = read_idx_image_extents(range.files.images)[0];
  range.last = count;
  if (part == Part::test) return range;
  const int64_t valid = settings.integer("data.valid_size");
  if (valid >= count) {
    fail("{}: data.valid_size {} leaves none of its {} images to train on", range.files.images.string(),
         valid, count);
  }
  if (part == Part::valid) {
    range.first = count - valid;
  } else {
    range.last = std::min(count - valid, settings.integer("data.train_size"));
  }
  return range;
}

std::vector<fs::path> png_files_of(const Settings& settings, Part part) {
  std::vector<fs::path> files = png_files(settings.text("data.folder"), part);
  if (part == Part::test) return files;
  const auto most = static_cast<size_t>(most_of_part(settings, part));
  if (files.size() > most) files.resize(most);
  return files;
}

ImageSet images_of(const Settings& settings, Part part) {
  if (set_of(settings) == "digits")
    return draw_digits(most_of_part(settings, part), seed_of(settings), stream_of(part));
  if (set_of(settings) == "png") return read_png_files(png_files_of(settings, part));
  const ImageRange range = mnist_range(settings, part);
  return images_between(read_mnist(range.files), range.first, range.last);
}

int64_t count_of(const Settings& settings, Part part) {
  if (!is_from_folder(settings)) return most_of_part(settings, part);
  if (set_of(settings) == "png") return std::ssize(png_files_of(settings, part));
  const ImageRange range = mnist_range(settings, part);
  return range.last - range.first;
}

std::string png_fingerprint(const std::vector<fs::path>& files) {
  uint32_t checksum = 0;
  for (const fs::path& file : files) {
    const std::string name = file.filename().string(), contents = read_whole_file(file);
    checksum = crc32(name.data(), name.size(), checksum);
    checksum = crc32(contents.data(), contents.size(), checksum);
  }
  return fmt::format("{} PNG files, CRC-32 {:08x}", files.size(), checksum);
}

DataFacts image_facts(int64_t channels, int64_t height, int64_t width, int64_t labels) {
  DataFacts facts;
  facts.value_shape = {channels, height, width};
  facts.value_levels = kPixelLevels;
  facts.labels = labels;
  return facts;
}

// One image of each part is read: a part that is missing, or of other images, is no surprise after training.
DataFacts png_facts(const fs::path& folder) {
  std::vector<fs::path> first_of_parts;
  for (const Part part : {Part::train, Part::valid, Part::test})
    first_of_parts.push_back(png_files(folder, part).front());
  const ImageSet images = read_png_files(first_of_parts);
  return image_facts(images.channels, images.height, images.width, 0);
}

// The heads of all four files are read, for the same reason.
DataFacts mnist_facts(const fs::path& folder) {
  const MnistFiles train = mnist_files(folder, "train"), test = mnist_files(folder, "t10k");
  const auto [count, rows, columns] = read_mnist_extents(train);
  const auto [test_count, test_rows, test_columns] = read_mnist_extents(test);
  if (rows != test_rows || columns != test_columns) {
    fail("{}: its images are of {} x {} pixels, and those of {} are of {} x {}", test.images.string(),
         test_rows, test_columns, train.images.string(), rows, columns);
  }
  return image_facts(1, rows, columns, 10);
}

}  // namespace

SettingsTable tensor_settings() {
  std::vector<std::string> sets = point_set_names();
  sets.insert(sets.end(), {"digits", "mnist", "png"});
  return {
      choice_setting("data.task", "tensors", {"tensors"}, "what is learnt"),
      choice_setting("data.set", "eight-gaussians", sets, "points of the plane, or images"),
      since(3, text_setting("data.folder", "", "of mnist's four files, or of the PNG files of png")),
      integer_setting("data.train_size", 20000, between(1, 1e9),
                      "examples to train on; of a folder at most so many"),
      integer_setting(
          "data.valid_size", 2000, between(1, 1e9),
          "examples to evaluate on, and to test on where they are drawn; of mnist the last ones of "
          "the training file"),
      since(3, text_setting("data.judge", "",
                            "run of a classifier in whose features haze eval compares samples; empty: none")),
  };
}

void check_tensor_data(const Settings& settings) {
  if (is_from_folder(settings) == settings.text("data.folder").empty()) {
    fail(
        "data.folder and data.set {} {}: the sets mnist and png are read from a folder, the others are drawn",
        set_of(settings), is_from_folder(settings) ? "go together" : "exclude one another");
  }
}

bool is_from_folder(const Settings& settings) {
  return set_of(settings) == "mnist" || set_of(settings) == "png";
}

DataFacts tensor_facts(const Settings& settings) {
  DataFacts facts;
  if (is_of_points(settings)) {
    facts.value_shape = {2};
    facts.labels = point_set_labels(set_of(settings));
    return facts;
  }
  if (set_of(settings) == "digits") return image_facts(1, kDigitSide, kDigitSide, 10);
  return set_of(settings) == "png" ? png_facts(settings.text("data.folder"))
                                   : mnist_facts(settings.text("data.folder"));
}

std::unique_ptr<Examples> tensor_examples(const Settings& settings, Part part) {
  if (!is_of_points(settings)) return std::make_unique<ImageExamples>(images_of(settings, part));
  Generator generator(seed_of(settings), stream_of(part));
  return std::make_unique<PointExamples>(
      draw_labelled_points(set_of(settings), most_of_part(settings, part), generator));
}

std::string tensor_origin(const Settings& settings, Part part) {
  const std::string place =
      is_from_folder(settings) ? fmt::format(" of {}", settings.text("data.folder")) : "";
  return fmt::format("{}{}, {} {}", set_of(settings), place, count_of(settings, part),
                     is_of_points(settings) ? "points" : "images");
}

std::string tensor_fingerprint(const Settings& settings, Part part) {
  if (!is_from_folder(settings))
    return fmt::format("{}, seed {}", tensor_origin(settings, part), settings.integer("train.seed"));
  if (set_of(settings) == "png") return png_fingerprint(png_files_of(settings, part));
  const ImageRange range = mnist_range(settings, part);
  return fmt::format("images {} to {} of {}; labels {}", range.first, range.last,
                     fingerprint_of(range.files.images), fingerprint_of(range.files.labels));
}

}  // namespace haze
