#include "haze/tools/tasks/text_task.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "haze/tools/run/data_files.h"
#include "haze/tools/run/progress.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/tasks/control_measures.h"
#include "haze/tools/tasks/corpus_floor.h"
#include "haze/tools/tasks/gapped_text.h"
#include "haze/tools/tasks/tagging.h"
#include "haze/tools/tasks/text_requests.h"
#include "haze/tools/text/character_ngrams.h"

namespace haze {
namespace {

// The length of text i is drawn from a stream of its own, far from the samplers'.
constexpr uint64_t kFirstLengthStream = uint64_t{1} << 62;

constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr const char* kLengthsFile = "lengths.json";
constexpr const char* kLabelsFile = "labels.json";

bool learns_pairs(const Settings& settings) {
  return settings.text("data.task") == "pairs";
}

TextExampleOptions example_options(const Settings& settings) {
  const Annotation annotation = annotation_of_task(settings.text("data.task"));
  return {.texts = {.max_length = static_cast<int32_t>(settings.integer("data.max_length")),
                    .layout = data_layout(settings.text("data.layout")),
                    .too_long = long_record(settings.text("data.too_long"))},
          .sources = learns_pairs(settings),
          .max_source_length = settings.integer("data.max_source_length"),
          .label_field = settings.text("data.label"),
          .annotation = annotation,
          .spelling = annotation == Annotation::tags};
}

// The classes that the training file has.
Labels labels_of(const Settings& settings, const TextFile& file) {
  const std::string& field = settings.text("data.label");
  if (!field.empty()) return Labels::of(file, field);
  const Annotation annotation = annotation_of_task(settings.text("data.task"));
  if (annotation == Annotation::none) return {};
  return Labels::of_names(TextAnnotations::read(file.path(), annotation, file.size()).class_names());
}

// Says on standard error that many tokens are the unknown one: a model of little else has a good bound.
void warn_of_unknown(const TokenCounter& counter, const Tokenizer& tokenizer, const TextFile& file,
                     const Settings& settings) {
  const int64_t min_count = settings.integer("data.min_count");
  for (const TextSide side : {TextSide::target, TextSide::source}) {
    const std::string where = (side == TextSide::source ? "the sources of " : "") + file.path().string();
    const double rare = counter.rare_share(min_count, side), excluded = counter.excluded_share(side);
    if (rare > kMostRareShare) {
      say(
          fmt::format("haze: {:.0f}% of the {} of {} occur fewer than {} times and become <unk>; --set "
                      "data.min_count=1 keeps all of them",
                      100 * rare, tokenizer.units(), where, min_count));
    }
    if (excluded > kMostRareShare) {
      say(fmt::format(
          "haze: {:.0f}% of the {} of {} are spelt like the model's own signs, such as <unk>, and "
          "become <unk> with every data.min_count",
          100 * excluded, tokenizer.units(), where));
    }
  }
}

// Says on standard error that words hold the punctuation beside them: "pub" and "pub," are two words then.
void warn_of_punctuation(const TextExamples& examples, const Tokenizer& tokenizer, const TextFile& file) {
  constexpr double kMany = 0.05;
  if (!tokenizer.is(TokenizerKind::word)) return;
  const auto has_punctuation = [&](int32_t id) {
    const std::string_view word = tokenizer.token(id);
    return id > Tokenizer::kUnknown && word.find_last_of(".,;:!?") == word.size() - 1 &&
           word.find_last_not_of(".,;:!?") != std::string_view::npos;
  };
  std::vector<uint8_t> is_with(static_cast<size_t>(tokenizer.vocabulary_size()));
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id)
    is_with[static_cast<size_t>(id)] = has_punctuation(id);
  int64_t words = 0, count = 0;
  int32_t example = Tokenizer::kUnknown;
  for (int64_t i = 0; i < examples.size(); ++i) {
    for (const int32_t id : examples.text(i)) {
      words += id != Tokenizer::kEnd;
      if (!is_with[static_cast<size_t>(id)]) continue;
      ++count;
      // The most frequent: it has the smallest id.
      if (example == Tokenizer::kUnknown || id < example) example = id;
    }
  }
  const double share = static_cast<double>(count) / static_cast<double>(words);
  if (words == 0 || share <= kMany) return;
  say(
      fmt::format("haze: {:.0f}% of the words of {} hold punctuation, such as '{}'; --set "
                  "data.tokenizer=word-punctuation makes it tokens of its own",
                  100 * share, file.path().string(), tokenizer.token(example)));
}

LengthDistribution lengths_of(const TextExamples& examples, int64_t longest) {
  std::vector<int64_t> counts(static_cast<size_t>(longest) + 1);
  for (int64_t i = 0; i < examples.size(); ++i) ++counts[examples.text(i).size()];
  return LengthDistribution(std::move(counts));
}

}  // namespace

