#include "haze/nn/safetensors.h"

#include <cmath>
#include <cstring>
#include <random>

#include <doctest/doctest.h>

#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::error_of;
using nn_test::read_bytes;
using nn_test::sorted_names;
using nn_test::TemporaryFolder;
using nn_test::write_bytes;

Tensor bfloat16_tensor(const std::vector<float>& values, const Shape& shape) {
  Tensor tensor(shape, Dtype::bfloat16);
  for (size_t i = 0; i < values.size(); ++i) tensor.data<bfloat16>()[i] = bfloat16(values[i]);
  return tensor;
}

/// One tensor of each type; check_safetensors_interop.py knows these values.
NamedTensors every_dtype() {
  return {{"mask", Tensor::from<uint8_t>({1, 0, 255}, {3})},
          {"matrix", Tensor::from<float>({0, -0.5f, 1e-30f, 3.25f, INFINITY, -7}, {2, 3})},
          {"double", Tensor::from<double>({0.1, -1e300}, {2, 1})},
          {"half-width", bfloat16_tensor({1.5f, -2.0f, 0.0f, 1024.0f}, {4})},
          {"tokens", Tensor::from<int32_t>({-2147483647 - 1, 0, 2147483647}, {1, 3, 1})},
          {"scalar", Tensor::from<float>({42}, {})},
          {"nothing", Tensor(Shape{3, 0, 2}, Dtype::float32)},
          {"이름 \"quoted\"\n", Tensor::from<uint8_t>({7}, {1})}};
}

Metadata some_metadata() {
  return {{"format", "haze"}, {"키", "값 \"\\\" \t"}, {"empty", ""}};
}

std::string bytes_of(const Tensor& tensor) {
  const auto size = static_cast<size_t>(tensor.elements()) * size_of(tensor.dtype());
  return {static_cast<const char*>(tensor.raw()), size};
}

void check_equal(const NamedTensors& actual, const NamedTensors& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    CAPTURE(expected[i].name);
    CHECK(actual[i].name == expected[i].name);
    CHECK(actual[i].tensor.shape() == expected[i].tensor.shape());
    CHECK(actual[i].tensor.dtype() == expected[i].tensor.dtype());
    CHECK(bytes_of(actual[i].tensor) == bytes_of(expected[i].tensor));
  }
}

std::string file_of(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes.append(header).append(data);
}

class Pair : public Module {
 public:
  Pair() {
    add_parameter("weight", weight, Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3}));
    add_parameter("bias", bias, Tensor::from<float>({7, 8}, {2}));
  }
  Variable weight, bias;
};

}  // namespace

TEST_CASE("safetensors: every dtype, shape and name survives a round trip in its order, bit for bit") {
  const TemporaryFolder folder;
  write_safetensors(folder / "all.safetensors", every_dtype(), some_metadata());
  const SafetensorsContents contents = read_safetensors(folder / "all.safetensors");
  check_equal(contents.tensors, every_dtype());
  CHECK(contents.metadata == some_metadata());
  CHECK(contents.at("matrix").at({1, 0}) == 3.25);
  CHECK(error_of([&] { contents.at("absent"); }) == "there is no tensor \"absent\"");
  if (const char* path = getenv("HAZE_SAFETENSORS_OUT")) {
    write_safetensors(std::filesystem::path(path), every_dtype(), some_metadata());
  }
}

TEST_CASE("safetensors: the bytes of a small file are those that the format prescribes") {
  const TemporaryFolder folder;
  write_safetensors(folder / "a",
                    {{"u", Tensor::from<uint8_t>({1, 2, 3}, {3})}, {"f", Tensor::from<float>({1.0f}, {})}});
  std::string header =
      R"({"u":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},"f":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
  while (header.size() % 8 != 0) header += ' ';
  CHECK(read_bytes(folder / "a") == file_of(header, std::string("\0\0\x80\x3f\1\2\3", 7)));
}

TEST_CASE("safetensors: a file without tensors can be written and read") {
  const TemporaryFolder folder;
  write_safetensors(folder / "none", {});
  CHECK(read_safetensors(folder / "none").tensors.empty());
  CHECK(read_safetensors(folder / "none").metadata.empty());
}

