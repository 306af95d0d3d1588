#include "haze/autograd/rules.h"

namespace haze {

Variable rotary(const Variable& x, const Tensor& cosine, const Tensor& sine, const Tensor& positions,
                int64_t turned, bool inverse) {
  // y = R x with a rotation R: dx = R^-1 dy
  return Tape::record(
      "rotary", rotary(x.value(), cosine, sine, positions, turned, inverse), {x},
      [cosine = Saved("cosine", cosine), sine = Saved("sine", sine),
       positions = Saved("positions", positions), turned, inverse](const Variable& g) {
        return Gradients{rotary(g, cosine.value(), sine.value(), positions.value(), turned, !inverse)};
      });
}

}  // namespace haze
