#pragma once

#include <vector>

#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/confidence_sampler.h"
#include "haze/diffusion/discrete/first_hitting_sampler.h"
#include "haze/diffusion/discrete/top_margin_sampler.h"

#include "diffusion/toy_language.h"

/// What samplers of the toy language are asked for.
namespace haze::diffusion_test {

inline Request given(std::vector<int32_t> start, std::vector<uint8_t> fixed) {
  return {.start = std::move(start), .fixed = std::move(fixed), .source = {}};
}

inline std::vector<Request> open_requests(int count) {
  return std::vector<Request>(static_cast<size_t>(count), open_text(kLength));
}

}  // namespace haze::diffusion_test
