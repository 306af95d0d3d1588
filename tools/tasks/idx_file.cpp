#include "haze/tools/tasks/idx_file.h"

#include <cerrno>
#include <cstring>

#include <zlib.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

// The third byte of a magic number is the type, 8: unsigned bytes; the fourth is the number of axes.
constexpr uint32_t kImagesMagic = 0x0803, kLabelsMagic = 0x0801;
constexpr int64_t kMostSide = 1024, kMostBytes = int64_t{1} << 31;

/// Reads a file from front to back, whether gzip has compressed it or not.
class ByteReader {
 public:
  explicit ByteReader(fs::path path) : path_(std::move(path)) {
    std::error_code ignored;
    if (fs::is_directory(path_, ignored)) fail("{}: it is a folder, not a file", path_.string());
    file_ = gzopen(path_.c_str(), "rb");
    if (!file_) fail("{}: the file cannot be opened: {}", path_.string(), std::strerror(errno));
  }
  ~ByteReader() { gzclose(file_); }
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  std::string name() const { return path_.string(); }

  uint32_t big_endian() {
    std::array<uint8_t, 4> bytes{};
    if (read(bytes.data(), bytes.size()) < std::ssize(bytes))
      fail("{}: the file is truncated in its head", name());
    uint32_t number = 0;
    for (const uint8_t byte : bytes) number = number << 8 | byte;
    return number;
  }

  /// The next `count` bytes, which have to be the last. Memory is taken as they come, not as the head says.
  std::vector<uint8_t> rest(int64_t count) {
    constexpr int64_t kPiece = 1 << 20;
    std::vector<uint8_t> bytes;
    while (std::ssize(bytes) < count) {
      const int64_t before = std::ssize(bytes), asked = std::min(kPiece, count - before);
      bytes.resize(static_cast<size_t>(before + asked));
      const int64_t got = read(bytes.data() + before, static_cast<size_t>(asked));
      if (got < asked) {
        fail("{}: the file is truncated: its head speaks of {} bytes, and {} are there", name(), count,
             before + got);
      }
    }
    uint8_t more = 0;
    if (read(&more, 1) > 0)
      fail("{}: the file is longer than the {} bytes that its head speaks of", name(), count);
    return bytes;
  }

 private:
  int64_t read(void* bytes, size_t count) {
    const int got = gzread(file_, bytes, static_cast<unsigned>(count));
    int code = Z_OK;
    const std::string message = gzerror(file_, &code);
    // A compressed file that ends early (Z_BUF_ERROR) is truncated like any other.
    if (code == Z_ERRNO) fail("{}: it cannot be read: {}", name(), std::strerror(errno));
    if (got < 0 && code != Z_BUF_ERROR) fail("{}: the compressed file is damaged: {}", name(), message);
    return std::max(got, 0);
  }

  fs::path path_;
  gzFile file_ = nullptr;
};

std::array<int64_t, 3> read_image_head(ByteReader& file) {
  if (const uint32_t magic = file.big_endian(); magic != kImagesMagic) {
    fail("{}: it is no IDX file of images: it begins with {:#010x}, not {:#010x}", file.name(), magic,
         kImagesMagic);
  }
  const int64_t count = file.big_endian(), rows = file.big_endian(), columns = file.big_endian();
  if (count == 0) fail("{}: there is no image in it", file.name());
  if (rows < 1 || rows > kMostSide || columns < 1 || columns > kMostSide)
    fail("{}: images of {} x {} pixels are not read, only sides of 1 to {}", file.name(), rows, columns,
         kMostSide);
  if (count > kMostBytes / (rows * columns)) {
    fail("{}: {} images of {} x {} pixels are more than the {} bytes that are read", file.name(), count, rows,
         columns, kMostBytes);
  }
  return {count, rows, columns};
}

int64_t read_label_head(ByteReader& file) {
  if (const uint32_t magic = file.big_endian(); magic != kLabelsMagic) {
    fail("{}: it is no IDX file of labels: it begins with {:#010x}, not {:#010x}", file.name(), magic,
         kLabelsMagic);
  }
  const int64_t count = file.big_endian();
  if (count > kMostBytes / static_cast<int64_t>(sizeof(int32_t))) {
    fail("{}: {} labels of {} bytes are more than the {} bytes that are read", file.name(), count,
         sizeof(int32_t), kMostBytes);
  }
  return count;
}

fs::path plain_or_compressed(const fs::path& path) {
  const fs::path compressed = path.string() + ".gz";
  if (fs::exists(path)) return path;
  if (fs::exists(compressed)) return compressed;
  fail("{}: the file is not there, nor is {}", path.string(), compressed.filename().string());
}

}  // namespace

ImageSet read_idx_images(const fs::path& path) {
  ByteReader file(path);
  const auto [count, rows, columns] = read_image_head(file);
  return {1, rows, columns, file.rest(count * rows * columns), {}};
}

std::array<int64_t, 3> read_idx_image_extents(const fs::path& path) {
  ByteReader file(path);
  return read_image_head(file);
}

std::vector<int32_t> read_idx_labels(const fs::path& path) {
  ByteReader file(path);
  const std::vector<uint8_t> bytes = file.rest(read_label_head(file));
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] > 9) fail("{}: label {} is {}, and there are the digits 0 to 9", file.name(), i, bytes[i]);
  }
  return {bytes.begin(), bytes.end()};
}

MnistFiles mnist_files(const fs::path& folder, const std::string& part) {
  if (!fs::is_directory(folder)) fail("{}: there is no such folder", folder.string());
  return {plain_or_compressed(folder / (part + "-images-idx3-ubyte")),
          plain_or_compressed(folder / (part + "-labels-idx1-ubyte"))};
}

std::array<int64_t, 3> read_mnist_extents(const MnistFiles& files) {
  const std::array<int64_t, 3> extents = read_idx_image_extents(files.images);
  ByteReader labels(files.labels);
  if (const int64_t count = read_label_head(labels); count != extents[0]) {
    fail("{} holds {} labels, and {} {} images", files.labels.string(), count, files.images.string(),
         extents[0]);
  }
  return extents;
}

ImageSet read_mnist(const MnistFiles& files) {
  read_mnist_extents(files);
  ImageSet set = read_idx_images(files.images);
  set.labels = read_idx_labels(files.labels);
  return set;
}

}  // namespace haze