TEST_CASE("safetensors: a strided view is written as the dense tensor that it shows") {
  const TemporaryFolder folder;
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  write_safetensors(folder / "view",
                    {{"t", Tensor(x.storage(), {3, 2}, {1, 3}, 0, Dtype::float32, x.device())}});
  CHECK(read_safetensors(folder / "view").at("t").to_vector<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
}

TEST_CASE("safetensors: a file written by the public Python package holds what its script put in") {
  const SafetensorsContents contents = read_safetensors(HAZE_TEST_DATA "/golden.safetensors");
  CHECK(contents.metadata == Metadata{{"made_by", "safetensors"}, {"note", "이름"}});
  CHECK(contents.tensors.size() == 9);
  const auto check = [&](const char* name, Dtype dtype, const Shape& shape,
                         const std::vector<double>& values) {
    CAPTURE(name);
    CHECK(contents.at(name).dtype() == dtype);
    CHECK(contents.at(name).shape() == shape);
    CHECK(contents.at(name).to_vector<double>() == values);
  };
  check("f32", Dtype::float32, {2, 3}, {-1, -0.5, 0, 0.5, 1, 1.5});
  check("f64", Dtype::float64, {2}, {0.1, -1e300});
  check("f16", Dtype::float32, {4}, {0.5, -65504, 0x1p-24, INFINITY});
  check("bf16", Dtype::bfloat16, {2, 1}, {1.5, -2});
  check("i32", Dtype::int32, {3}, {-2147483648.0, 0, 2147483647});
  check("i64", Dtype::int32, {1, 2}, {-5, 123456789});
  check("u8", Dtype::uint8, {3}, {0, 128, 255});
  check("bool", Dtype::uint8, {2, 2}, {1, 0, 0, 1});
  check("scalar", Dtype::float32, {}, {42});
}

TEST_CASE("safetensors: all 65,536 half-precision numbers become the float32 of the same value") {
  const TemporaryFolder folder;
  std::string data(2 * 65536, '\0');
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    std::memcpy(data.data() + 2 * i, &half, 2);
  }
  write_bytes(folder / "f",
              file_of(R"({"h":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})", data));
  const auto values = read_safetensors(folder / "f").at("h").to_vector<float>();
  size_t wrong = 0;
  for (uint32_t i = 0; i < 65536; ++i) {
    const int exponent = static_cast<int>(i >> 10 & 31), fraction = static_cast<int>(i & 1023);
    double expected = exponent == 0 ? std::pow(2.0, -14) * fraction / 1024
                                    : std::pow(2.0, exponent - 15) * (1 + fraction / 1024.0);
    if (exponent == 31) expected = fraction == 0 ? INFINITY : NAN;
    const bool negative = (i & 0x8000) != 0;
    if (negative) expected = -expected;
    const bool same = std::isnan(expected) ? std::isnan(values[i]) : values[i] == expected;
    if (!same || std::signbit(values[i]) != negative) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("safetensors: a malformed file gets one sentence that names the file and the tensor") {
  struct Case {
    const char* header;
    size_t data_bytes;
    const char* sentence;
  };
  const std::vector<Case> cases = {
      {"", 0, "not a safetensors file: no header begins at byte 8"},
      {" {}", 0, "not a safetensors file: no header begins at byte 8"},
      {"{", 0, "the header is not valid JSON from byte 2 on"},
      {R"({"a":)", 0, "the header is not valid JSON from byte 6 on"},
      {R"({}x)", 0, "the header is not valid JSON from byte 3 on"},
      {"{\"\xff\":1}", 0, "the header is not valid JSON from byte 3 on"},
      {R"({"a":5})", 0, "tensor \"a\" has a number where the safetensors format does not allow it"},
      {R"({"a":null})", 0, "tensor \"a\" has a null where the safetensors format does not allow it"},
      {R"({"a":{}})", 0, "tensor \"a\" lacks one of the fields dtype, shape and data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[]}})", 0,
       "tensor \"a\" lacks one of the fields dtype, shape and data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}})", 4,
       "tensor \"a\" has an unknown field \"x\""},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has the field \"dtype\" twice"},
      {R"({"a":{"dtype":"F8","shape":[4],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has the type \"F8\"; those known are F32, F64, BF16, I32, U8, F16, I64 and BOOL"},
      {R"({"a":{"dtype":3,"shape":[4],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has a number where the safetensors format does not allow it"},
      {R"({"a":{"dtype":["U8"],"shape":[4],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has an array where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has a number where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":[[4]],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has an array where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":[-4],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has a negative number where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has a fraction where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":[true],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has a truth value where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":[{}],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has an object where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
       "tensor \"a\" has more than 6 axes"},
      {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1,
       "tensor \"a\" has an extent of 18446744073709551615, which is too large"},
      {R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "tensor \"a\" has the shape [4294967296, 4294967296], which is too large"},
      {R"({"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "tensor \"a\" has the shape [0, 4294967296, 4294967296], which is too large"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}})", 4,
       "tensor \"a\" has 3 data_offsets, not 2"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4]}})", 4, "tensor \"a\" has 1 data_offsets, not 2"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4,
       "tensor \"a\" lies in bytes 4 to 0 of 4 bytes of data"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 4,
       "tensor \"a\" lies in bytes 1 to 5 of 4 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
       "tensor \"a\" has 4 bytes, but F32 [2] takes 8"},
      {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       4, "tensor \"b\" overlaps another"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       4, "bytes 1 to 2 before tensor \"b\" belong to no tensor"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 4, "the last 3 bytes belong to no tensor"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "the name \"a\" occurs twice"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "its metadata has the field \"k\" twice"},
      {R"({"__metadata__":{"k":1}})", 0,
       "its metadata has a number where the safetensors format does not allow it"},
      {R"({"__metadata__":"k"})", 0,
       "its metadata has a text where the safetensors format does not allow it"},
      {R"({"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 1, "tensor \"a\" of BOOL holds 120"},
      {R"({"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8,
       "tensor \"a\" holds 8680820740569200760, which does not fit into 32 bits"},
  };
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "bad";
  for (const Case& bad : cases) {
    CAPTURE(bad.header);
    write_bytes(path, file_of(bad.header, std::string(bad.data_bytes, 'x')));
    CHECK(error_of([&] { read_safetensors(path); }) == path.string() + ": " + bad.sentence);
  }
}

