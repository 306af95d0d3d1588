#pragma once

#include "nn/networks.h"

/// What the tests of whole transformers share.
namespace haze::nn_test {

/// `base` with every norm placement and every kind of positions.
inline std::vector<TransformerConfig> every_kind(TransformerConfig base) {
  std::vector<TransformerConfig> result;
  for (const NormPlacement norm : {NormPlacement::pre, NormPlacement::post, NormPlacement::adaptive}) {
    for (const PositionKind positions :
         {PositionKind::learned, PositionKind::sinusoidal, PositionKind::rotary}) {
      base.norm = norm;
      base.positions = positions;
      result.push_back(base);
    }
  }
  return result;
}

/// What a failed check says about the network it was for.
inline std::string title(const TransformerConfig& config) {
  const char* const norms[] = {"pre", "post", "adaptive"};
  const char* const positions[] = {"learned", "sinusoidal", "rotary"};
  return fmt::format("{} norm, {} positions, causal {}, dropout {}, checkpointing {}",
                     norms[static_cast<int>(config.norm)], positions[static_cast<int>(config.positions)],
                     config.causal, config.dropout, config.checkpoint_activations);
}

}  // namespace haze::nn_test
