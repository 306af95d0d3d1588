#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <variant>

#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"
#include "haze/diffusion/discrete/sampler.h"
#include "haze/nn/checkpoint.h"
#include "haze/tools/run/length_distribution.h"
#include "haze/nn/settings.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// A masked diffusion model of texts with all that belongs to it: the settings, the tokeniser, the lengths of
/// texts, the network and the process.
class TextModel {
 public:
  /// A new model, its weights drawn from `generator`. Settings must be resolved.
  TextModel(Settings settings, Tokenizer tokenizer, LengthDistribution lengths, Generator& generator);

  /// The model in a checkpoint, with its averaged weights where there are any. `folder` is a run's folder or
  /// a checkpoint's. Throws Error where there is none.
  static std::unique_ptr<TextModel> load(const std::filesystem::path& folder);
  /// The model of a checkpoint that has been read, with the weights that training goes on from.
  static std::unique_ptr<TextModel> from_checkpoint(const Checkpoint& checkpoint);

  const Settings& settings() const { return settings_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const LengthDistribution& lengths() const { return lengths_; }
  TransformerDenoiser& denoiser() { return *denoiser_; }

  /// The training loss of a batch; `denoiser` stands for this model's where it wraps it.
  DiffusionLoss loss(const Denoiser& denoiser, const TextBatch& batch, Generator& generator,
                     const ForwardContext& context) const;
  /// The variational bound of texts given their lengths; the draw of x_t is the one with less noise of those
  /// that suit the model, whatever options.draw says. Throws Error where options.every_step is set and time
  /// is continuous.
  BoundEstimate bound(std::span<const std::span<const int32_t>> texts, BoundOptions options,
                      Generator& generator) const;
  /// -log p(length), in nats, summed over texts.
  double length_nats(std::span<const std::span<const int32_t>> texts) const;
  /// Whether a text's last token is its end token and no other is: so it is where every row is one text.
  /// Where rows are cut from a stream of texts, the end token is one like the others.
  bool ends_are_fixed() const;
  /// Texts from canvases, by the sampler of the settings; no open place gets the end token where
  /// ends_are_fixed().
  Samples sample(const std::vector<Canvas>& start, Generator& generator,
                 const SamplerObserver& observer = {}) const;

  /// Changes a setting that neither the network nor the process depends on.
  void set(std::string_view key, SettingValue value) { settings_.set(key, std::move(value)); }

 private:
  Settings settings_;
  Tokenizer tokenizer_;
  LengthDistribution lengths_;
  std::unique_ptr<TransformerDenoiser> denoiser_;
  std::variant<MaskingSchedule, DiscreteNoise> process_;
};

/// The checkpoint that `folder` is, or the latest of the run's folder that it is. Throws Error where there is
/// none.
std::filesystem::path checkpoint_in(const std::filesystem::path& folder);

/// The latest whole checkpoint of a run; standard error is told of damaged ones that would have come before.
/// Throws Error where there is none.
std::filesystem::path latest_checkpoint_of(const std::filesystem::path& run_folder);

}  // namespace haze
