#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/random.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/attention.h"

// Attention by rows. A block has a query of a head and walks over its keys, a chunk at a time: a thread has a
// key of the chunk to find its weight, and then elements of the head to add up weighted values. The maximum
// and the sum of the softmax are kept as they are so far, so no row of scores is ever held (Milakov and
// Gimelshein 2018). The gradient computes the weights again: for queries in blocks like these, for keys and
// values in blocks that have a key and walk over the queries, so that each sum has one block and one order.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 64;  // and as many keys or queries in a chunk

// ---- Sequences ----

/// What the sequences of a call are computed from. Pointers may be null.
struct SequenceNumbers {
  const int32_t *query_offsets, *key_offsets, *key_lengths, *causal_offsets;
  int64_t count, queries, keys;  // rows of an entry of the batch
  bool causal;
  int64_t block_size, query_blocks, key_blocks;  // of the mask; a size of 0 without one
};

struct SequenceRefusals {
  Refuse query_offsets, key_offsets, blocks, key_length;

  explicit SequenceRefusals(const char* operation)
      : query_offsets(operation,
                      "{operation}: query_offsets must rise from 0 to {limit}, the number of rows"),
        key_offsets(operation, "{operation}: key_offsets must rise from 0 to {limit}, the number of rows"),
        blocks(operation,
               "{operation}: block_mask in blocks of {number} is too small for sequence {position} with "
               "{value} queries and {limit} keys"),
        key_length(operation, "{operation}: key length {value} is not in 0..{limit}") {}
};

/// Whether entry s of `count` + 1 offsets is as it should be; refuses it where it is not.
__device__ bool checked_offset(const int32_t* offsets, int64_t s, int64_t count, int64_t rows,
                               const Refuse& refuse) {
  const bool first = s > 0 || offsets[0] == 0,
             next = s == count ? offsets[s] == rows : offsets[s] <= offsets[s + 1];
  if (!first || !next) refuse({.limit = rows});
  return first && next && offsets[s] >= 0 && offsets[s] <= rows && (s == count || offsets[s + 1] <= rows);
}

/// A thread has a sequence, and one more has the last offset. A sequence that is refused gets no rows.
__global__ void find_sequences(SequenceNumbers of, SequenceRefusals refuse, AttentionSequence* sequences) {
  const int64_t s = thread_number();
  if (s > of.count) return;
  bool fits = true;
  if (of.query_offsets) {
    fits = checked_offset(of.query_offsets, s, of.count, of.queries, refuse.query_offsets) &&
           checked_offset(of.key_offsets, s, of.count, of.keys, refuse.key_offsets);
  }
  if (s == of.count) return;
  AttentionSequence sequence{s, s, 0, of.queries, 0, of.keys, of.keys, 0};
  if (of.query_offsets && fits) {
    sequence.batch = 0;
    sequence.first_query = of.query_offsets[s];
    sequence.queries = of.query_offsets[s + 1] - of.query_offsets[s];
    sequence.first_key = of.key_offsets[s];
    sequence.keys = sequence.visible_keys = of.key_offsets[s + 1] - of.key_offsets[s];
  }
  // Without causal, the first query already sees every key.
  sequence.causal_offset = of.causal ? sequence.keys - sequence.queries : sequence.keys;
  if (of.causal_offsets) sequence.causal_offset = of.causal_offsets[s];
  if (fits && of.block_size > 0 &&
      (blocks_of(sequence.queries, of.block_size) > of.query_blocks ||
       blocks_of(sequence.keys, of.block_size) > of.key_blocks)) {
    refuse.blocks({sequence.queries, s, sequence.keys, static_cast<double>(of.block_size)});
    fits = false;
  }
  if (fits && of.key_lengths) {
    sequence.visible_keys = of.key_lengths[s];
    if (sequence.visible_keys < 0 || sequence.visible_keys > sequence.keys) {
      refuse.key_length({.value = sequence.visible_keys, .limit = sequence.keys});
      fits = false;
    }
  }
  sequences[s] = fits ? sequence : AttentionSequence{};
}

