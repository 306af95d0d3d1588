#include "haze/tools/tasks/png_file.h"

#include <numeric>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/nn/file_io.h"
#include "haze/tools/tasks/png_folder.h"

#include "error_of.h"
#include "idx_files.h"

using namespace haze;
using namespace haze::testing;

namespace {

PngImage counted_image(int64_t height, int64_t width, int64_t channels, uint8_t first = 0) {
  PngImage image{height, width, channels, {}};
  image.pixels.resize(static_cast<size_t>(height * width * channels));
  std::iota(image.pixels.begin(), image.pixels.end(), first);
  return image;
}

/// A chunk of a PNG file: its length, name, contents and checksum.
std::string chunk(const std::string& name, const std::string& contents) {
  return big_endian(static_cast<uint32_t>(contents.size())) + name + contents +
         big_endian(haze::crc32((name + contents).data(), name.size() + contents.size()));
}

std::string compressed(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string result(size, '\0');
  compress(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
           bytes.size());
  result.resize(size);
  return result;
}

/// A PNG file made by hand, from its rows, each of which begins with the number of a filter.
std::string png_of(uint32_t width, uint32_t height, char depth, char colour_type, const std::string& rows,
                   const std::string& before_data = "") {
  const std::string head =
      big_endian(width) + big_endian(height) + depth + colour_type + std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", head) + before_data + chunk("IDAT", compressed(rows)) +
         chunk("IEND", "");
}

/// Writes bytes as a file and reads it as PNG.
PngImage read_bytes(const std::string& bytes) {
  const TemporaryFolder folder;
  write_text(folder / "x.png", bytes);
  return read_png(folder / "x.png");
}

std::string error_of_bytes(const std::string& bytes) {
  const std::string error = error_of([&] { read_bytes(bytes); });
  CHECK(error.find('\n') == std::string::npos);
  return error.substr(error.find("x.png: ") + 7);
}

}  // namespace

TEST_CASE("an image that is written as PNG is read again, gray and in colour") {
  const TemporaryFolder folder;
  for (const int64_t channels : {1, 3}) {
    const PngImage image = counted_image(5, 7, channels);
    write_png(folder / "x.png", image);
    const PngImage again = read_png(folder / "x.png");
    CHECK(again.height == 5);
    CHECK(again.width == 7);
    CHECK(again.channels == channels);
    CHECK(again.pixels == image.pixels);
  }
  CHECK(error_of([] {
          encode_png({2, 2, 1, {1, 2, 3}});
        }) == "a PNG image of 2 x 2 pixels and 1 channels cannot be made of 3 numbers");
  CHECK(error_of([] { encode_png({0, 2, 1, {}}); }).find("cannot be made") != std::string::npos);
}

TEST_CASE("bits, palettes and 16 bits a channel become 8 bits: 0, the palette's colours, the upper byte") {
  // Two rows of eight pixels of one bit.
  const PngImage bits = read_bytes(png_of(8, 2, 1, 0, std::string("\0\xa5\0\xf0", 4)));
  CHECK(bits.channels == 1);
  CHECK(bits.pixels == std::vector<uint8_t>{255, 0, 255, 0, 0, 255, 0, 255, 255, 255, 255, 255, 0, 0, 0, 0});
  const std::string palette = chunk("PLTE", std::string("\x01\x02\x03\xfa\xfb\xfc", 6));
  const PngImage colours = read_bytes(png_of(2, 1, 8, 3, std::string("\0\1\0", 3), palette));
  CHECK(colours.channels == 3);
  CHECK(colours.pixels == std::vector<uint8_t>{250, 251, 252, 1, 2, 3});
  const PngImage deep = read_bytes(png_of(3, 1, 16, 0, std::string("\0\0\0\x80\x80\xff\xff", 7)));
  CHECK(deep.channels == 1);
  CHECK(deep.pixels == std::vector<uint8_t>{0, 128, 255});
}

