#pragma once

#include "nn/networks.h"

/// What the tests of whole transformers share.
namespace haze::nn_test {

/// A norm placement and a way for time to enter.
struct NormAndTime {
  NormPlacement norm;
  TimeConditioning time;
};

/// BERT's, GPT-2's and DiT's.
constexpr NormAndTime kNormsAndTimes[] = {{NormPlacement::pre, TimeConditioning::none},
                                          {NormPlacement::post, TimeConditioning::none},
                                          {NormPlacement::pre, TimeConditioning::adaptive}};

/// `base` with every norm placement and every kind of positions, and with every way for time to enter.
inline std::vector<TransformerConfig> every_kind(TransformerConfig base) {
  std::vector<TransformerConfig> result;
  const auto add = [&](NormPlacement norm, TimeConditioning time, PositionKind positions) {
    base.norm = norm;
    base.time = time;
    base.positions = positions;
    result.push_back(base);
  };
  for (const auto& [norm, time] : kNormsAndTimes) {
    for (const PositionKind positions :
         {PositionKind::learned, PositionKind::sinusoidal, PositionKind::rotary}) {
      add(norm, time, positions);
    }
  }
  add(NormPlacement::pre, TimeConditioning::none, PositionKind::none);
  add(NormPlacement::post, TimeConditioning::added, PositionKind::learned);
  add(NormPlacement::pre, TimeConditioning::added, PositionKind::rotary);
  add(NormPlacement::post, TimeConditioning::per_layer, PositionKind::learned);
  add(NormPlacement::pre, TimeConditioning::per_layer, PositionKind::sinusoidal);
  add(NormPlacement::post, TimeConditioning::prefix, PositionKind::learned);
  add(NormPlacement::pre, TimeConditioning::prefix, PositionKind::rotary);
  return result;
}

/// What a failed check says about the network it was for.
inline std::string title(const TransformerConfig& config) {
  const char* const norms[] = {"pre", "post"};
  const char* const times[] = {"no", "added", "per-layer", "prefix", "adaptive"};
  const char* const positions[] = {"learned", "sinusoidal", "rotary", "no"};
  return fmt::format("{} norm, {} time, {} positions, causal {}, dropout {}, checkpointing {}",
                     norms[static_cast<int>(config.norm)], times[static_cast<int>(config.time)],
                     positions[static_cast<int>(config.positions)], config.causal, config.dropout,
                     config.checkpoint_activations);
}

}  // namespace haze::nn_test
