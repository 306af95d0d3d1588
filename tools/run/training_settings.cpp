#include "haze/tools/run/training_settings.h"

#include <algorithm>
#include <array>

#include "haze/engine/error.h"
#include "haze/engine/machine.h"

namespace haze {
namespace {

constexpr std::array<std::string_view, 3> kContinuousSchedules = {"log-linear", "cosine", "polynomial"};
constexpr std::array<std::string_view, 3> kDiscreteSchedules = {"reciprocal", "cosine", "linear"};

// The most of what is counted in 32 bits somewhere below, steps of a process or tokens and rows of a batch:
// far more than anybody needs, and far from where counting goes wrong.
constexpr double kMost = 1 << 20;

SettingsTable data_settings() {
  return {
      text_setting("data.train", "", "file to train on; empty: the built-in corpus"),
      text_setting("data.valid", "", "file to evaluate on; empty: held-out sentences of the built-in corpus"),
      choice_setting("data.format", "e2e", {"e2e", "lines", "jsonl"}, "what the files hold"),
      choice_setting("data.layout", "padded", {"padded", "packed"},
                     "one text a row, or texts end to end in full rows"),
      choice_setting("data.tokenizer", "word", {"word", "character"}, "what a token is"),
      integer_setting("data.min_count", 0, at_least(0),
                      "rarer words become the unknown word; 0: 1 for the built-in corpus, 10 for files"),
      integer_setting("data.max_length", 64, between(2, kMost), "tokens in a row, the end token counted"),
      choice_setting("data.too_long", "error", {"error", "truncate", "skip"},
                     "what to do with a longer text"),
      integer_setting("data.max_line_bytes", 1 << 20, between(1, 2147483646), "longer lines are refused"),
      integer_setting("data.corpus_size", 50000, at_least(100), "sentences of the built-in corpus"),
  };
}

SettingsTable model_settings() {
  return {
      integer_setting("model.layers", 4, between(1, 1000), "transformer blocks"),
      integer_setting("model.hidden", 256, between(1, 65536), "width of a token's vector"),
      integer_setting("model.heads", 8, between(1, 1024), "attention heads; they divide hidden"),
      integer_setting("model.mlp_ratio", 4, between(1, 64), "width of the MLP, in multiples of hidden"),
      choice_setting("model.norm", "pre", {"pre", "post", "adaptive"},
                     "layer norms before a block's parts (GPT), after them (BERT), or steered by time (DiT)"),
      choice_setting("model.positions", "learned", {"learned", "rotary", "sinusoidal"}, "position encoding"),
      real_setting("model.dropout", 0.0, from_to_below(0, 1),
                   "probability of dropping an activation in training"),
  };
}

SettingsTable diffusion_settings() {
  return {
      choice_setting("diffusion.time", "continuous", {"continuous", "discrete"}, "MDLM's time or D3PM's"),
      integer_setting("diffusion.steps", 1000, between(1, kMost), "steps T of discrete time"),
      choice_setting("diffusion.schedule", "auto",
                     {"auto", "log-linear", "cosine", "polynomial", "reciprocal", "linear"},
                     "how fast tokens are masked; auto: log-linear, or reciprocal in discrete time"),
      real_setting("diffusion.polynomial_power", 2.0, above(0), "exponent of the polynomial schedule"),
      real_setting("diffusion.auxiliary_weight", 0.0, at_least(0),
                   "lambda, the weight of the auxiliary cross-entropy of discrete time"),
      choice_setting("diffusion.masks", "auto", {"auto", "exact-count", "independent"},
                     "n of a text's tokens, n drawn evenly, or each by itself at a time t; auto: exact-count "
                     "where time plays no part"),
      boolean_setting("diffusion.antithetic", true, "spread the times of a batch evenly over [0, 1]"),
  };
}

SettingsTable optimizer_settings() {
  return {
      choice_setting("optimizer.kind", "adamw", {"adamw", "adagrad", "sgd"}, "update rule"),
      real_setting("optimizer.learning_rate", 1e-3, above(0), "highest learning rate, after warm-up"),
      real_setting("optimizer.beta1", 0.9, from_to_below(0, 1), "AdamW's memory of the gradient"),
      real_setting("optimizer.beta2", 0.999, from_to_below(0, 1), "AdamW's memory of its square"),
      real_setting("optimizer.epsilon", 1e-8, above(0), "added to the denominator of AdamW and Adagrad"),
      real_setting("optimizer.weight_decay", 0.01, at_least(0), "decoupled decay, times the learning rate"),
      real_setting("optimizer.momentum", 0.9, from_to_below(0, 1), "momentum of SGD"),
      real_setting("optimizer.clip_norm", 1.0, at_least(0),
                   "largest norm of the whole gradient; 0: unlimited"),
      integer_setting("optimizer.warmup_steps", 200, at_least(0),
                      "steps in which the learning rate rises from 0"),
      choice_setting("optimizer.schedule", "cosine", {"cosine", "linear", "constant"},
                     "learning rate after warm-up"),
      real_setting("optimizer.final_fraction", 0.0, between(0, 1),
                   "learning rate at the end, as a fraction of the highest"),
      real_setting("optimizer.ema", 0.0, from_to_below(0, 1), "decay of the averaged weights; 0: no average"),
  };
}

SettingsTable train_settings() {
  return {
      integer_setting("train.steps", 2000, at_least(1), "updates of the weights"),
      integer_setting("train.batch_size", 64, between(1, kMost), "rows in a batch"),
      integer_setting("train.seed", 1, at_least(0), "of every random number of the run"),
      integer_setting("train.checkpoint_every", 500, at_least(1), "steps between checkpoints"),
      integer_setting("train.evaluate_every", 500, at_least(1), "steps between evaluations"),
      integer_setting("train.evaluate_examples", 1000, at_least(1), "rows that an evaluation takes"),
      integer_setting("train.log_every", 10, at_least(1), "steps between lines of metrics.jsonl"),
      choice_setting("train.precision", "float32", {"float32", "bfloat16", "auto"},
                     "of matrix products in training, the rest stays in float32; auto: bfloat16 where the "
                     "processor has it"),
      boolean_setting("train.checkpoint_activations", false,
                      "recompute blocks in backward: less memory, slower"),
      boolean_setting("train.detect_nonfinite", false,
                      "name the operation that first gives NaN or infinity; slower"),
  };
}

SettingsTable sample_settings() {
  return {
      choice_setting("sample.sampler", "ancestral", {"ancestral", "first-hitting", "top-margin"},
                     "how tokens are revealed"),
      integer_setting("sample.steps", 64, between(1, kMost), "denoising steps of the ancestral sampler"),
      real_setting("sample.temperature", 1.0, at_least(0),
                   "of the token probabilities; 0: the most probable"),
      real_setting("sample.top_p", 1.0, above_to(0, 1),
                   "smallest set of tokens with this probability; 1: all"),
      integer_setting("sample.top_k", 0, at_least(0), "the most probable tokens only; 0: all"),
      choice_setting("sample.precision", "float32", {"float32", "bfloat16"},
                     "of matrix products in sampling"),
      boolean_setting("sample.special_tokens", false, "let texts hold <pad> and <unk>"),
      integer_setting("sample.count", 8, at_least(1), "samples to draw"),
  };
}

void resolve_schedule(Settings& settings) {
  const std::string time = settings.text("diffusion.time");
  const bool continuous = time == "continuous";
  if (settings.text("diffusion.schedule") == "auto") {
    settings.set("diffusion.schedule", std::string(continuous ? "log-linear" : "reciprocal"));
  }
  const auto& schedules = continuous ? kContinuousSchedules : kDiscreteSchedules;
  const std::string& schedule = settings.text("diffusion.schedule");
  if (std::find(schedules.begin(), schedules.end(), schedule) == schedules.end()) {
    fail("diffusion.schedule '{}' does not go with {} time, whose schedules are {}", schedule, time,
         fmt::join(schedules, ", "));
  }
}

// Whether the loss depends on the time t beyond the number of masks, which is all that an exact count knows.
bool depends_on_time(const Settings& settings) {
  return settings.text("diffusion.time") == "discrete" || settings.text("model.norm") == "adaptive";
}

void resolve_masks(Settings& settings) {
  const std::string& masks = settings.text("diffusion.masks");
  if (masks == "exact-count" && depends_on_time(settings)) {
    fail(
        "diffusion.masks exact-count goes with neither discrete time nor model.norm adaptive, which need "
        "times");
  }
  if (masks == "auto")
    settings.set("diffusion.masks", std::string(depends_on_time(settings) ? "independent" : "exact-count"));
}

void resolve_min_count(Settings& settings) {
  if (settings.integer("data.min_count") > 0) return;
  // The built-in corpus's entropy is that of all its words: a model is held against it only if it knows them.
  settings.set("data.min_count", int64_t{settings.text("data.train").empty() ? 1 : 10});
}

void resolve_precision(Settings& settings) {
  if (settings.text("train.precision") != "auto") return;
  settings.set("train.precision", std::string(multiplies_bfloat16() ? "bfloat16" : "float32"));
}

void check_time(const Settings& settings) {
  const bool discrete = settings.text("diffusion.time") == "discrete";
  const std::string sampler = settings.text("sample.sampler");
  if (discrete && sampler != "ancestral")
    fail("sample.sampler {} is for continuous time; diffusion.time is discrete", sampler);
  if (!discrete && settings.real("diffusion.auxiliary_weight") != 0)
    fail("diffusion.auxiliary_weight is for discrete time, but diffusion.time is continuous");
}

}  // namespace

const SettingsTable& training_settings() {
  static const SettingsTable table = [] {
    SettingsTable all;
    for (const SettingsTable& section : {data_settings(), model_settings(), diffusion_settings(),
                                         optimizer_settings(), train_settings(), sample_settings()}) {
      all.insert(all.end(), section.begin(), section.end());
    }
    return all;
  }();
  return table;
}

void resolve_training_settings(Settings& settings) {
  resolve_schedule(settings);
  resolve_masks(settings);
  resolve_min_count(settings);
  resolve_precision(settings);
  check_time(settings);
  const std::int64_t hidden = settings.integer("model.hidden");
  const std::int64_t heads = settings.integer("model.heads");
  if (hidden % heads != 0) fail("model.hidden {} is not a multiple of model.heads {}", hidden, heads);
  const std::string& positions = settings.text("model.positions");
  if (positions == "rotary" && hidden / heads % 2 != 0) {
    fail("rotary positions need an even width of each head, and model.hidden {} / model.heads {} is {}",
         hidden, heads, hidden / heads);
  }
  if (positions == "sinusoidal" && hidden % 2 != 0) {
    fail("sinusoidal positions need an even model.hidden, not {}", hidden);
  }
  if (settings.text("data.train").empty() != settings.text("data.valid").empty()) {
    fail("data.train and data.valid go together: give both files, or neither for the built-in corpus");
  }
  if (settings.text("data.train").empty() && settings.text("data.format") != "e2e")
    fail("data.format {} is for files of one's own; the built-in corpus is e2e",
         settings.text("data.format"));
}

Precision precision_called(const std::string& name) {
  if (name == "bfloat16") return Precision::bfloat16;
  if (name != "float32") fail("precision {}: it takes float32 or bfloat16", name);
  return Precision::full;
}

}  // namespace haze