TextTask::TextTask(const Settings& settings, std::filesystem::path folder, Tokenizer tokenizer,
                   LengthDistribution lengths, Labels labels)
    : folder_(std::move(folder)),
      max_length_(settings.integer("data.max_length")),
      max_source_length_(learns_pairs(settings) ? settings.integer("data.max_source_length") : 0),
      ends_are_fixed_(settings.text("data.layout") == "padded"),
      is_one_text_(settings.text("data.format") == "raw"),
      pairs_(learns_pairs(settings)),
      label_field_(settings.text("data.label")),
      annotation_(annotation_of_task(settings.text("data.task"))),
      tokenizer_(std::move(tokenizer)),
      lengths_(std::move(lengths)),
      labels_(std::move(labels)) {}

std::unique_ptr<TextTask> TextTask::start(const Settings& settings, const std::filesystem::path& folder) {
  const DataFiles files = data_files(settings, folder / "data");
  const TextFile file(files.train, text_file_options(settings, Part::train));
  const TokenCounter counter =
      count_tokens(tokenizer_kind(settings.text("data.tokenizer")), file, learns_pairs(settings));
  Tokenizer tokenizer = counter.build(settings.integer("data.min_count"));
  Labels labels = labels_of(settings, file);
  const TextExamples examples(file, tokenizer, labels, example_options(settings));
  warn_of_unknown(counter, tokenizer, file, settings);
  warn_of_punctuation(examples, tokenizer, file);
  return std::make_unique<TextTask>(settings, folder, std::move(tokenizer),
                                    lengths_of(examples, settings.integer("data.max_length")),
                                    std::move(labels));
}

std::unique_ptr<TextTask> TextTask::restore(const Settings& settings, const std::filesystem::path& folder,
                                            const SideFiles& files) {
  const auto name = [](const char* file) { return std::string(file) + " of the checkpoint"; };
  Labels labels;
  if (!settings.text("data.label").empty() ||
      annotation_of_task(settings.text("data.task")) != Annotation::none)
    labels = Labels::from_json(side_file(files, kLabelsFile), name(kLabelsFile));
  return std::make_unique<TextTask>(
      settings, folder, Tokenizer::from_json(side_file(files, kTokenizerFile), name(kTokenizerFile)),
      LengthDistribution::from_json(side_file(files, kLengthsFile), name(kLengthsFile)), std::move(labels));
}

DataFacts TextTask::facts() const {
  return {.vocabulary = tokenizer_.vocabulary_size(),
          .mask_id = tokenizer_.mask_id(),
          .end_id = Tokenizer::kEnd,
          .unknown_id = Tokenizer::kUnknown,
          .max_length = max_length_,
          .max_source_length = max_source_length_,
          .labels = label_field_.empty() ? 0 : labels_.count(),
          .tags = annotation_ == Annotation::tags ? labels_.count() : 0,
          .span_labels = annotation_ == Annotation::trees ? labels_.count() : 0,
          .spelling_buckets = annotation_ == Annotation::tags ? kSpellingBuckets : 0};
}