/// The sequences of a call, in the memory of its device.
Storage sequences_on_device(const char* operation, const call::Attention& call) {
  const AttentionOptions& options = call.options;
  const bool ragged = options.query_offsets.defined(), blocks = options.block_mask.defined();
  const Tensor& key_offsets = options.key_offsets.defined() ? options.key_offsets : options.query_offsets;
  const SequenceNumbers numbers{.query_offsets = elements_of<const int32_t>(options.query_offsets),
                                .key_offsets = elements_of<const int32_t>(key_offsets),
                                .key_lengths = elements_of<const int32_t>(options.key_lengths),
                                .causal_offsets = elements_of<const int32_t>(options.causal_offsets),
                                .count = ragged ? options.query_offsets.elements() - 1 : call.query.size(0),
                                .queries = call.query.size(1),
                                .keys = call.key.size(1),
                                .causal = options.causal,
                                .block_size = blocks ? options.block_size : 0,
                                .query_blocks = blocks ? options.block_mask.size(-2) : 0,
                                .key_blocks = blocks ? options.block_mask.size(-1) : 0};
  const Storage sequences =
      allocate(static_cast<size_t>(numbers.count + 1) * sizeof(AttentionSequence), call.query.device());
  launch_kernel(operation, find_sequences, threads_for(numbers.count + 1), numbers,
                SequenceRefusals(operation), static_cast<AttentionSequence*>(sequences.data()));
  return sequences;
}

// ---- Weights ----

/// x [batch, rows, heads, size] with unit stride on the last axis, as an argument of a kernel.
template <typename T>
struct Rows {
  T* elements;
  int64_t batch_stride, row_stride, head_stride;

  explicit Rows(const Tensor& x)
      : elements(elements_of<T>(x)),
        batch_stride(x.stride(0)),
        row_stride(x.stride(1)),
        head_stride(x.stride(2)) {}
  __device__ T* at(int64_t batch, int64_t row, int64_t head) const {
    return elements + batch * batch_stride + row * row_stride + head * head_stride;
  }
};

/// A query and a key, numbered within their sequence.
struct Pair {
  const AttentionSequence& of;
  int64_t head, query, key;
};

/// What the kernels of a call share. W is what they compute in.
template <typename T>
struct Scores {
  using W = Wide<T>;
  static constexpr W kMasked = -std::numeric_limits<W>::infinity();

  Rows<const T> query, key, value;
  int64_t heads, key_heads, size, queries, keys;
  const AttentionSequence* sequences;
  int64_t sequence_count;
  bool ragged;
  W scale, score_scale;  // score_scale times score() is what softmax takes
  const uint8_t* block_mask;
  int64_t block_size, block_mask_step, block_mask_columns;  // the step from one sequence's mask to the next
  const uint8_t* seen_pairs;                                // this or the next is the mask of pairs
  const T* added_pairs;
  int64_t pair_strides[4] = {};
  bool drops;
  uint32_t dropout_threshold;
  W keep_scale;
  RandomStream random;

  Scores(const call::Attention& call, const Storage& sequences);

  __device__ int64_t key_head(int64_t head) const { return head / (heads / key_heads); }

