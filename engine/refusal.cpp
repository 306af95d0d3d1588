#include "haze/engine/refusal.h"

#include <fmt/format.h>

#include "haze/engine/error.h"

namespace haze {

void throw_if_taken(const Refusal& refusal) {
  if (!refusal.taken) return;
  throw Error(fmt::format(fmt::runtime(refusal.sentence), fmt::arg("operation", refusal.operation),
                          fmt::arg("value", refusal.value), fmt::arg("position", refusal.position),
                          fmt::arg("limit", refusal.limit), fmt::arg("number", refusal.number)));
}

}  // namespace haze
