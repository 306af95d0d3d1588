#include "haze/diffusion/gaussian/diffusion_lm/text_control.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace haze {
namespace {

// The sum of numbers [n, 1] by text, [texts].
Variable by_text(const Variable& numbers, const Tensor& text, int64_t texts) {
  return reshape(index_scatter(numbers, 0, text, {texts, 1}), {texts});
}

Tensor numbers_of(const std::vector<int32_t>& values, Device device) {
  return Tensor::from(values, {std::ssize(values)}, device);
}

void check_class(const char* what, int32_t wanted, int64_t classes) {
  if (wanted < 0 || wanted >= classes)
    fail("diffusion_lm: the {} {} is not one of the classifier's {}", what, wanted, classes);
}

// A term of log p(c | x_t): rows of x_t, their sequences, and times t / T -> [texts].
using ControlTerm =
    std::function<Variable(const Variable& rows, const Sequences& sequences, const Tensor& time)>;

std::optional<ControlTerm> label_term(const WordClassifier* classifier, std::span<const Request> requests,
                                      Device device) {
  std::vector<int32_t> labels;
  for (const Request& request : requests) {
    if (request.label) labels.push_back(*request.label);
  }
  if (labels.empty()) return {};
  if (labels.size() != requests.size()) {
    fail("diffusion_lm: {} of {} requests have a label; either all have one or none", labels.size(),
         requests.size());
  }
  if (!classifier) fail("diffusion_lm: only a classifier leads texts to a label: see sample.classifier");
  for (const int32_t label : labels) check_class("label", label, classifier->classes());
  const Tensor wanted = unsqueeze(numbers_of(labels, device), 1);
  return [classifier, wanted](const Variable& rows, const Sequences& sequences, const Tensor& time) {
    const Variable logits = classifier->logits(rows, sequences, time);
    return reshape(gather(log_softmax(logits), 1, wanted), {sequences.count});
  };
}

std::optional<ControlTerm> tags_term(const WordTagger* tagger, std::span<const Request> requests,
                                     const Sequences& sequences, Device device) {
  std::vector<int32_t> rows, tags, text;
  int32_t row = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::vector<int32_t>& wanted = requests[i].tags;
    const int64_t length = sequences.lengths[i];
    if (std::ssize(wanted) > length)
      fail("diffusion_lm: {} tags are wanted of text {}, which has {} tokens", wanted.size(), i, length);
    for (int64_t j = 0; j < length && !wanted.empty(); ++j) {
      rows.push_back(row + static_cast<int32_t>(j));
      tags.push_back(j < std::ssize(wanted) ? wanted[static_cast<size_t>(j)] : 0);
      text.push_back(static_cast<int32_t>(i));
    }
    row += static_cast<int32_t>(length);
  }
  if (rows.empty()) return {};
  if (!tagger) fail("diffusion_lm: only a classifier leads texts to parts of speech: see sample.tagger");
  for (const int32_t tag : tags) check_class("tag", tag, tagger->classes());
  return [tagger, rows = numbers_of(rows, device), tags = unsqueeze(numbers_of(tags, device), 1),
          text = numbers_of(text, device)](const Variable& x_t, const Sequences& of, const Tensor& time) {
    const Variable log_p = index_select(tagger->log_probabilities(x_t, of, time), 0, rows);
    return by_text(gather(log_p, 1, tags), text, of.count);
  };
}

// Spans of rows, and which labels each may have.
struct AllowedLabels {
  std::vector<int32_t> first, last, text;
  std::vector<int32_t> some;   // of each span: one that is allowed
  std::vector<float> offsets;  // [spans, labels]: 0 where a label is allowed, -infinity elsewhere
  int64_t labels = 0;

  void add(int64_t first_row, int64_t last_row, size_t of_text, const std::vector<int32_t>& allowed) {
    first.push_back(static_cast<int32_t>(first_row));
    last.push_back(static_cast<int32_t>(last_row));
    text.push_back(static_cast<int32_t>(of_text));
    some.push_back(allowed.at(0));
    const size_t begin = offsets.size();
    offsets.resize(begin + static_cast<size_t>(labels), -std::numeric_limits<float>::infinity());
    for (const int32_t label : allowed) offsets[begin + static_cast<size_t>(label)] = 0;
  }
};

