#include "haze/diffusion/gaussian/diffusion_lm/word_parser.h"

#include <algorithm>

namespace haze {
namespace {

constexpr const char* kName = "word_parser";

int64_t labels_of(const DataFacts& facts) {
  if (facts.span_labels < 2) fail("{}: the data have no trees, of which it could learn", kName);
  return facts.span_labels;
}

// Spans of a text of `length` rows that begin before row `begin`.
int64_t spans_before(int64_t begin, int64_t length) {
  return begin * length - begin * (begin - 1) / 2;
}

// The label of each of all_spans().
Tensor span_labels(const Batch& batch, const Sequences& sequences) {
  const std::vector<std::vector<LabelledSpan>>& spans = batch.spans_for(kName);
  std::vector<int32_t> labels;
  for (size_t i = 0; i < spans.size(); ++i) {
    const auto offset = static_cast<int64_t>(labels.size());
    const int64_t length = sequences.lengths[i], tokens = batch.target->sequences.lengths[i];
    labels.resize(static_cast<size_t>(offset + spans_before(length, length)));
    for (const LabelledSpan& span : spans[i]) {
      if (span.begin < 0 || span.end <= span.begin || span.end > tokens)
        fail("{}: a phrase of tokens {} to {} is not within a text of {}", kName, span.begin, span.end - 1,
             tokens);
      labels[static_cast<size_t>(offset + spans_before(span.begin, length) + span.end - span.begin - 1)] =
          span.label;
    }
  }
  return Tensor::from(labels, {std::ssize(labels)}, sequences.index.device());
}

}  // namespace

SpanRows all_spans(const Sequences& sequences) {
  std::vector<int32_t> first, last, text;
  int64_t row = 0;
  for (size_t i = 0; i < sequences.lengths.size(); ++i) {
    const int64_t end = row + sequences.lengths[i];
    for (int64_t begin = row; begin < end; ++begin) {
      for (int64_t other = begin; other < end; ++other) {
        first.push_back(static_cast<int32_t>(begin));
        last.push_back(static_cast<int32_t>(other));
        text.push_back(static_cast<int32_t>(i));
      }
    }
    row = end;
  }
  const Shape shape{std::ssize(first)};
  const Device device = sequences.index.device();
  return {Tensor::from(first, shape, device), Tensor::from(last, shape, device),
          Tensor::from(text, shape, device)};
}

WordParser::WordParser(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
                       Generator& generator)
    : labels_(labels_of(facts)),
      reader_(kName, settings, facts, frozen, generator),
      first_(settings.integer("transformer.hidden"), settings.integer("transformer.hidden"), generator),
      last_(settings.integer("transformer.hidden"), settings.integer("transformer.hidden"), generator,
            /*bias=*/false),
      head_(settings.integer("transformer.hidden"), labels_, generator) {
  add_module("", reader_);
  add_module("first", first_);
  add_module("last", last_);
  add_module("head", head_);
}

Batch WordParser::prepare(Batch batch, size_t, Generator& generator) const {
  batch.spans_for(kName);
  batch.prepared = reader_.noisy(batch, generator);
  return batch;
}

Loss WordParser::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const NoisyEmbeddings& noisy = noisy_of(batch, kName);
  const Sequences& sequences = noisy.sequences;
  const SpanRows spans = all_spans(sequences);
  const Tensor labels = span_labels(batch, sequences);
  const Variable logits = this->logits(noisy.x_t, sequences, noisy.time, spans, context);
  const Variable of_labels = gather(log_softmax(logits), 1, unsqueeze(labels, 1));
  std::vector<double> shares;
  for (const int64_t length : sequences.lengths)
    shares.push_back(-1.0 / static_cast<double>(length * sequences.count));
  const Tensor of_texts = Tensor::from(std::vector<float>(shares.begin(), shares.end()),
                                       {std::ssize(shares), 1}, sequences.index.device());
  const Tensor weights = cast(index_select(of_texts, 0, spans.text), of_labels.dtype());
  return {.total = sum(of_labels * Variable(weights)),
          .log = {{"recall", share_found(logits.value(), labels)}},
          .inputs = {{"x_t", noisy.x_t}, {"time", noisy.time}, {"labels", labels}}};
}

Variable WordParser::logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                            const SpanRows& spans, const ForwardContext& context) const {
  const Variable rows = reader_.rows(x_t, sequences, time, context);
  const Variable first = index_select(first_.forward(rows), 0, spans.first);
  const Variable last = index_select(last_.forward(rows), 0, spans.last);
  return head_.forward(relu(first + last));
}

ModelInfo word_parser_model() {
  ModelInfo info = noisy_reader_info(kName, "parsed");
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<WordParser>(settings, facts, frozen.at(0), generator);
  };
  return info;
}

}  // namespace haze