  /// The sequence that has the row among its queries or keys; one without rows where none has.
  __device__ AttentionSequence holding(int64_t batch, int64_t row, int64_t AttentionSequence::*first,
                                       int64_t AttentionSequence::*rows) const {
    if (!ragged) return sequences[batch];
    if (sequence_count == 0) return {};
    int64_t low = 0, high = sequence_count;  // the last sequence that begins at the row or before it
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (sequences[middle].*first <= row ? low : high) = middle;
    }
    const AttentionSequence found = sequences[low];
    return row >= found.*first && row < found.*first + found.*rows ? found : AttentionSequence{};
  }
  __device__ AttentionSequence of_query(int64_t batch, int64_t row) const {
    return holding(batch, row, &AttentionSequence::first_query, &AttentionSequence::queries);
  }
  __device__ AttentionSequence of_key(int64_t batch, int64_t row) const {
    return holding(batch, row, &AttentionSequence::first_key, &AttentionSequence::keys);
  }

  __device__ int64_t query_number(const AttentionSequence& of, int64_t head, int64_t i) const {
    return (of.batch * heads + head) * queries + of.first_query + i;
  }

  /// -infinity where the pair is masked. `product` is that of the query and the key.
  __device__ W score(const Pair& p, W product) const {
    if (p.key >= p.of.key_end(p.query + 1)) return kMasked;
    if (block_mask) {
      const int64_t row = p.query / block_size, column = p.key / block_size;
      if (!block_mask[p.of.index * block_mask_step + row * block_mask_columns + column]) return kMasked;
    }
    const int64_t pair = p.of.batch * pair_strides[0] + p.head * pair_strides[1] +
                         (p.of.first_query + p.query) * pair_strides[2] +
                         (p.of.first_key + p.key) * pair_strides[3];
    if (seen_pairs && !seen_pairs[pair]) return kMasked;
    if (!added_pairs) return product;
    const W added = W(added_pairs[pair]);
    return added == kMasked ? kMasked : scale * product + added;
  }

  /// Whether dropout keeps the weight of the pair.
  __device__ bool keeps(const Pair& p) const {
    if (!drops) return true;
    const int64_t words_of_row = (keys + 3) / 4 * 4;
    const int64_t word = query_number(p.of, p.head, p.query) * words_of_row + p.of.first_key + p.key;
    return random.words(word / 4)[static_cast<size_t>(word % 4)] >= dropout_threshold;
  }
  __device__ W dropped(bool kept, W x) const { return kept ? x * keep_scale : W(0); }
};

template <typename T>
Scores<T>::Scores(const call::Attention& call, const Storage& of_call)
    : query(call.query),
      key(call.key),
      value(call.value),
      heads(call.query.size(2)),
      key_heads(call.key.size(2)),
      size(call.query.size(3)),
      queries(call.query.size(1)),
      keys(call.key.size(1)),
      sequences(static_cast<const AttentionSequence*>(of_call.data())),
      random(call.options.dropout_position) {
  const AttentionOptions& options = call.options;
  ragged = options.query_offsets.defined();
  sequence_count = ragged ? options.query_offsets.elements() - 1 : call.query.size(0);
  scale = static_cast<W>(options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(size)));
  const Tensor &blocks = options.block_mask, &pairs = options.pair_mask;
  block_mask = elements_of<const uint8_t>(blocks);
  block_size = options.block_size;
  block_mask_step = blocks.defined() && blocks.rank() == 3 ? blocks.stride(0) : 0;
  block_mask_columns = blocks.defined() ? blocks.size(-1) : 0;
  const bool adds = pairs.defined() && pairs.dtype() != Dtype::uint8;
  score_scale = adds ? W(1) : scale;
  seen_pairs = adds ? nullptr : elements_of<const uint8_t>(pairs);
  added_pairs = adds ? elements_of<const T>(pairs) : nullptr;
  for (int axis = 0; pairs.defined() && axis < 4; ++axis) pair_strides[axis] = pairs.stride(axis);
  drops = options.dropout > 0;
  dropout_threshold = static_cast<uint32_t>(options.dropout * 0x1p32);  // below 2^32
  keep_scale = static_cast<W>(1 / (1 - options.dropout));
}

template <typename W, typename T>
__device__ W dot(const W* x, const T* y, int64_t size) {
  W sum = 0;
  for (int64_t d = 0; d < size; ++d) sum += x[d] * W(y[d]);
  return sum;
}

/// A row in shared memory, for all threads of the block after a barrier.
template <typename T>
__device__ void load_row(const T* from, Wide<T>* to, int64_t size) {
  for (int64_t d = threadIdx.x; d < size; d += kThreads) to[d] = Wide<T>(from[d]);
}