TEST_CASE("a file that is no PNG file, damaged, truncated or transparent is one sentence") {
  CHECK(error_of_bytes("") == "it is no PNG file");
  CHECK(error_of_bytes("GIF89a and more") == "it is no PNG file");
  const std::string good = encode_png(counted_image(20, 20, 3));
  for (const size_t size : {size_t{8}, size_t{20}, good.size() / 2, good.size() - 20}) {
    CAPTURE(size);
    CHECK(error_of_bytes(good.substr(0, size)).starts_with("the PNG file is damaged: "));
  }
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 0x10);
  CHECK(error_of_bytes(flipped).starts_with("the PNG file is damaged: "));
  CHECK(error_of_bytes(png_of(1, 1, 8, 4, std::string("\0\x10\x80", 3))) ==
        "the image has transparency, for which the models have no number");
  const TemporaryFolder folder;
  CHECK(error_of([&] { read_png(folder / "none.png"); }).find("none.png") != std::string::npos);
}

TEST_CASE("a PNG file that says it is huge takes no memory") {
  const std::string row = std::string(100, '\0');
  CHECK(error_of_bytes(png_of(1'000'000, 1'000'000, 8, 2, row)) ==
        "the image has 1000000 x 1000000 pixels, more than the 16777216 that are read");
  // Beyond what libpng itself allows.
  CHECK(error_of_bytes(png_of(0x7fffffff, 0x7fffffff, 8, 2, row)).starts_with("the PNG file is damaged: "));
}

TEST_CASE("no byte of a PNG file, changed, does more than another image or a sentence") {
  const std::string good = encode_png(counted_image(6, 6, 1));
  int refused = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ 0xff);
    refused += error_of([&] { read_bytes(changed); }) != "no error";
  }
  CHECK(refused > static_cast<int>(good.size() / 2));
}

TEST_CASE("a folder of PNG files has every tenth for valid, the next for test, sorted by name") {
  const TemporaryFolder folder;
  for (int i = 0; i < 23; ++i)
    write_png(folder / fmt::format("{:02}.png", i), counted_image(2, 3, 3, static_cast<uint8_t>(i)));
  write_text(folder / "README.txt", "not an image");
  CHECK(png_files(folder.path(), Part::valid).size() == 3);
  CHECK(png_files(folder.path(), Part::test).size() == 3);
  const auto train = png_files(folder.path(), Part::train);
  REQUIRE(train.size() == 17);
  CHECK(train.front().filename() == "02.png");
  const ImageSet set = read_png_files(train);
  CHECK(set.count() == 17);
  CHECK(set.channels == 3);
  // Channels one after another: red of all six pixels, then green, then blue.
  CHECK(std::vector<uint8_t>(set.pixels.begin(), set.pixels.begin() + 18) ==
        std::vector<uint8_t>{2, 5, 8, 11, 14, 17, 3, 6, 9, 12, 15, 18, 4, 7, 10, 13, 16, 19});
  CHECK(set.labels.empty());
}

TEST_CASE("subfolders train, valid and test are the parts where there are any") {
  const TemporaryFolder folder;
  for (const char* part : {"train", "valid"}) {
    std::filesystem::create_directory(folder / part);
    write_png(folder / part / "a.png", counted_image(2, 2, 1));
  }
  write_png(folder / "beside.png", counted_image(9, 9, 1));
  CHECK(png_files(folder.path(), Part::train).front() == folder / "train" / "a.png");
  CHECK(png_files(folder.path(), Part::valid).size() == 1);
  CHECK(error_of([&] { png_files(folder.path(), Part::test); }).find((folder / "test").string()) == 0);
}

TEST_CASE("images of several sizes or channels, and too few of them, are one sentence") {
  const TemporaryFolder folder;
  const std::filesystem::path first = folder / "a.png", second = folder / "b.png";
  write_png(first, counted_image(2, 3, 1));
  write_png(second, counted_image(3, 2, 1));
  CHECK(error_of([&] {
          read_png_files({first, second});
        }) == second.string() + ": the image is 2 x 3 pixels, gray; " + first.string() +
                  " is 3 x 2 pixels, gray, and all have to be alike");
  write_png(second, counted_image(2, 3, 3));
  CHECK(error_of([&] {
          read_png_files({first, second});
        }).find("is 3 x 2 pixels, in colour") != std::string::npos);
  CHECK(error_of([&] { png_files(folder.path(), Part::train); }) ==
        folder.path().string() +
            ": 2 PNG files are too few: every tenth is of the part valid, the next of test, the others of "
            "train");
  CHECK(error_of([&] { png_files(folder / "none", Part::train); }).find("no such folder") !=
        std::string::npos);
}
