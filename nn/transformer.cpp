#include "haze/nn/transformer.h"

#include <array>

namespace haze {
namespace {

// One subject and verb for each way in which time enters, for errors.
const char* time_needs(TimeConditioning time) {
  switch (time) {
    case TimeConditioning::none:
      break;
    case TimeConditioning::added:
    case TimeConditioning::per_layer:
      return "time embeddings need";
    case TimeConditioning::prefix:
      return "time prefixes need";
    case TimeConditioning::adaptive:
      return "adaptive norms need";
  }
  return "";
}

// Rows before which each sequence has a row of its own.
struct PrefixedRows {
  Variable x;
  Sequences sequences;  // their positions are 0 for a prefix, and otherwise as they were
  Tensor wanted;        // the rows asked for, all but the prefixes by default
};

PrefixedRows with_prefixes(const Variable& x, const Variable& prefixes, const Sequences& sequences,
                           const Tensor& positions, const Tensor& wanted) {
  const auto rows = static_cast<int32_t>(sequences.rows);
  std::vector<int64_t> lengths;
  std::vector<int32_t> sources;  // of each new row, among those of x and then the prefixes
  std::vector<int32_t> places;   // where each row of x has gone
  for (int32_t i = 0, row = 0; i < static_cast<int32_t>(sequences.count); ++i) {
    lengths.push_back(sequences.lengths[static_cast<size_t>(i)] + 1);
    sources.push_back(rows + i);
    for (int64_t left = lengths.back() - 1; left > 0; --left, ++row) {
      places.push_back(static_cast<int32_t>(sources.size()));
      sources.push_back(row);
    }
  }
  PrefixedRows result;
  const Device device = x.value().device();
  result.sequences = Sequences::of_lengths(lengths, device);
  const Tensor source = Tensor::from(sources, {result.sequences.rows}, device);
  const std::array<Tensor, 2> old_positions{positions, zeros({sequences.count}, Dtype::int32, device)};
  result.sequences.positions = index_select(concat(old_positions, 0), 0, source);
  result.x = index_select(concat({x, prefixes}, 0), 0, source);
  result.wanted = Tensor::from(places, {sequences.rows}, device);
  if (wanted.defined()) result.wanted = index_select(result.wanted, 0, wanted);
  return result;
}

// The rows of the memory of each former sequence entries[i], with their keys and values in all blocks.
void select_memory(TransformerCache& cache, const std::vector<int32_t>& entries) {
  Sequences& memory = cache.memory;
  std::vector<int64_t> first{0}, lengths;
  for (const int64_t length : memory.lengths) first.push_back(first.back() + length);
  std::vector<int32_t> rows;
  for (const int32_t entry : entries) {
    const auto sequence = static_cast<size_t>(entry);
    lengths.push_back(memory.lengths[sequence]);
    for (int64_t row = first[sequence]; row < first[sequence + 1]; ++row)
      rows.push_back(static_cast<int32_t>(row));
  }
  const Device device = memory.offsets.device();
  memory = Sequences::of_lengths(lengths, device);
  const Tensor kept = Tensor::from(rows, {memory.rows}, device);
  for (BlockCache& block : cache.blocks) block.memory = index_select(block.memory, 0, kept);
}

}  // namespace

void TransformerCache::select(const std::vector<int32_t>& entries) {
  if (length() == 0) return;
  const int64_t count = blocks.front().attention.batch();
  for (const int32_t entry : entries) {
    if (entry < 0 || entry >= count) fail("TransformerCache: there is no sequence {} of {}", entry, count);
  }
  const Device device = blocks.front().attention.keys().device();
  const Tensor kept = Tensor::from(entries, {std::ssize(entries)}, device);
  for (BlockCache& block : blocks) block.attention.select(kept);
  if (blocks.front().memory.defined()) select_memory(*this, entries);
}

std::vector<PastRows> TransformerCache::past(int64_t length) const {
  std::vector<PastRows> result;
  for (const BlockCache& block : blocks) {
    result.push_back({.keys = slice(block.attention.keys(), 1, 0, length),
                      .values = slice(block.attention.values(), 1, 0, length)});
  }
  return result;
}

TransformerCache TransformerCache::of(const std::vector<PastRows>& past) {
  TransformerCache cache{std::vector<BlockCache>(past.size()), {}};
  for (size_t layer = 0; layer < past.size(); ++layer)
    cache.blocks[layer].attention.append(past[layer].keys.value(), past[layer].values.value());
  return cache;
}

Transformer::Transformer(const TransformerConfig& config, Generator& generator)
    : config_(checked_config(config)), norm_(config.hidden, config.epsilon(), !config.adaptive()) {
  if (config.positions == PositionKind::learned) {
    position_embedding_ = std::make_unique<Embedding>(config.max_length, config.hidden, generator);
    add_module("position_embedding", *position_embedding_);
  }
  const bool rotary = config.positions == PositionKind::rotary;
  if (rotary || config.positions == PositionKind::sinusoidal) {
    position_waves_ =
        position_waves(config.max_length, rotary ? config.hidden / config.heads : config.hidden);
    add_constant(position_waves_);
  }
  if (config.time != TimeConditioning::none && config.time != TimeConditioning::per_layer) {
    time_embedding_ = std::make_unique<TimeEmbedding>(config.hidden, generator);
    add_module("time_embedding", *time_embedding_);
  }
  for (int64_t i = 0; i < config.layers; ++i) {
    blocks_.push_back(std::make_unique<TransformerBlock>(config, generator));
    add_module("blocks." + std::to_string(i), *blocks_.back());
  }
  add_module(config.norm == NormPlacement::post ? "embedding_norm" : "final_norm", norm_);
  if (config.adaptive()) {
    final_modulation_ = std::make_unique<Linear>(config.hidden, 2 * config.hidden, generator, true, 0);
    add_module("final_modulation", *final_modulation_);
  }
}

void Transformer::check_inputs(const Variable& x, const Sequences& sequences, const Tensor& t,
                               const TransformerOptions& options) const {
  if (!(x.shape() == Shape{sequences.rows, config_.hidden})) {
    fail("Transformer: x has shape {}, it takes [{}, {}]: a row for each of the sequences' rows",
         x.shape().to_string(), sequences.rows, config_.hidden);
  }
  if (options.cache) check_cache(options);
  if (!options.past.empty()) check_past(sequences, options);
  const int64_t length = options.past.empty()
                             ? sequences.longest + (options.cache ? options.cache->length() : 0)
                             : options.past.front().keys.size(1) + 1;
  if (length > config_.max_length) {
    fail("Transformer: a sequence of {} tokens is longer than max_length {}", length, config_.max_length);
  }
  if (config_.time != TimeConditioning::none && (!t.defined() || !(t.shape() == Shape{sequences.count}))) {
    fail("Transformer: {} a time for each of the {} sequences", time_needs(config_.time), sequences.count);
  }
  check_memory(sequences, options);
}

void Transformer::check_cache(const TransformerOptions& options) const {
  const std::vector<BlockCache>& blocks = options.cache->blocks;
  if (config_.time == TimeConditioning::prefix)
    fail("Transformer: a cache cannot be combined with a time prefix");
  if (options.cache->length() > 0 && blocks.size() != blocks_.size())
    fail("Transformer: the cache is of {} layers, the network has {}", blocks.size(), blocks_.size());
}

void Transformer::check_past(const Sequences& sequences, const TransformerOptions& options) const {
  if (!config_.causal) fail("Transformer: only causal attention can have a past");
  if (config_.cross_attention) fail("Transformer: a past cannot be combined with cross-attention");
  if (config_.time == TimeConditioning::prefix)
    fail("Transformer: a past cannot be combined with a time prefix");
  if (options.cache) fail("Transformer: rows have a cache or a past, not both");
  if (options.past.size() != blocks_.size())
    fail("Transformer: the past is of {} layers, the network has {}", options.past.size(), blocks_.size());
  const Shape& shape = options.past.front().keys.shape();
  if (shape.rank() != 4 || shape[0] != sequences.count || shape[1] < 1) {
    fail("Transformer: the past has shape {}, it must have at least one row of each of {} sequences",
         shape.to_string(), sequences.count);
  }
  if (sequences.rows != sequences.count * sequences.longest)
    fail("Transformer: all sequences must have the same number of candidates");
}

void Transformer::check_memory(const Sequences& sequences, const TransformerOptions& options) const {
  const Memory& memory = options.memory;
  const bool given = memory.rows.defined();
  const bool cached = options.cache && options.cache->length() > 0;
  if (!config_.cross_attention) {
    if (given) fail("Transformer: without cross_attention, nothing reads the memory");
    return;
  }
  if (cached) {
    if (given) fail("Transformer: the cache holds the memory already, later passes take none");
    return;
  }
  if (!given || memory.sequences.count != sequences.count) {
    fail("Transformer: cross-attention needs a memory of {} sequences, it has {}", sequences.count,
         given ? memory.sequences.count : 0);
  }
  if (!(memory.rows.shape() == Shape{memory.sequences.rows, config_.hidden})) {
    fail("Transformer: the memory's rows have shape {}, they must have [{}, {}]",
         memory.rows.shape().to_string(), memory.sequences.rows, config_.hidden);
  }
}

Variable Transformer::with_positions(const Variable& x, const Tensor& positions) const {
  if (position_embedding_) return x + position_embedding_->forward(positions);
  if (config_.positions != PositionKind::sinusoidal) return x;
  return x + Variable(cast(index_select(position_waves_, 0, positions), x.dtype()));
}

Variable Transformer::run_block(size_t layer, const Variable& x, const Sequences& sequences,
                                BlockInputs inputs, const ForwardContext& context) const {
  const TransformerBlock* block = blocks_[layer].get();
  if (!config_.checkpoint_activations || !gradients_enabled())
    return block->forward(x, sequences, inputs, context);
  // The backward pass runs after this function has returned: what the block needs is kept by value.
  const auto run = [block, sequences, inputs, training = context.training](const std::vector<Variable>& given,
                                                                           Generator* generator) {
    BlockInputs again = inputs;
    again.condition = given[1];
    again.memory = given[2];
    return block->forward(given[0], sequences, again, {.training = training, .generator = generator});
  };
  return checkpoint(run, {x, inputs.condition, inputs.memory}, context.generator);
}

Variable Transformer::finish(const Variable& x, const Tensor& index, const Variable& condition) const {
  if (config_.norm == NormPlacement::post) return x;
  if (!final_modulation_) return norm_.forward(x);
  return modulate(norm_, x, final_modulation_->forward(condition), 0, index);
}

Variable Transformer::forward(const Variable& input, const Sequences& sequences, const Tensor& t,
                              const ForwardContext& context, const TransformerOptions& options) const {
  check_inputs(input, sequences, t, options);
  PrefixedRows rows{input, sequences, options.wanted};
  Tensor& positions = rows.sequences.positions;
  if (options.cache && options.cache->length() > 0)
    positions = add(positions,
                    full({}, static_cast<double>(options.cache->length()), Dtype::int32, positions.device()));
  if (!options.past.empty())
    positions = full(positions.shape(), static_cast<double>(options.past.front().keys.size(1)), Dtype::int32,
                     positions.device());
  rows.x = with_positions(input, positions);

  const Variable time = time_embedding_ ? time_embedding_->forward(t) : Variable();
  if (config_.time == TimeConditioning::added) rows.x = rows.x + index_select(time, 0, sequences.index);
  if (config_.time == TimeConditioning::prefix)
    rows = with_prefixes(rows.x, time, sequences, positions, options.wanted);

  BlockInputs inputs{.t = t};
  if (config_.adaptive()) inputs.condition = silu(time);
  if (config_.positions == PositionKind::rotary)
    inputs.rotary = rotary_table(position_waves_, rows.sequences.positions, rows.x.dtype());
  if (options.cache && options.cache->length() == 0)
    *options.cache = {std::vector<BlockCache>(blocks_.size()), options.memory.sequences};
  if (config_.cross_attention) {
    inputs.memory = options.memory.rows;
    inputs.memory_offsets = (options.cache ? options.cache->memory : options.memory.sequences).offsets;
    inputs.queries.offsets = rows.sequences.offsets;
  }

  const Tensor index = sequence_index(rows.sequences, rows.wanted);
  Variable x = config_.norm == NormPlacement::post ? norm_.forward(rows.x) : rows.x;
  x = context.drop(x, config_.dropout);
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    if (layer + 1 == blocks_.size()) {
      inputs.wanted = rows.wanted;
      inputs.queries.offsets = sequences.offsets;
      if (config_.cross_attention && options.wanted.defined())
        inputs.queries = GroupedRows::of(index, sequences.count);
    }
    if (options.cache) inputs.cache = &options.cache->blocks[layer];
    if (!options.past.empty()) inputs.past = options.past[layer];
    x = run_block(layer, x, rows.sequences, inputs, context);
  }
  return finish(x, index, inputs.condition);
}

}  // namespace haze
