#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"

using namespace haze;
using namespace haze::test;

namespace {

struct Terms {
  Tensor indices, source, target;

  // Half of the indices are 1, as the mask is among tokens.
  Terms(int64_t count, int64_t extent, int64_t inner) {
    Generator generator(1);
    const Tensor any = cast(uniform({count}, generator, 0, static_cast<double>(extent)), Dtype::int32);
    const Tensor is_one = compare(CompareOp::less, uniform({count}, generator), full({}, 0.5));
    indices = where(is_one, full({}, 1, Dtype::int32), any);
    source = normal({count, inner}, generator);
    target = normal({extent, inner}, generator);
  }

  Tensor rung(unsigned number, Device device = Device::simt) const {
    const Tensor result = to(clone(target), device);
    launch(ladder::IndexAdd{number, to(indices, device), to(source, device), result});
    return result;
  }
  Tensor on_cpu() const {
    const Tensor result = clone(target);
    index_add_into(result, 0, indices, source);
    return result;
  }
};

}  // namespace

TEST_CASE("ladder: every rung of index_add adds whole numbers as the cpu does, in every order") {
  for (int64_t inner : {1, 36, 130}) {
    Terms terms(70, 9, inner);
    for (Tensor* x : {&terms.source, &terms.target}) {
      *x = cast(cast(unary(UnaryOp::scale_shift, *x, 10, 0), Dtype::int32), Dtype::float32);
    }
    const Tensor wanted = terms.on_cpu();
    check_rungs<ladder::IndexAdd>([&](unsigned rung, Device device) { return terms.rung(rung, device); },
                                  [&](const Tensor& result) { CHECK(same_bits(result, wanted)); });
  }
}

TEST_CASE("ladder: the bits of index_add by atomics depend on the order, the sorted ones are the cpu's") {
  const Terms terms(70, 9, 32);
  const CheckedRungs checked;
  const Tensor first = to(terms.rung(0), Device::cpu), wanted = terms.on_cpu();
  bool differs = false;
  for (uint64_t seed = 2; seed <= 5; ++seed) {
    simt::set_seed(seed);
    differs = differs || !same_bits(to(terms.rung(0), Device::cpu), first);
    CHECK(same_bits(to(terms.rung(1), Device::cpu), wanted));
  }
  CHECK(differs);
}

TEST_CASE("ladder: index_add reads its terms once, 4 sectors a request, and 16 where it is sorted") {
  const Terms terms(64, 9, 128);
  const auto counts = counts_of_rungs<ladder::IndexAdd>([&](unsigned rung) { terms.rung(rung); });
  for (size_t rung = 0; rung < counts.size(); ++rung) {
    simt::LineCount most{};  // of the line that reads source; the others read indices
    for (const simt::LineCount& line : counts[rung].lines) {
      if (!line.writes && line.sectors > most.sectors) most = line;
    }
    CAPTURE(rung);
    CHECK(most.bytes == 64 * 128 * sizeof(float));
    CHECK(sectors_a_request(most) == (rung == 0 ? 4 : 16));
  }
}

TEST_CASE("ladder: index_add has no barriers but those of the sort, which needs them") {
  const Terms terms(40, 9, 4);
  CHECK(barriers_of_rungs<ladder::IndexAdd>([&](unsigned rung) { terms.rung(rung); }) ==
        std::vector<size_t>{0, 2});
}
