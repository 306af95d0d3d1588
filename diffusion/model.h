#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "haze/diffusion/batch.h"
#include "haze/nn/layers.h"
#include "haze/nn/named_tensors.h"
#include "haze/nn/settings.h"

/// What the models of all chapters have in common. Trainer, evaluation and sampling know nothing else of a
/// model: adding one is one file or folder in diffusion/, a configuration, and a row in tools/run/models.cpp.
namespace haze {

/// What a task tells a model of its data.
struct DataFacts {
  int64_t vocabulary = 0;         // tokens that a text can hold
  int32_t mask_id = 0;            // read by networks and never part of a text
  int32_t end_id = 0;             // the last token of every text
  int32_t unknown_id = -1;        // stands for words outside the vocabulary; -1: there are none
  int64_t max_length = 0;         // tokens of a target text, its end token among them
  int64_t max_source_length = 0;  // of a source text; 0: there are none
  int64_t labels = 0;             // classes of `Batch::labels`; 0: there are none
  int64_t tags = 0;              // classes of `Batch::tags`, that of end tokens among them; 0: there are none
  int64_t span_labels = 0;       // classes of `Batch::spans` and 0, which is no phrase; 0: there are none
  int64_t spelling_buckets = 0;  // of `Batch::spelling`; 0: there is none
  std::vector<int64_t> value_shape;  // of one example of `Batch::values`
  int64_t value_levels = 0;          // numbers of an image are one of so many, evenly from -1 to 1; 0: any
};

/// A loss and what it is made of.
struct Loss {
  Variable total;  // scalar to minimise, a mean over Model::units()
  NamedTensors
      log;  // scalars for the metrics, means like it; tensors, so that a step reads nothing on the host
  NamedTensors inputs;  // what the network was asked, for programs that repeat the step
};

/// What one optimiser minimises: an adversarial model has two.
struct Objective {
  std::string name;
  std::vector<NamedParameter> parameters;
  int64_t every = 1;  // steps between its updates
};

/// The tokens [begin, end) of a text are wanted to be a phrase with one of these labels.
struct WantedSpan {
  int64_t begin = 0, end = 0;
  std::vector<int32_t> labels;
};

/// What a sampler is asked for. `fixed` marks the tokens of `start` that are given; what stands in the others
/// does not matter. A task fills in what Uses asks for.
struct Request {
  std::vector<int32_t> start;
  std::vector<uint8_t> fixed;  // as long as start
  std::vector<int32_t> source;
  std::optional<int32_t> label;  // the class that is wanted
  std::vector<int32_t> tags;     // the classes that are wanted of the first tokens
  std::vector<WantedSpan> spans;
  bool spans_are_all = false;  // no other tokens of the text are wanted to be a phrase
};

/// The parts of a request that a sampler can use; a task refuses a request with others in a sentence.
struct Uses {
  bool length = false;  // `start` is as long as the text; otherwise the sampler decides where it ends
  bool prompt = false;  // the first tokens may be given
  bool gaps = false;    // any tokens may be given: infilling
  bool source = false;  // needs a source text
  bool label = false;   // can draw examples of one class
  bool tags = false;    // can draw texts whose tokens have given classes
  bool spans = false;   // can draw texts with given phrases
};

/// Texts, or a tensor, and what they cost.
struct Samples {
  std::vector<std::vector<int32_t>> texts;
  Tensor values;              // real [count, ...]
  int64_t network_calls = 0;  // examples put through the network, summed over steps
};

/// What an observer is shown after a step: texts of any length, or a tensor.
struct Snapshot {
  int64_t step = 0, steps = 0;                               // counts from 1; 0 shows the start
  const std::vector<std::vector<int32_t>>* texts = nullptr;  // with mask ids
  const Tensor* values = nullptr;
  std::vector<double> time;  // of each example, falling from 1 to 0; empty where the sampler knows none
};
/// May throw to break the work off.
using SampleObserver = std::function<void(const Snapshot&)>;

struct SampleOptions {
  const Settings& settings;               // with a section [sample]
  std::vector<int32_t> forbidden_tokens;  // never drawn
  SampleObserver observer;                // may be empty
};

/// Draws examples. Example i depends on the generator and i alone, whatever the number of requests.
class Sampler {
 public:
  virtual ~Sampler() = default;
  virtual Uses uses() const { return {}; }
  virtual Samples sample(std::span<const Request> requests, const SampleOptions& options,
                         Generator& generator) const = 0;
};

/// What draws of Likelihood::draw_nats() are.
enum class LikelihoodKind {
  exact,     // -log p itself, the same numbers at every call
  estimate,  // noisy, with the mean -log p
  bound,     // noisy, with a mean that is an upper bound of -log p
};

/// -log p of examples, or an upper bound of it.
class Likelihood {
 public:
  virtual ~Likelihood() = default;
  virtual LikelihoodKind kind() const { return LikelihoodKind::bound; }
  /// Whether draw_nats() gives the same numbers at every call: then one pass is all there is to know.
  bool is_exact() const { return kind() == LikelihoodKind::exact; }
  /// Whether a draw takes many times the work of a loss: then training is measured by its loss.
  virtual bool is_costly() const { return false; }
  /// For each example of a batch a draw of what kind() says, in nats, summed over the example.
  virtual std::vector<double> draw_nats(const Batch& batch, Generator& generator) const = 0;
  /// Terms of which the bound is the sum, for those who want all of them: 0 where there is no such sum.
  virtual int64_t terms() const { return 0; }
  /// One draw of term `term` in 1..terms(), for each example, in nats.
  virtual std::vector<double> term_nats(const Batch& batch, int64_t term, Generator& generator) const;
};

/// What a trained classifier makes of examples, for measures that compare more than their numbers.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  /// Of each example of `values`, real [n, ...], the features that its last layer reads, float32 [n, width].
  virtual Tensor features(const Tensor& values) const = 0;
  /// The likeliest class of each, int32 [n].
  virtual Tensor classes(const Tensor& values) const = 0;
};

