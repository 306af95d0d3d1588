#include "haze/engine/memory_limit.h"

#include <doctest/doctest.h>

#include "haze/engine/memory.h"
#include "haze/engine/tensor.h"

using namespace haze;

TEST_CASE("under a limit tensors are made until it is reached, and no more memory is asked for") {
  const Tensor before({1024});
  {
    const MemoryLimit limit(10000);
    const Tensor taken({1024});
    CHECK_NOTHROW(Tensor({1024}));  // what was freed counts
    const size_t reserved = memory_statistics().reserved;
    CHECK_THROWS_AS(Tensor({1024}), MemoryLimitReached);
    CHECK_THROWS_AS(Tensor({int64_t{1} << 40}), MemoryLimitReached);
    CHECK(memory_statistics().reserved == reserved);
    {
      const MemoryLimit inner(4096);
      CHECK_NOTHROW(Tensor({1024}));
      CHECK_THROWS_AS(Tensor({1}), MemoryLimitReached);
    }
    CHECK_NOTHROW(Tensor({256}));
  }
  CHECK_NOTHROW(Tensor({1024}));
}