void add_spans(const Request& request, size_t text, int64_t row, int64_t length, AllowedLabels& allowed) {
  std::vector<std::optional<std::vector<int32_t>>> wanted(
      static_cast<size_t>(length * length));  // [begin, end - 1]
  for (const WantedSpan& span : request.spans) {
    if (span.begin < 0 || span.end <= span.begin || span.end > length)
      fail("diffusion_lm: a phrase of tokens {} to {} is wanted of text {}, which has {}", span.begin,
           span.end - 1, text, length);
    if (span.labels.empty())
      fail("diffusion_lm: a phrase is wanted of text {}, and it may have no label", text);
    for (const int32_t label : span.labels) check_class("label", label, allowed.labels);
    std::optional<std::vector<int32_t>>& both =
        wanted[static_cast<size_t>(span.begin * length + span.end - 1)];
    if (!both) both = span.labels;
    std::erase_if(*both, [&](int32_t label) {
      return std::find(span.labels.begin(), span.labels.end(), label) == span.labels.end();
    });
    if (both->empty()) {
      fail(
          "diffusion_lm: tokens {} to {} of text {} are wanted to be two constituents that no label has both "
          "of",
          span.begin, span.end - 1, text);
    }
  }
  for (int64_t begin = 0; begin < length; ++begin) {
    for (int64_t last = begin; last < length; ++last) {
      const auto& labels = wanted[static_cast<size_t>(begin * length + last)];
      if (labels) {
        allowed.add(row + begin, row + last, text, *labels);
      } else if (request.spans_are_all) {
        allowed.add(row + begin, row + last, text, {0});
      }
    }
  }
}

// With l the logits of a span, and A its allowed labels, log p(A) = logsumexp_A(l) - logsumexp(l). Both have
// l_k - log softmax(l)_k as their form, for any k of A.
std::optional<ControlTerm> spans_term(const WordParser* parser, std::span<const Request> requests,
                                      const Sequences& sequences, Device device) {
  AllowedLabels allowed{.labels = parser ? parser->classes() : 0};
  int64_t row = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].spans.empty() && !parser)
      fail("diffusion_lm: only a classifier leads texts to phrases: see sample.parser");
    if (!requests[i].spans.empty()) add_spans(requests[i], i, row, sequences.lengths[i], allowed);
    row += sequences.lengths[i];
  }
  if (allowed.first.empty()) return {};
  const SpanRows spans{numbers_of(allowed.first, device), numbers_of(allowed.last, device),
                       numbers_of(allowed.text, device)};
  const Tensor some = unsqueeze(numbers_of(allowed.some, device), 1);
  const Tensor offsets = Tensor::from(allowed.offsets, {std::ssize(allowed.first), allowed.labels}, device);
  return [parser, spans, some, offsets](const Variable& x_t, const Sequences& of, const Tensor& time) {
    const Variable logits = parser->logits(x_t, of, time, spans);
    const Variable among_allowed = log_softmax(logits + Variable(cast(offsets, logits.dtype())));
    const Variable log_p = gather(log_softmax(logits), 1, some) - gather(among_allowed, 1, some);
    return by_text(log_p, spans.text, of.count);
  };
}

}  // namespace

LogProbability text_control(const TextClassifiers& classifiers, std::span<const Request> requests,
                            const WordCanvas& canvas) {
  const Sequences& sequences = canvas.sequences();
  const Device device = sequences.index.device();
  std::vector<ControlTerm> terms;
  for (std::optional<ControlTerm>& term :
       std::vector{label_term(classifiers.label.get(), requests, device),
                   tags_term(classifiers.tags.get(), requests, sequences, device),
                   spans_term(classifiers.spans.get(), requests, sequences, device)}) {
    if (term) terms.push_back(std::move(*term));
  }
  if (terms.empty()) return {};
  return [terms, &canvas](const Variable& x, const NoiseLevel& level) {
    const Variable rows = canvas.rows_of(x);
    const Sequences& of = canvas.sequences();
    const Tensor time = full({of.count}, level.time, Dtype::float32, rows.value().device());
    Variable sum = terms.front()(rows, of, time);
    for (size_t i = 1; i < terms.size(); ++i) sum = sum + terms[i](rows, of, time);
    return sum;
  };
}

}  // namespace haze