/// `sums` times `correction`, plus the sum over a chunk of weights[c] times row c.
template <typename T>
__device__ void add_weighted(Wide<T>* sums, Wide<T> correction, const Wide<T>* weights, int64_t count,
                             const T* rows, int64_t row_stride, int64_t size) {
  using W = Wide<T>;
  for (int64_t d = threadIdx.x; d < size; d += kThreads) {
    W sum = 0;
    for (int64_t c = 0; c < count; ++c) sum += weights[c] * W(rows[c * row_stride + d]);
    sums[d] = sums[d] * correction + sum;
  }
}

/// The number of elements, not more than a chunk, from `first` on.
__device__ int64_t chunk(int64_t first, int64_t end) {
  return end - first < kThreads ? end - first : int64_t{kThreads};
}

// ---- Forward ----

/// The maximum of scaled scores, or NaN where in float32 no digits would be left for the softmax.
template <typename W>
__device__ W checked_max(W max) {
  constexpr W kTooLarge = sizeof(W) == 4 ? static_cast<W>(0x1p30) : std::numeric_limits<W>::infinity();
  const bool nothing = max == -std::numeric_limits<W>::infinity();
  return !nothing && std::fabs(max) >= kTooLarge ? std::numeric_limits<W>::quiet_NaN() : max;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    attend(Scores<T> a, Rows<T> output, Wide<T>* row_max, Wide<T>* row_sum) {
  using W = Wide<T>;
  SHARED(W, scratch, [kThreads / kWarp]);
  SHARED(W, weights, [kThreads]);
  DYNAMIC_SHARED(W, query);
  W* const sums = query + a.size;  // of weights and values, so far
  const int64_t head = blockIdx.x % a.heads, row = blockIdx.x / a.heads % a.queries;
  const int64_t batch = blockIdx.x / a.heads / a.queries, key_head = a.key_head(head);
  const AttentionSequence of = a.of_query(batch, row);
  const int64_t i = row - of.first_query, key_end = of.key_end(i + 1);
  load_row(a.query.at(batch, row, head), query, a.size);
  for (int64_t d = threadIdx.x; d < a.size; d += kThreads) sums[d] = 0;
  __syncthreads();
  W max = a.kMasked;
  double total = 0;  // of weights, so far
  for (int64_t first = 0; first < key_end; first += kThreads) {
    const Pair pair{of, head, i, first + threadIdx.x};
    W score = a.kMasked;
    if (pair.key < key_end)
      score = a.score(pair, dot(query, a.key.at(batch, of.first_key + pair.key, key_head), a.size));
    const W largest = a.score_scale * over_block<kThreads>(score, scratch, Larger());
    const W new_max = checked_max(Larger()(largest, max));
    const W correction = new_max == max ? W(1) : std::exp(max - new_max);
    const W weight = new_max == a.kMasked ? W(0) : std::exp(std::fma(score, a.score_scale, -new_max));
    total = total * correction + over_block<kThreads>(weight, scratch, Plus());
    max = new_max;
    if (pair.key < key_end) weights[threadIdx.x] = a.drops ? a.dropped(a.keeps(pair), weight) : weight;
    __syncthreads();
    add_weighted(sums, correction, weights, chunk(first, key_end),
                 a.value.at(batch, of.first_key + first, key_head), a.value.row_stride, a.size);
    __syncthreads();
  }
  const W inverse = total == 0 ? W(0) : static_cast<W>(1 / total);
  T* const to = output.at(batch, row, head);
  for (int64_t d = threadIdx.x; d < a.size; d += kThreads) to[d] = T(sums[d] * inverse);
  if (threadIdx.x != 0) return;
  row_max[(batch * a.heads + head) * a.queries + row] = max;
  row_sum[(batch * a.heads + head) * a.queries + row] = static_cast<W>(total);
}

// ---- Backward ----

/// What the gradient needs besides.
template <typename T>
struct Saved {
  Rows<const T> g, output;
  const Wide<T>*max, *sum;  // of the softmax, [batch, heads, queries]
  Wide<T>* delta;           // g . output, of the same shape
};

/// A weight after dropout, and the gradient of the product of its query and key.
template <typename W>
struct WeightGradient {
  W weight = 0, product = 0;
};

/// From the product of a query and a key, and that of the query's g and the key's value.
template <typename T>
__device__ WeightGradient<Wide<T>> weight_gradient(const Scores<T>& a, const Saved<T>& saved,
                                                   const Pair& pair, Wide<T> product, Wide<T> g_value,
                                                   Wide<T> delta) {
  using W = Wide<T>;
  const int64_t number = a.query_number(pair.of, pair.head, pair.query);
  const W score = a.score(pair, product), sum = saved.sum[number];
  if (score == a.kMasked || sum == 0) return {};
  const W weight = std::exp(std::fma(score, a.score_scale, -saved.max[number])) * (1 / sum);
  if (!a.drops) return {weight, weight * a.scale * (g_value - delta)};
  const bool kept = a.keeps(pair);
  return {a.dropped(kept, weight), weight * a.scale * (a.dropped(kept, g_value) - delta)};
}

/// A block has a query of a head.
template <typename T>
__global__ void __launch_bounds__(kThreads) query_gradient(Scores<T> a, Saved<T> saved, Rows<T> out) {
  using W = Wide<T>;
  SHARED(W, scratch, [kThreads / kWarp]);
  SHARED(W, products, [kThreads]);  // their gradients
  DYNAMIC_SHARED(W, query);
  W *const g = query + a.size, *const sums = g + a.size;
  const int64_t head = blockIdx.x % a.heads, row = blockIdx.x / a.heads % a.queries;
  const int64_t batch = blockIdx.x / a.heads / a.queries, key_head = a.key_head(head);
  const AttentionSequence of = a.of_query(batch, row);
  const int64_t i = row - of.first_query, key_end = of.key_end(i + 1);
  const T* const output = saved.output.at(batch, row, head);
  load_row(a.query.at(batch, row, head), query, a.size);
  load_row(saved.g.at(batch, row, head), g, a.size);
  W delta = 0;
  for (int64_t d = threadIdx.x; d < a.size; d += kThreads) {
    delta += g[d] * W(output[d]);
    sums[d] = 0;
  }
  delta = over_block<kThreads>(delta, scratch, Plus());
  if (threadIdx.x == 0) saved.delta[(batch * a.heads + head) * a.queries + row] = delta;
  for (int64_t first = 0; first < key_end; first += kThreads) {
    const Pair pair{of, head, i, first + threadIdx.x};
    if (pair.key < key_end) {
      const W product = dot(query, a.key.at(batch, of.first_key + pair.key, key_head), a.size);
      const W g_value = dot(g, a.value.at(batch, of.first_key + pair.key, key_head), a.size);
      products[threadIdx.x] = weight_gradient(a, saved, pair, product, g_value, delta).product;
    }
    __syncthreads();
    add_weighted(sums, W(1), products, chunk(first, key_end), a.key.at(batch, of.first_key + first, key_head),
                 a.key.row_stride, a.size);
    __syncthreads();
  }
  T* const to = out.at(batch, row, head);
  for (int64_t d = threadIdx.x; d < a.size; d += kThreads) to[d] = T(sums[d]);
}

/// A block has a key of a head of keys, and walks over the queries of all heads that share it. After
/// query_gradient, which leaves delta.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    key_gradient(Scores<T> a, Saved<T> saved, Rows<T> to_key, Rows<T> to_value) {
  using W = Wide<T>;
  SHARED(W, weights, [kThreads]);
  SHARED(W, products, [kThreads]);  // their gradients
  DYNAMIC_SHARED(W, key);
  W *const value = key + a.size, *const key_sums = value + a.size, *const value_sums = key_sums + a.size;
  const int64_t key_head = blockIdx.x % a.key_heads, row = blockIdx.x / a.key_heads % a.keys;
  const int64_t batch = blockIdx.x / a.key_heads / a.keys, heads = a.heads / a.key_heads;
  const AttentionSequence of = a.of_key(batch, row);
  const int64_t j = row - of.first_key;
  // The first query that sees the key, if any does.
  const int64_t begin = j >= of.visible_keys ? of.queries : j > of.causal_offset ? j - of.causal_offset : 0;
  load_row(a.key.at(batch, row, key_head), key, a.size);
  load_row(a.value.at(batch, row, key_head), value, a.size);
  for (int64_t d = threadIdx.x; d < a.size; d += kThreads) key_sums[d] = value_sums[d] = 0;
  __syncthreads();
  for (int64_t head = key_head * heads; head < (key_head + 1) * heads; ++head) {
    for (int64_t first = begin; first < of.queries; first += kThreads) {
      const Pair pair{of, head, first + threadIdx.x, j};
      if (pair.query < of.queries) {
        const W product = dot(key, a.query.at(batch, of.first_query + pair.query, head), a.size);
        const W g_value = dot(value, saved.g.at(batch, of.first_query + pair.query, head), a.size);
        const W delta = saved.delta[a.query_number(of, head, pair.query)];
        const WeightGradient<W> gradient = weight_gradient(a, saved, pair, product, g_value, delta);
        weights[threadIdx.x] = gradient.weight;
        products[threadIdx.x] = gradient.product;
      }
      __syncthreads();
      const int64_t count = chunk(first, of.queries), first_row = of.first_query + first;
      add_weighted(value_sums, W(1), weights, count, saved.g.at(batch, first_row, head), saved.g.row_stride,
                   a.size);
      add_weighted(key_sums, W(1), products, count, a.query.at(batch, first_row, head), a.query.row_stride,
                   a.size);
      __syncthreads();
    }
  }
  T *const key_row = to_key.at(batch, row, key_head), *const value_row = to_value.at(batch, row, key_head);
  for (int64_t d = threadIdx.x; d < a.size; d += kThreads) {
    key_row[d] = T(key_sums[d]);
    value_row[d] = T(value_sums[d]);
  }
}

