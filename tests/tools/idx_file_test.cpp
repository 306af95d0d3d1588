#include "haze/tools/tasks/idx_file.h"

#include <doctest/doctest.h>

#include "error_of.h"
#include "idx_files.h"

using namespace haze;
using namespace haze::testing;

namespace {

/// The sentence about a file of images with these bytes, without the file's name.
std::string images_error(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = (folder / "images").string();
  write_text(path, bytes);
  const std::string error = error_of([&] { read_idx_images(path); });
  CHECK(error.starts_with(path + ": "));
  return error.substr(std::min(error.size(), path.size() + 2));
}

std::string labels_error(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = (folder / "labels").string();
  write_text(path, bytes);
  const std::string error = error_of([&] { read_idx_labels(path); });
  CHECK(error.starts_with(path + ": "));
  return error.substr(std::min(error.size(), path.size() + 2));
}

}  // namespace

TEST_CASE("MNIST's files are read, plain and compressed, with each label beside its image") {
  const TemporaryFolder folder;
  write_mnist(folder.path(), 12, 5);
  const ImageSet plain = read_mnist(mnist_files(folder.path(), "train"));
  CHECK(plain.count() == 12);
  CHECK(plain.channels == 1);
  CHECK(plain.height == 4);
  CHECK(plain.width == 3);
  for (size_t i = 0; i < 12; ++i) {
    CHECK(plain.labels[i] == static_cast<int32_t>(i % 10));
    for (size_t j = 0; j < 12; ++j) CHECK(plain.pixels[12 * i + j] == 7 * i + j);
  }
  CHECK(read_mnist(mnist_files(folder.path(), "t10k")).count() == 5);
  for (const char* name : {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}) {
    write_gzip((folder / name).string() + ".gz", read_text(folder / name));
    std::filesystem::remove(folder / name);
  }
  const ImageSet compressed = read_mnist(mnist_files(folder.path(), "train"));
  CHECK(compressed.pixels == plain.pixels);
  CHECK(compressed.labels == plain.labels);
}

TEST_CASE("a file that is no IDX file of images, or another size than it says, is one sentence") {
  const std::string good = idx_images(3, 4, 3);
  CHECK(images_error("") == "the file is truncated in its head");
  CHECK(images_error(good.substr(0, 15)) == "the file is truncated in its head");
  CHECK(images_error(good.substr(0, good.size() - 1)) ==
        "the file is truncated: its head speaks of 36 bytes, and 35 are there");
  CHECK(images_error(good + "x") == "the file is longer than the 36 bytes that its head speaks of");
  CHECK(images_error(idx_labels(30)) ==
        "it is no IDX file of images: it begins with 0x00000801, not 0x00000803");
  CHECK(images_error("PK it is a zip file") ==
        "it is no IDX file of images: it begins with 0x504b2069, not 0x00000803");
  CHECK(images_error(idx_images(0, 4, 3)) == "there is no image in it");
  CHECK(images_error(big_endian(0x0803) + big_endian(1) + big_endian(0) + big_endian(3)) ==
        "images of 0 x 3 pixels are not read, only sides of 1 to 1024");
  CHECK(images_error(big_endian(0x0803) + big_endian(1) + big_endian(5000) + big_endian(3)) ==
        "images of 5000 x 3 pixels are not read, only sides of 1 to 1024");
}

TEST_CASE("a head that speaks of gigabytes takes no memory for what is not there") {
  const std::string head = big_endian(0x0803) + big_endian(2'000'000) + big_endian(32) + big_endian(32);
  CHECK(images_error(head + "ab") ==
        "the file is truncated: its head speaks of 2048000000 bytes, and 2 are there");
  const std::string huge = big_endian(0x0803) + big_endian(0xffffffff) + big_endian(1024) + big_endian(1024);
  CHECK(images_error(huge) ==
        "4294967295 images of 1024 x 1024 pixels are more than the 2147483648 bytes that are read");
}

TEST_CASE("labels beyond 9, too few of them or too many are one sentence") {
  const std::string good = idx_labels(12);
  CHECK(labels_error(good.substr(0, 19)) ==
        "the file is truncated: its head speaks of 12 bytes, and 11 are there");
  CHECK(labels_error(good + "x") == "the file is longer than the 12 bytes that its head speaks of");
  CHECK(labels_error(idx_images(1, 1, 1)) ==
        "it is no IDX file of labels: it begins with 0x00000803, not 0x00000801");
  CHECK(labels_error(big_endian(0x0801) + big_endian(2) + "\x09\x0a") ==
        "label 1 is 10, and there are the digits 0 to 9");
  const TemporaryFolder folder;
  write_mnist(folder.path(), 12, 5);
  write_text(folder / "train-labels-idx1-ubyte", idx_labels(11));
  CHECK(error_of([&] { read_mnist(mnist_files(folder.path(), "train")); }) ==
        (folder / "train-labels-idx1-ubyte").string() + " holds 11 labels, and " +
            (folder / "train-images-idx3-ubyte").string() + " 12 images");
}

TEST_CASE("labels that would take more memory than images may are refused by their head") {
  const std::string zeros(1 << 20, '\0');
  CHECK(labels_error(big_endian(0x0801) + big_endian(0xffffffff) + zeros) ==
        "4294967295 labels of 4 bytes are more than the 2147483648 bytes that are read");
  CHECK(labels_error(big_endian(0x0801) + big_endian((1u << 29) + 1) + zeros) ==
        "536870913 labels of 4 bytes are more than the 2147483648 bytes that are read");
  CHECK(labels_error(big_endian(0x0801) + big_endian(1u << 29) + zeros) ==
        "the file is truncated: its head speaks of 536870912 bytes, and 1048576 are there");
}

TEST_CASE("heads of different numbers of images and labels are refused before either file is read") {
  const TemporaryFolder folder;
  write_mnist(folder.path(), 12, 5);
  // Both files are truncated: a reader of what follows the heads would say so.
  write_text(folder / "train-images-idx3-ubyte", idx_images(12, 4, 3).substr(0, 16));
  write_text(folder / "train-labels-idx1-ubyte", big_endian(0x0801) + big_endian(500'000'000));
  CHECK(error_of([&] { read_mnist(mnist_files(folder.path(), "train")); }) ==
        (folder / "train-labels-idx1-ubyte").string() + " holds 500000000 labels, and " +
            (folder / "train-images-idx3-ubyte").string() + " 12 images");
}

TEST_CASE("a damaged compressed file, a missing one and a folder are one sentence") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "images.gz";
  write_gzip(path, idx_images(50, 8, 8));
  const std::string whole = read_text(path);
  write_text(path, whole.substr(0, whole.size() / 2));
  CHECK(error_of([&] { read_idx_images(path); }).find("the file is truncated") != std::string::npos);
  std::string damaged = whole;
  for (size_t i = 20; i < 40; ++i) damaged[i] = static_cast<char>(0xff);
  write_text(path, damaged);
  CHECK(error_of([&] { read_idx_images(path); }).find("the compressed file is damaged") != std::string::npos);
  CHECK(error_of([&] { read_idx_images(folder / "none"); }).find("cannot be opened") != std::string::npos);
  CHECK(error_of([&] { read_idx_images(folder.path()); }).find("it is a folder, not a file") !=
        std::string::npos);
  CHECK(error_of([&] { mnist_files(folder.path(), "train"); }) ==
        (folder / "train-images-idx3-ubyte").string() +
            ": the file is not there, nor is train-images-idx3-ubyte.gz");
  CHECK(error_of([&] { mnist_files(folder / "none", "train"); }) ==
        (folder / "none").string() + ": there is no such folder");
}