int32_t TextTask::label_called(const std::string& field, const std::string& value) const {
  if (label_field_.empty()) fail("the run has no labels; data.task labelled with data.label gives it some");
  if (label_field_ == kAnyField) return labels_.called(label_name({field, value}), "field and value");
  if (field != label_field_) fail("the run has labels of the field '{}', not of '{}'", label_field_, field);
  return labels_.called(value, field);
}

std::vector<int32_t> TextTask::tags_called(const std::vector<std::string>& names) const {
  if (annotation_ != Annotation::tags) fail("the run has no parts of speech; data.task tagged gives it some");
  std::vector<int32_t> tags;
  for (const std::string& name : names) tags.push_back(labels_.called(name, "part of speech"));
  return tags;
}

std::vector<int32_t> TextTask::span_labels_with(const std::string& label) const {
  if (annotation_ != Annotation::trees) fail("the run has no trees; data.task parsed gives it some");
  std::vector<int32_t> result;
  std::vector<std::string> names;
  for (int64_t i = 1; i < labels_.count(); ++i) {
    if (holds_label(labels_.name(i), label)) result.push_back(static_cast<int32_t>(i));
    if (labels_.name(i).find('+') == std::string::npos) names.push_back(labels_.name(i));
  }
  // Throws, since no class holds the label.
  if (result.empty()) Labels::of_names(names).called(label, "phrase");
  return result;
}

int32_t TextTask::span_label_called(const std::string& joined) const {
  if (annotation_ != Annotation::trees) fail("the run has no trees; data.task parsed gives it some");
  return labels_.called(joined, "phrase");
}

SideFiles TextTask::side_files() const {
  SideFiles files{{kTokenizerFile, tokenizer_.to_json()}, {kLengthsFile, lengths_.to_json()}};
  if (labels_.count() > 1) files.emplace_back(kLabelsFile, labels_.to_json());
  return files;
}

DataSummary TextTask::summary(const Examples& train, const Examples& valid) const {
  const auto& learned = dynamic_cast<const TextExamples&>(train);
  const TextExamples::Counts counts = learned.counts();
  const double unknown = counts.unknown_share(),
               unknown_valid = dynamic_cast<const TextExamples&>(valid).counts().unknown_share();
  const int64_t texts = counts.texts, tokens = counts.tokens + learned.texts().dropped_count(),
                vocabulary = tokenizer_.learned_size();
  const auto count = [](const char* name, int64_t number) {
    return Measure{name, name, static_cast<double>(number), {}, "", 0};
  };
  DataSummary summary;
  summary.measures = {count("texts", texts),
                      count("tokens", tokens),
                      count("vocabulary", vocabulary),
                      {"unknown_share", "unknown_share", unknown, {}},
                      {"validation_unknown_share", "validation_unknown_share", unknown_valid, {}}};
  summary.line = fmt::format("{} text{}", format_whole(texts), texts == 1 ? "" : "s");
  if (!ends_are_fixed_) {
    summary.measures.insert(summary.measures.begin() + 1, count("blocks", learned.size()));
    summary.line += fmt::format(" in {} blocks of {}", format_whole(learned.size()), max_length_);
  }
  summary.line += fmt::format(
      ", {} tokens, a vocabulary of {} {}, {:.1f}% of tokens unknown ({:.1f}% of those to evaluate on)",
      format_whole(tokens), format_whole(vocabulary), tokenizer_.units(), 100 * unknown, 100 * unknown_valid);
  if (const int64_t skipped = learned.texts().skipped_count(); skipped > 0)
    summary.line += fmt::format(", {} longer texts left out (data.too_long)", format_whole(skipped));
  if (const int64_t cut = learned.texts().truncated_count(); cut > 0)
    summary.line += fmt::format(", {} longer texts cut (data.too_long)", format_whole(cut));
  return summary;
}