/// A block for each row of each head of x [batch, rows, heads, size], with shared memory for `rows` rows of
/// W.
template <typename W>
simt::LaunchShape block_a_row(const Tensor& x, int64_t rows) {
  return {{static_cast<unsigned>(x.size(0) * x.size(1) * x.size(2))},
          {kThreads},
          static_cast<size_t>(rows * x.size(3)) * sizeof(W)};
}

}  // namespace

template <>
void run_kernels(const call::Attention& call) {
  const Storage sequences = sequences_on_device(call.name(), call);
  if (call.query.elements() == 0) return;
  dispatch(call.query.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using W = Wide<T>;
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), attend<T>, block_a_row<W>(call.query, 2), Scores<T>(call, sequences),
                    Rows<T>(call.out.output), elements_of<W>(call.out.row_max),
                    elements_of<W>(call.out.row_sum));
    }
  });
}

template <>
void run_kernels(const call::AttentionGradient& call) {
  const call::Attention& forward = call.forward;
  const Storage sequences = sequences_on_device(call.name(), forward);
  const Tensor delta(forward.out.row_sum.shape(), forward.out.row_sum.dtype(), call.g.device());
  dispatch(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using W = Wide<T>;
    if constexpr (!std::is_integral_v<T>) {
      const Scores<T> scores(forward, sequences);
      const Saved<T> saved{Rows<const T>(call.g), Rows<const T>(forward.out.output),
                           elements_of<const W>(forward.out.row_max),
                           elements_of<const W>(forward.out.row_sum), elements_of<W>(delta)};
      if (call.out.query.elements() > 0) {
        launch_kernel(call.name(), query_gradient<T>, block_a_row<W>(call.out.query, 3), scores, saved,
                      Rows<T>(call.out.query));
      }
      if (call.out.key.elements() > 0) {
        launch_kernel(call.name(), key_gradient<T>, block_a_row<W>(call.out.key, 4), scores, saved,
                      Rows<T>(call.out.key), Rows<T>(call.out.value));
      }
    }
  });
}

}  // namespace haze::HAZE_KERNELS
