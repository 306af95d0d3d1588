#include "haze/diffusion/gaussian/diffusion_lm/word_parser.h"

#include <algorithm>

#include "haze/diffusion/classifier_measures.h"

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
    : NoisyTextClassifier(kName, labels_of(facts), settings, facts, frozen, generator),
      first_(settings.integer("transformer.hidden"), settings.integer("transformer.hidden"), generator),
      last_(settings.integer("transformer.hidden"), settings.integer("transformer.hidden"), generator,
            /*bias=*/false),
      head_(settings.integer("transformer.hidden"), classes(), generator) {
  add_module("first", first_);
  add_module("last", last_);
  add_module("head", head_);
}

Loss WordParser::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const NoisyEmbeddings& noisy = noisy_of(batch);
  const Sequences& sequences = noisy.sequences;
  const SpanRows spans = all_spans(sequences);
  const Tensor labels = span_labels(batch, sequences);
  const Variable logits = this->logits(noisy.x_t, sequences, noisy.time, spans, context);
  const Variable of_labels = gather(log_softmax(logits), 1, unsqueeze(labels, 1));
  const Variable of_texts = index_scatter(of_labels, 0, spans.text, {sequences.count, 1});
  const Tensor lengths = Tensor::from(std::vector<double>(sequences.lengths.begin(), sequences.lengths.end()),
                                      {sequences.count, 1}, of_texts.device());
  return {.total = mean(of_texts / Variable(cast(lengths, of_texts.dtype()))) * -1,
          .log = {{"recall", accuracy_of_marked(logits.value(), labels)}},
          .inputs = {{"x_t", noisy.x_t}, {"time", noisy.time}, {"labels", labels}}};
}

Variable WordParser::logits(const Variable& x_t, const Sequences& sequences, const Tensor& time,
                            const SpanRows& spans, const ForwardContext& context) const {
  const Variable rows = this->rows(x_t, sequences, time, context);
  const Variable first = index_select(first_.forward(rows), 0, spans.first);
  const Variable last = index_select(last_.forward(rows), 0, spans.last);
  return head_.forward(relu(first + last));
}

ModelInfo word_parser_model() {
  return noisy_text_classifier_model<WordParser>(kName, "parsed");
}

}  // namespace haze
