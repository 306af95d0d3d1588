#include "haze/engine/cpu/simd/result_writer.h"

#include <numeric>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

constexpr int64_t kElements = 20000;

/// Elements [first, first + count) of a tensor that holds -1, written as their numbers by `write`.
template <typename T, typename Write>
std::vector<T> written(int64_t first, int64_t count, int64_t cache_bytes, Write&& write) {
  const Tensor out = full({kElements}, -1, dtype_of<T>());
  const ResultWriter<T> writer(out, {}, cache_bytes);
  write(writer, out.data<T>() + first, count);
  return out.to_vector<T>();
}

template <typename T>
void check_every_place(int64_t cache_bytes) {
  for (const int64_t first : {0, 1, 16, 64}) {
    for (const int64_t count : {0, 1, 15, 16, 17, 255, 256, 257, 4096, 4097, 9999}) {
      CAPTURE(first);
      CAPTURE(count);
      std::vector<T> expected(kElements, T{-1});
      std::iota(expected.begin() + first, expected.begin() + first + count, T{0});
      const auto stretch = [](const ResultWriter<T>& writer, T* target, int64_t n) {
        writer.write(target, n,
                     [](T* to, int64_t i, int64_t part) { std::iota(to, to + part, static_cast<T>(i)); });
      };
      const auto row = [](const ResultWriter<T>& writer, T* target, int64_t n) {
        writer.write_row(target, n, [n](T* to) { std::iota(to, to + n, T{0}); });
      };
      CHECK(written<T>(first, count, cache_bytes, stretch) == expected);
      CHECK(written<T>(first, count, cache_bytes, row) == expected);
    }
  }
}

}  // namespace

TEST_CASE("a result comes to its place, past the caches or through them, and nothing beside it changes") {
  for (const int64_t cache_bytes : {int64_t{0}, int64_t{1} << 40}) {
    check_every_place<float>(cache_bytes);
    check_every_place<double>(cache_bytes);
    check_every_place<int32_t>(cache_bytes);
  }
}

TEST_CASE("only results larger than the cache, and where they are aligned, go past it") {
  const Tensor out = zeros({kElements});
  const auto in_place = [&](int64_t cache_bytes, int64_t first, int64_t count) {
    const ResultWriter<float> writer(out, {}, cache_bytes);
    float* const target = out.data<float>() + first;
    bool result = true;
    writer.write_row(target, count, [&](float* to) {
      result = to == target;
      std::fill_n(to, count, 1.0F);
    });
    return result;
  };
  constexpr int64_t kBytes = kElements * int64_t{sizeof(float)};
  CHECK_FALSE(in_place(0, 0, 100));
  CHECK_FALSE(in_place(kBytes - 1, 16, 4096));
  CHECK(in_place(kBytes, 0, 100));
  CHECK(in_place(0, 1, 100));
  CHECK(in_place(0, 0, 4097));
}

TEST_CASE("a result that is one of its operands is written in place") {
  const Tensor x = zeros({kElements});
  const ResultWriter<float> writer(x, {&x}, 0);
  writer.write(x.data<float>(), kElements, [&](float* to, int64_t first, int64_t count) {
    CHECK(to == x.data<float>());
    CHECK(first == 0);
    CHECK(count == kElements);
  });
}
