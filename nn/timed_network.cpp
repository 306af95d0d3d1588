#include "haze/nn/timed_network.h"

namespace haze {

void check_times(const char* name, const Tensor& t, int64_t n, const char* examples) {
  if (!t.defined() || !(t.shape() == Shape{n})) fail("{}: {} {} need a time each", name, n, examples);
  if (t.dtype() != Dtype::float32) fail("{}: times are float32, not {}", name, haze::name(t.dtype()));
}

}  // namespace haze
