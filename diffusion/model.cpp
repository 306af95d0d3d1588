#include "haze/diffusion/model.h"

namespace haze {

std::vector<double> Likelihood::term_nats(const Batch&, int64_t, Generator&) const {
  fail("this bound is not a sum of terms");
}

std::vector<Objective> Model::objectives() {
  return {{"loss", parameters()}};
}

Batch Model::prepare(Batch batch, size_t, Generator&) const {
  return batch;
}

Batch Model::padded(Batch prepared, int64_t) const {
  return prepared;
}

}  // namespace haze
