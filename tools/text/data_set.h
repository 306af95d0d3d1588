#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "haze/tools/text/text_file.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// How records become sequences.
enum class Layout {
  padded,  ///< one record is one sequence, of any length up to max_length, to be padded in the batch
  packed,  ///< all records one after the other, cut into blocks of exactly max_length
};

/// The treatment of a record that does not fit in max_length (padded layout).
enum class LongRecord { error, truncate, skip };

/// The layout called "padded" or "packed". Throws Error for any other name.
Layout data_layout(std::string_view name);
/// The treatment called "error", "truncate" or "skip". Throws Error for any other name.
LongRecord long_record(std::string_view name);

struct DataSetOptions {
  int32_t max_length = 64;  ///< tokens of a sequence, the end token among them; at least 2
  Layout layout = Layout::padded;
  LongRecord too_long =
      LongRecord::error;  ///< truncate keeps the first max_length - 1 tokens and the end token
};

/// The targets of a text file as sequences of token ids, tokenised once, held as one flat array: 4 bytes a
/// token and 8 a sequence.
///
/// Every record is followed by Tokenizer::kEnd. Padded sequences therefore end in kEnd and hold it nowhere
/// else. Packed blocks hold it wherever a record ends; the tokens after the last whole block are dropped. A
/// raw text has no end token and is packed.
class DataSet {
 public:
  /// Throws Error where max_length is below 2, where a raw text is to be padded, or where not one sequence
  /// comes out. With LongRecord::error it also throws where a record does not fit, naming file and line.
  DataSet(const TextFile& file, const Tokenizer& tokenizer, const DataSetOptions& options = {});

  /// Number of sequences, at least 1.
  int64_t size() const { return static_cast<int64_t>(offsets_.size()) - 1; }

  /// Token ids of sequence `index` of [0, size()), without padding; valid as long as this DataSet. Throws
  /// Error out of range.
  std::span<const int32_t> sequence(int64_t index) const;

  /// The record of the file that sequence `index` was made of (padded layout).
  int64_t record(int64_t index) const { return records_.at(static_cast<size_t>(index)); }

  const DataSetOptions& options() const { return options_; }

  /// Tokens in all sequences, end tokens counted.
  int64_t token_count() const { return static_cast<int64_t>(ids_.size()); }
  /// Tokens of the texts after the last whole block (packed layout).
  int64_t dropped_count() const { return dropped_count_; }
  /// Records that the sequences were made of.
  int64_t record_count() const { return record_count_; }
  /// Records cut off, or left out, because they did not fit.
  int64_t truncated_count() const { return truncated_count_; }
  int64_t skipped_count() const { return skipped_count_; }

 private:
  void add_padded(std::vector<int32_t> ids, const TextFile& file, int64_t record);
  void cut_into_blocks(const TextFile& file);

  DataSetOptions options_;
  std::vector<int32_t> ids_;
  std::vector<int64_t> offsets_;  // sequence i is ids_[offsets_[i], offsets_[i + 1])
  std::vector<int64_t> records_;  // of each sequence in padded layout
  int64_t record_count_ = 0, truncated_count_ = 0, skipped_count_ = 0, dropped_count_ = 0;
};

}  // namespace haze
