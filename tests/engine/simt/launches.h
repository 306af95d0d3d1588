#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/simt/checker.h"

#include "engine/simt/kernels.h"
#include "error_of.h"

/// Launches of the kernels with and without faults.
namespace haze::test {

/// in = 0, 1, 2, ... and out = 0, of exactly so many numbers, on the emulated device.
class DeviceArrays {
 public:
  DeviceArrays(size_t in_count, size_t out_count)
      : in_(allocate("in", in_count)), out_(allocate("out", out_count)), out_count_(out_count) {
    std::iota(in_, in_ + in_count, 0.0f);
    std::fill_n(out_, out_count, 0.0f);
  }
  ~DeviceArrays() {
    simt::free_device(in_);
    simt::free_device(out_);
  }
  DeviceArrays(const DeviceArrays&) = delete;
  DeviceArrays& operator=(const DeviceArrays&) = delete;

  const float* in() const { return in_; }
  float* out() const { return out_; }
  std::vector<float> result() const { return {out_, out_ + out_count_}; }

 private:
  static float* allocate(const char* name, size_t count) {
    void* const memory = simt::allocate_device(name, count * sizeof(float));
    simt::mark_initialised(memory, count * sizeof(float));
    return static_cast<float*>(memory);
  }

  float *in_, *out_;
  size_t out_count_;
};

/// A launch of a kernel of kernels.cu, or of the file that the last two functions belong to.
struct Launch {
  const char* kernel;
  simt::Extent grid, block;
  size_t in, out;
  int n = 0;
  decltype(&checked::start) checked_start = checked::start, fast_start = fast::start;

  void run(bool checked, const DeviceArrays& arrays) const {
    const simt::LaunchShape shape{grid, block, block.count() * sizeof(float)};
    (checked ? checked_start : fast_start)(kernel, shape, arrays.in(), arrays.out(), n);
  }
  std::vector<float> result(bool checked) const {
    const DeviceArrays arrays(in, out);
    run(checked, arrays);
    return arrays.result();
  }
  /// Throws Error where the checker finds a fault.
  void check() const { run(true, DeviceArrays(in, out)); }
  /// The sentence of the fault; "" for none.
  std::string fault() const {
    return testing::error_of([&] { check(); });
  }
};

/// While it lives, checked kernels run in the order of this seed.
struct Seed {
  explicit Seed(uint64_t seed) { simt::set_seed(seed); }
  ~Seed() { simt::set_seed(1); }
};

/// Checks that correct kernels have no fault and one result, checked under 5 seeds and fast.
inline void check_correct(std::span<const Launch> launches) {
  for (const Launch& launch : launches) {
    CAPTURE(launch.kernel);
    const std::vector<float> expected = launch.result(false);
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      const Seed scope(seed);
      CHECK(launch.fault() == "");
      CHECK(launch.result(true) == expected);
    }
  }
}

}  // namespace haze::test