/// The classes of words, for commands that annotate texts.
class TokenClassifier {
 public:
  virtual ~TokenClassifier() = default;
  /// The likeliest class of every word of the batch's texts, as Batch::tags has them; end tokens have none.
  virtual std::vector<int32_t> word_classes(const Batch& batch) const = 0;
};

/// A model: parameters, and how they learn, sample and are measured.
class Model : public Module {
 public:
  /// By default one, of all parameters.
  virtual std::vector<Objective> objectives();
  /// What the host does before the loss, and may do ahead of the step: the batch with `prepared` filled in.
  virtual Batch prepare(Batch batch, size_t objective, Generator& generator) const;
  /// A prepared batch with its rows rounded up to a multiple of `multiple`, by rows that count for nothing:
  /// so batches have few shapes. By default the batch as it is.
  virtual Batch padded(Batch prepared, int64_t multiple) const;
  /// The number of terms that loss() of this batch is the mean of: Batch::units(), or, of a classifier, its
  /// examples.
  virtual int64_t units(const Batch& batch) const { return batch.units(); }
  /// The loss of a prepared batch. Throws Error where the batch lacks a part that the model needs.
  virtual Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const = 0;
  /// Null where the model cannot sample; so for the likelihood, the features and the words' classes.
  virtual const Sampler* sampler() const { return nullptr; }
  virtual const Likelihood* likelihood() const { return nullptr; }
  virtual const FeatureExtractor* feature_extractor() const { return nullptr; }
  virtual const TokenClassifier* token_classifier() const { return nullptr; }
  /// Sentences on what has gone wrong in training, such as embeddings that have collapsed. Asked at each
  /// evaluation; may read on the host.
  virtual std::vector<std::string> warnings() const { return {}; }
};

/// A model of another run that a model stands on: its weights are constants.
struct FrozenModel {
  /// Null where the setting that names the run is empty or, of section [sample], nothing will be sampled.
  std::shared_ptr<Model> model;
  DataFacts facts;
  Settings settings;
};
/// In the order of ModelInfo::frozen.
using FrozenModels = std::vector<FrozenModel>;

/// What there is to know of a kind of model before there is one.
struct ModelInfo {
  std::string name;                // of its settings' section too
  std::string paper;               // "Ho et al. 2020, Denoising diffusion probabilistic models"
  std::vector<std::string> tasks;  // that it can learn: texts, pairs, labelled, tensors; the first by default
  SettingsTable settings;          // its own, its network's, and those of its sampler (section [sample])
  /// Keys of settings that name the runs it may stand on; those of section [sample] can be chosen anew for
  /// each sampling.
  std::vector<std::string> frozen = {};
  /// Replaces "auto" by what it stands for. Throws Error where settings that are each right contradict one
  /// another.
  std::function<void(Settings&)> resolve;
  std::function<std::unique_ptr<Model>(const Settings&, const DataFacts&, const FrozenModels&, Generator&)>
      make;
};

}  // namespace haze