TEST_CASE("safetensors: a file that is too short, a header that is too long and a missing file are told") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "bad";
  const std::string name = path.string();
  CHECK(error_of([&] { read_safetensors(path); }) == "cannot open " + name + ": No such file or directory");
  CHECK(error_of([&] { read_safetensors(folder.path()); }) ==
        "cannot read " + folder.path().string() + ": it is not a regular file");
  write_bytes(path, "abc");
  CHECK(error_of([&] { read_safetensors(path); }) == name + ": not a safetensors file: it has only 3 bytes");
  write_bytes(path, std::string(8, '\xff') + "{}");
  CHECK(error_of([&] { read_safetensors(path); }) ==
        name +
            ": not a safetensors file, or cut short: a header of 18446744073709551615 bytes in a file of 10");
  write_bytes(path, file_of("", ""));
  const uint64_t length = 100'000'001;
  write_bytes(path, std::string(reinterpret_cast<const char*>(&length), 8));
  std::filesystem::resize_file(path, 8 + length);
  CHECK(error_of([&] { read_safetensors(path); }) == name + ": a header of 100000001 bytes is over 100 MB");
}

TEST_CASE("safetensors: no damage to a file does more than throw an Error") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "damaged";
  write_safetensors(path, every_dtype(), some_metadata());
  const std::string good = read_bytes(path);
  std::mt19937 random(20240607);
  int refused = 0, read = 0;
  const auto attempt = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    try {
      read_safetensors(path);
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  };
  for (size_t length = 0; length < good.size(); ++length) attempt(good.substr(0, length));
  CHECK(read == 0);
  const size_t header_end = good.find("]}}") + 3;
  for (int i = 0; i < 6000; ++i) {
    std::string bytes = good;
    const size_t range = i % 4 == 0 ? bytes.size() : header_end;
    for (size_t flips = 1 + random() % 3; flips > 0; --flips) {
      bytes[random() % range] =
          static_cast<char>(random() % 4 == 0 ? "0123456789{}[],:\"-e."[random() % 20] : random());
    }
    attempt(bytes);
  }
  CHECK(refused > 3000);
  CHECK(read > 100);
}

