#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <zlib.h>

#include "temporary_folder.h"

namespace haze::testing {

inline std::string big_endian(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
  return bytes;
}

/// The bytes of an IDX file of images; pixel j of image i is (7 i + j) mod 256.
inline std::string idx_images(uint32_t count, uint32_t rows, uint32_t columns) {
  std::string bytes = big_endian(0x0803) + big_endian(count) + big_endian(rows) + big_endian(columns);
  for (uint32_t i = 0; i < count; ++i) {
    for (uint32_t j = 0; j < rows * columns; ++j) bytes += static_cast<char>((7 * i + j) % 256);
  }
  return bytes;
}

/// Those of labels; label i is i mod 10.
inline std::string idx_labels(uint32_t count) {
  std::string bytes = big_endian(0x0801) + big_endian(count);
  for (uint32_t i = 0; i < count; ++i) bytes += static_cast<char>(i % 10);
  return bytes;
}

/// MNIST's four files: `train` images of 4 x 3 pixels to learn from, `test` to test on.
inline void write_mnist(const std::filesystem::path& folder, uint32_t train, uint32_t test) {
  std::filesystem::create_directories(folder);
  write_text(folder / "train-images-idx3-ubyte", idx_images(train, 4, 3));
  write_text(folder / "train-labels-idx1-ubyte", idx_labels(train));
  write_text(folder / "t10k-images-idx3-ubyte", idx_images(test, 4, 3));
  write_text(folder / "t10k-labels-idx1-ubyte", idx_labels(test));
}

inline void write_gzip(const std::filesystem::path& path, const std::string& bytes) {
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

}  // namespace haze::testing
