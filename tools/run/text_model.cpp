#include "haze/tools/run/text_model.h"

#include <cstdio>

#include "haze/nn/safetensors.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

TransformerConfig transformer_config(const Settings& settings) {
  TransformerConfig config;
  config.hidden = settings.integer("model.hidden");
  config.layers = settings.integer("model.layers");
  config.heads = settings.integer("model.heads");
  config.mlp_ratio = settings.integer("model.mlp_ratio");
  config.max_length = settings.integer("data.max_length");
  const std::string& norm = settings.text("model.norm");
  config.norm = norm == "post" ? NormPlacement::post : NormPlacement::pre;
  config.time = norm == "adaptive" ? TimeConditioning::adaptive : TimeConditioning::none;
  config.positions = position_kind(settings.text("model.positions"));
  config.dropout = settings.real("model.dropout");
  config.checkpoint_activations = settings.boolean("train.checkpoint_activations");
  return config;
}

std::variant<MaskingSchedule, DiscreteNoise> process_of(const Settings& settings) {
  const std::string& schedule = settings.text("diffusion.schedule");
  if (settings.text("diffusion.time") == "discrete") {
    return discrete_noise(discrete_schedule(schedule), static_cast<int>(settings.integer("diffusion.steps")));
  }
  return MaskingSchedule(continuous_schedule(schedule), settings.real("diffusion.polynomial_power"));
}

}  // namespace

TextModel::TextModel(Settings settings, Tokenizer tokenizer, LengthDistribution lengths, Generator& generator)
    : settings_(std::move(settings)),
      tokenizer_(std::move(tokenizer)),
      lengths_(std::move(lengths)),
      denoiser_(std::make_unique<TransformerDenoiser>(tokenizer_.vocabulary_size(),
                                                      transformer_config(settings_), generator)),
      process_(process_of(settings_)) {}

std::unique_ptr<TextModel> TextModel::from_checkpoint(const Checkpoint& checkpoint) {
  Settings settings(training_settings());
  settings.read_text(checkpoint.text("config.toml"), "config.toml of the checkpoint");
  Generator unused(0);
  auto model = std::make_unique<TextModel>(
      std::move(settings),
      Tokenizer::from_json(checkpoint.text("tokenizer.json"), "tokenizer.json of the checkpoint"),
      LengthDistribution::from_json(checkpoint.text("lengths.json"), "lengths.json of the checkpoint"),
      unused);
  copy_by_name(parameter_tensors(*model->denoiser_), checkpoint.model, true,
               "model.safetensors of the checkpoint");
  return model;
}

std::unique_ptr<TextModel> TextModel::load(const std::filesystem::path& folder) {
  const Checkpoint checkpoint = read_checkpoint(checkpoint_in(folder));
  std::unique_ptr<TextModel> model = from_checkpoint(checkpoint);
  if (!checkpoint.ema.empty()) {
    copy_by_name(parameter_tensors(*model->denoiser_), checkpoint.ema, false,
                 "ema.safetensors of the checkpoint");
  }
  return model;
}

DiffusionLoss TextModel::loss(const Denoiser& denoiser, const TextBatch& batch, Generator& generator,
                              const ForwardContext& context) const {
  if (const auto* noise = std::get_if<DiscreteNoise>(&process_)) {
    return d3pm_loss(denoiser, batch, *noise, {settings_.real("diffusion.auxiliary_weight")}, generator,
                     context);
  }
  const MdlmOptions options{
      settings_.text("diffusion.masks") == "exact-count" ? MaskDraw::exact_count : MaskDraw::independent,
      settings_.boolean("diffusion.antithetic")};
  return mdlm_loss(denoiser, batch, std::get<MaskingSchedule>(process_), options, generator, context);
}

BoundEstimate TextModel::bound(std::span<const std::span<const int32_t>> texts, BoundOptions options,
                               Generator& generator) const {
  if (const auto* noise = std::get_if<DiscreteNoise>(&process_)) {
    return d3pm_bound_of_texts(*denoiser_, texts, *noise, options, generator);
  }
  options.draw = denoiser_->depends_on_time() ? MaskDraw::independent : MaskDraw::exact_count;
  return mdlm_bound(*denoiser_, texts, std::get<MaskingSchedule>(process_), options, generator);
}

double TextModel::length_nats(std::span<const std::span<const int32_t>> texts) const {
  double nats = 0;
  for (const auto& text : texts) nats -= lengths_.log_probability(static_cast<int64_t>(text.size()));
  return nats;
}

Samples TextModel::sample(const std::vector<Canvas>& start, Generator& generator,
                          const SamplerObserver& observer) const {
  const PrecisionScope precision(precision_called(settings_.text("sample.precision")));
  SamplerOptions options;
  options.filter = {settings_.real("sample.temperature"),
                    settings_.integer("sample.top_k"),
                    settings_.real("sample.top_p"),
                    {}};
  std::vector<int32_t>& forbidden = options.filter.forbidden;
  if (!settings_.boolean("sample.special_tokens")) forbidden = {Tokenizer::kPad, Tokenizer::kUnknown};
  if (ends_are_fixed()) forbidden.push_back(Tokenizer::kEnd);
  options.observer = observer;
  const auto steps = static_cast<int>(settings_.integer("sample.steps"));
  const std::string sampler = settings_.text("sample.sampler");
  if (const auto* noise = std::get_if<DiscreteNoise>(&process_)) {
    if (sampler != "ancestral")
      fail("sample.sampler {} is for continuous time; this model's time is discrete", sampler);
    return ancestral_sample(*denoiser_, start, sampling_grid(*noise, std::min(steps, noise->steps())),
                            generator, options);
  }
  const auto& schedule = std::get<MaskingSchedule>(process_);
  if (sampler == "first-hitting")
    return first_hitting_sample(*denoiser_, start, schedule, generator, options);
  if (sampler == "top-margin") return top_margin_sample(*denoiser_, start, schedule, generator, options);
  return ancestral_sample(*denoiser_, start, sampling_grid(schedule, steps), generator, options);
}

bool TextModel::ends_are_fixed() const {
  return settings_.text("data.layout") == "padded";
}

std::filesystem::path checkpoint_in(const std::filesystem::path& folder) {
  if (std::filesystem::exists(folder / "model.safetensors")) return folder;
  if (!std::filesystem::is_directory(folder)) fail("{}: there is no such run", folder.string());
  return latest_checkpoint_of(folder);
}

std::filesystem::path latest_checkpoint_of(const std::filesystem::path& run_folder) {
  std::vector<std::string> damage;
  const auto latest = find_latest_checkpoint(run_folder, &damage);
  if (!latest) {
    fail("{}: the folder holds no whole checkpoint{}", run_folder.string(),
         damage.empty() ? "" : fmt::format(" ({})", damage.front()));
  }
  for (const std::string& sentence : damage)
    std::fputs(fmt::format("haze: {}; this is {} instead\n", sentence, latest->string()).c_str(), stderr);
  return *latest;
}

}  // namespace haze