std::string TextTask::origin(const Settings& settings, Part part) const {
  return data_file(settings, folder_ / "data", part).string();
}

std::filesystem::path TextTask::file_of(const Settings& settings, Part part) const {
  // A corpus that is missing is the same when it is written again.
  if (part != Part::test) data_files(settings, folder_ / "data");
  return data_file(settings, folder_ / "data", part);
}

std::string TextTask::fingerprint(const Settings& settings, Part part) const {
  return fingerprint_of(file_of(settings, part));
}

std::unique_ptr<Examples> TextTask::examples(const Settings& settings, Part part) const {
  return std::make_unique<TextExamples>(TextFile(file_of(settings, part), text_file_options(settings, part)),
                                        tokenizer_, labels_, example_options(settings));
}

std::unique_ptr<Examples> TextTask::examples_of(const Settings& settings,
                                                const std::filesystem::path& file) const {
  return std::make_unique<TextExamples>(TextFile(file, text_file_options(settings)), tokenizer_, labels_,
                                        example_options(settings));
}

std::unique_ptr<Examples> TextTask::untagged_examples_of(const Settings& settings,
                                                         const std::filesystem::path& file) const {
  TextExampleOptions options = example_options(settings);
  options.annotation = Annotation::none;
  options.texts.too_long = LongRecord::error;
  return std::make_unique<TextExamples>(TextFile(file, text_file_options(settings)), tokenizer_, labels_,
                                        options);
}

std::vector<Request> TextTask::gapped_requests(const SampleRequest& request) const {
  const GappedText text(tokenizer_, *request.gapped, max_length_, ends_are_fixed_);
  std::vector<Request> requests;
  for (int64_t i = 0; i < request.count; ++i) {
    Generator generator(request.seed, kFirstLengthStream + static_cast<uint64_t>(request.first + i));
    requests.push_back(text.request(lengths_, generator));
  }
  return requests;
}

Request TextTask::request_of(const Uses& uses, const SampleRequest& request, int64_t index) const {
  Request prompt;
  if (request.prompt) prompt = prompted_request(tokenizer_, *request.prompt, max_length_, ends_are_fixed_);
  if (!uses.length && request.length == 0) return prompt;
  const int64_t given = std::ssize(prompt.start);
  if (request.length > 0 && request.length <= given)
    fail("a text of {} tokens has no room after the prompt's {}", request.length, given);
  Generator generator(request.seed, kFirstLengthStream + static_cast<uint64_t>(request.first + index));
  const int64_t length =
      request.length > 0 ? request.length : lengths_.draw(generator, std::max(given, request.shortest - 1));
  Request open = open_request(length, ends_are_fixed_);
  std::copy(prompt.start.begin(), prompt.start.end(), open.start.begin());
  std::copy(prompt.fixed.begin(), prompt.fixed.end(), open.fixed.begin());
  return open;
}

std::vector<Request> TextTask::requests(const Settings& settings, const Uses& uses,
                                        const SampleRequest& request) const {
  const std::string& model = settings.text("model");
  if (request.gapped && !uses.gaps) fail("the model {} cannot infill texts", model);
  if (request.prompt && !uses.prompt && !uses.gaps) fail("the model {} takes no prompt", model);
  // A sampler that fills gaps can be given the end token, and so a length, though it decides by itself
  // without one.
  if (request.length > 0 && !uses.length && !(uses.gaps && ends_are_fixed_))
    fail("the model {} decides by itself where a text ends; it takes no length", model);
  const int64_t least = std::max(request.length, request.shortest);
  if (request.length < 0 || least > max_length_)
    fail(
        "a text of {} tokens is outside 1..{}, what this model writes; data.max_length of the training says "
        "so",
        request.length < 0 ? request.length : least, max_length_);
  if (request.source && !pairs_) fail("the model {} was not trained on pairs; it takes no source", model);
  if (request.source && !uses.source)
    fail("the model {} learned the texts of its pairs alone: without a classifier it takes no source", model);
  if (uses.source && !request.source)
    fail("the model {} was trained on pairs: it needs a source to answer to (--source)", model);
  const std::optional<int32_t> label = wanted_label(request, uses, facts().labels, model);
  std::vector<int32_t> source;
  if (request.source) source = source_tokens(tokenizer_, *request.source, max_source_length_);
  std::vector<Request> requests;
  if (request.gapped) requests = gapped_requests(request);
  for (int64_t i = std::ssize(requests); i < request.count; ++i)
    requests.push_back(request_of(uses, request, i));
  for (Request& one : requests) {
    one.source = source;
    one.label = label;
  }
  return requests;
}

