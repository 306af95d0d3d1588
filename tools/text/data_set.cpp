#include "haze/tools/text/data_set.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "haze/engine/error.h"
#include "haze/tools/text/choice.h"

namespace haze {
namespace {

constexpr std::array<Choice<Layout>, 2> kLayouts{{{"padded", Layout::padded}, {"packed", Layout::packed}}};
constexpr std::array<Choice<LongRecord>, 3> kLongRecords{
    {{"error", LongRecord::error}, {"truncate", LongRecord::truncate}, {"skip", LongRecord::skip}}};

}  // namespace

Layout data_layout(std::string_view name) {
  return choose("data.layout", name, kLayouts);
}

LongRecord long_record(std::string_view name) {
  return choose("data.too_long", name, kLongRecords);
}

DataSet::DataSet(const TextFile& file, const Tokenizer& tokenizer, const DataSetOptions& options)
    : options_(options), offsets_{0} {
  if (options.max_length < 2) fail("data.max_length must be at least 2, but is {}", options.max_length);
  if (file.is_one_text() && options.layout == Layout::padded)
    fail("data.format raw is one text, which data.layout packed cuts into blocks; padded is for several");
  for (int64_t i = 0; i < file.size(); ++i) {
    std::vector<int32_t> ids = tokenizer.encode(file.record(i).target);
    if (!file.is_one_text()) ids.push_back(Tokenizer::kEnd);
    if (options.layout == Layout::padded) {
      add_padded(std::move(ids), file, i);
    } else {
      ids_.insert(ids_.end(), ids.begin(), ids.end());
    }
  }
  if (options.layout == Layout::packed) cut_into_blocks(file);
  record_count_ = file.size() - skipped_count_;
  if (size() == 0) {
    fail(
        "{}: every record has more than data.max_length = {} tokens, end token counted; raise "
        "data.max_length",
        file.path().string(), options.max_length);
  }
  ids_.shrink_to_fit();
  offsets_.shrink_to_fit();
}

void DataSet::add_padded(std::vector<int32_t> ids, const TextFile& file, int64_t record) {
  if (std::ssize(ids) > options_.max_length) {
    switch (options_.too_long) {
      case LongRecord::error:
        fail(
            "{}: the text has {} tokens, end token counted, more than data.max_length = {}; raise "
            "data.max_length, or set data.too_long to \"truncate\" or \"skip\"",
            file.location(record), ids.size(), options_.max_length);
      case LongRecord::skip:
        ++skipped_count_;
        return;
      case LongRecord::truncate:
        ++truncated_count_;
        ids.resize(static_cast<size_t>(options_.max_length));
        ids.back() = Tokenizer::kEnd;
    }
  }
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  offsets_.push_back(std::ssize(ids_));
  records_.push_back(record);
}

void DataSet::cut_into_blocks(const TextFile& file) {
  const int64_t blocks = std::ssize(ids_) / options_.max_length;
  if (blocks == 0) {
    const char* const subject = file.part() == FilePart::all     ? "the file"
                                : file.part() == FilePart::tenth ? "the tenth held out"
                                                                 : "the part to train on";
    fail("{}: {} has {} tokens{}, too few for one block of data.max_length = {}; lower data.max_length",
         file.path().string(), subject, ids_.size(), file.is_one_text() ? "" : ", end tokens counted",
         options_.max_length);
  }
  dropped_count_ = std::ssize(ids_) % options_.max_length;
  ids_.resize(static_cast<size_t>(blocks * options_.max_length));
  for (int64_t block = 1; block <= blocks; ++block) offsets_.push_back(block * options_.max_length);
}

std::span<const int32_t> DataSet::sequence(int64_t index) const {
  if (index < 0 || index >= size())
    fail("the data set has {} sequences, so there is no sequence {}", size(), index);
  const auto begin = static_cast<size_t>(offsets_[static_cast<size_t>(index)]);
  const auto end = static_cast<size_t>(offsets_[static_cast<size_t>(index) + 1]);
  return std::span(ids_).subspan(begin, end - begin);
}

}  // namespace haze