TEST_CASE("safetensors: what cannot be written is refused, and the file that was there stays") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "kept";
  write_safetensors(path, every_dtype());
  const std::string before = read_bytes(path);
  const Tensor one = Tensor::from<float>({1}, {1});
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"a", one}, {"a", one}}),
                       doctest::Contains("the name \"a\" occurs twice"), Error);
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"__metadata__", one}}),
                       doctest::Contains("no tensor can have the name \"__metadata__\""), Error);
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"a", Tensor()}}),
                       doctest::Contains("tensor \"a\" is undefined"), Error);
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"\xff", one}}), doctest::Contains("is not UTF-8"), Error);
  CHECK_THROWS_WITH_AS(write_safetensors(path, {{"a", one}}, {{"k", "\xc3"}}),
                       doctest::Contains("is not UTF-8"), Error);
  CHECK_THROWS_AS(write_safetensors(folder / "absent" / "file", {{"a", one}}), Error);
  std::filesystem::create_directory(folder / "taken");
  CHECK_THROWS_WITH_AS(write_safetensors(folder / "taken", {{"a", one}}), doctest::Contains("Is a directory"),
                       Error);
  CHECK(read_bytes(path) == before);
  CHECK(sorted_names(folder.path()) == std::vector<std::string>{"kept", "taken"});
}

TEST_CASE("load_parameters puts a file's values into the storage that the module has") {
  const TemporaryFolder folder;
  Pair source;
  save_parameters(source, folder / "pair");
  Pair target;
  fill(target.weight.value(), 0);
  fill(target.bias.value(), 0);
  const void* before = target.weight.value().raw();
  load_parameters(target, folder / "pair");
  CHECK(target.weight.value().raw() == before);
  CHECK(target.weight.value().to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(target.bias.value().to_vector<float>() == std::vector<float>{7, 8});
}

TEST_CASE("load_parameters lists all that does not fit in one Error and changes nothing") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "other";
  write_safetensors(
      path, {{"weight", Tensor::from<float>({9, 9}, {2, 1})}, {"extra", Tensor::from<float>({9}, {1})}});
  Pair pair;
  CHECK(error_of([&] { load_parameters(pair, path); }) ==
        path.string() +
            " does not fit: it lacks bias; nothing takes its extra; it has other shapes or types of weight "
            "(float32 [2, 1], not float32 [2, 3])");
  CHECK(error_of([&] { load_parameters(pair, path, false); }) ==
        path.string() +
            " does not fit: it has other shapes or types of weight (float32 [2, 1], not float32 [2, 3])");
  write_safetensors(path, {{"weight", Tensor::from<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3})},
                           {"bias", Tensor::from<float>({9, 9}, {2})}});
  CHECK_THROWS_WITH_AS(load_parameters(pair, path),
                       doctest::Contains("weight (int32 [2, 3], not float32 [2, 3])"), Error);
  CHECK(pair.weight.value().to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(pair.bias.value().to_vector<float>() == std::vector<float>{7, 8});
}

TEST_CASE("load_parameters that is not strict takes what fits, converts floats and returns the other names") {
  const TemporaryFolder folder;
  write_safetensors(folder / "part", {{"bias", Tensor::from<double>({0.5, -3}, {2})},
                                      {"extra", Tensor::from<float>({9}, {1})}});
  Pair pair;
  const NameDifference difference = load_parameters(pair, folder / "part", false);
  CHECK(difference.missing == std::vector<std::string>{"weight"});
  CHECK(difference.unexpected == std::vector<std::string>{"extra"});
  CHECK(pair.bias.value().to_vector<float>() == std::vector<float>{0.5f, -3});
  CHECK(pair.weight.value().to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
}

}  // namespace haze