std::vector<int32_t> TextTask::forbidden_tokens(const Settings& settings, const Uses& uses) const {
  std::vector<int32_t> forbidden;
  if (!settings.boolean("sample.special_tokens")) forbidden = {Tokenizer::kPad, Tokenizer::kUnknown};
  if (is_one_text_ || (uses.length && ends_are_fixed_)) forbidden.push_back(Tokenizer::kEnd);
  return forbidden;
}

std::string TextTask::written(const Samples& samples, int64_t index) const {
  const std::vector<int32_t>& text = samples.texts.at(static_cast<size_t>(index));
  return ends_are_fixed_ ? written_text(tokenizer_, text) : written_stream(tokenizer_, text);
}

std::string TextTask::json(const Samples& samples, int64_t index) const {
  return nlohmann::ordered_json{{"text", written(samples, index)},
                                {"tokens", samples.texts.at(static_cast<size_t>(index))}}
      .dump();
}

Trace TextTask::new_trace(const Request& request) const {
  Trace trace;
  trace.fixed.assign(request.fixed.begin(), request.fixed.end());
  trace.separator = std::string(tokenizer_.separator());
  return trace;
}

TraceStep TextTask::trace_step(const Snapshot& snapshot, size_t index) const {
  TraceStep step;
  const std::vector<int32_t>& text = (*snapshot.texts)[index];
  for (const int32_t token : text) {
    if (token == tokenizer_.mask_id()) {
      step.tokens.emplace_back();
    } else if (token == Tokenizer::kEnd || token == Tokenizer::kPad) {
      step.tokens.emplace_back("");
    } else {
      step.tokens.emplace_back(std::string(tokenizer_.shown(token)));
    }
  }
  step.label = snapshot.time.empty() ? fmt::format("step {}", snapshot.step)
                                     : fmt::format("t = {:.2f}", snapshot.time[index]);
  return step;
}

void TextTask::measure(const TaskEvaluation& evaluation, Report& report) const {
  const auto& examples = dynamic_cast<const TextExamples&>(evaluation.examples);
  int64_t unknown = 0;
  double length_nats = 0;
  for (const int64_t index : evaluation.indices) {
    const auto text = examples.text(index);
    unknown += std::count(text.begin(), text.end(), Tokenizer::kUnknown);
    length_nats -= lengths_.log_probability(std::ssize(text));
  }
  const double units = report.at("tokens").value;
  report.measures.push_back(
      {"unknown_share", "tokens that are the unknown word", static_cast<double>(unknown) / units});
  const Sampler* sampler = evaluation.model.sampler();
  if (const Measure* bound = report.find("nats_per_token"); bound && ends_are_fixed_ && sampler) {
    // A model that ends its texts by itself has paid for their lengths: tables compare this measure.
    const double lengths = sampler->uses().length ? length_nats / units : 0;
    report.measures.push_back({"length_nats_per_token", "lengths", lengths, {}, "nats per token"});
    report.measures.push_back({"nats_per_token_with_length", "both together", bound->value + lengths,
                               bound->error, "nats per token"});
  }
  measure_against_corpus(*this, evaluation, unknown, report);
  measure_controls(*this, evaluation, report);
  measure_tags(evaluation, report);
}

}  // namespace haze
