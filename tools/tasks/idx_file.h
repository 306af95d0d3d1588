#pragma once

#include <array>
#include <filesystem>

#include "haze/tools/tasks/image_set.h"

namespace haze {

/// IDX files, the format of MNIST (LeCun et al. 1998), plain or compressed by gzip. A magic number says the
/// type and the number of axes. The axes' extents follow, all big-endian, then the bytes. All functions throw
/// Error, with the file's name, on a file that is missing, truncated, longer than it says, or another thing.

/// Images of a file of three axes: [images, rows, columns], each a byte. They have one channel and no labels.
ImageSet read_idx_images(const std::filesystem::path& path);

/// Images, rows and columns, as the head of such a file says.
std::array<int64_t, 3> read_idx_image_extents(const std::filesystem::path& path);

/// Labels of a file of one axis: each a digit from 0 to 9. They may take 2 GiB of memory, as images may.
std::vector<int32_t> read_idx_labels(const std::filesystem::path& path);

/// A folder of MNIST's four files, of which each may end in ".gz".
struct MnistFiles {
  std::filesystem::path images, labels;
};
/// Those of 60,000 images to learn from ("train"), or of 10,000 to test on ("t10k"). Throws Error where one
/// is missing.
MnistFiles mnist_files(const std::filesystem::path& folder, const std::string& part);

/// Images, rows and columns, as the heads say. Throws Error where the files speak of different numbers of
/// images and labels.
std::array<int64_t, 3> read_mnist_extents(const MnistFiles& files);

/// Images with labels. Throws Error as read_mnist_extents(), before it reads either file.
ImageSet read_mnist(const MnistFiles& files);

}  // namespace haze
