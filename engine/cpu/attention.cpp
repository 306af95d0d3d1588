#include "haze/engine/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/engine/cpu/attention_spans.h"
#include "haze/engine/cpu/gemm.h"
#include "haze/engine/cpu/random_spans.h"
#include "haze/engine/cpu/spans.h"
#include "haze/engine/parallel.h"

// Attention by tiles (Dao et al. 2022, "FlashAttention", algorithms 1 and 4): a tile of scores at a time,
// with a running maximum and sum for each query, so nothing of size [queries, keys] is ever held.
namespace haze {
namespace {

// The largest tile of scores, 48 KiB: it stays near, and what is done once a tile (packing keys) or once a
// row of it (maximum, sum, correction) is spread over many products.
constexpr int64_t kQueryTile = 96;
constexpr int64_t kKeyTile = 128;

// One head of one sequence.
struct Problem {
  int64_t batch, head, first_query, queries, first_key, keys;
  int64_t visible_keys;  // keys from there on are padding

  // Queries in tiles of equal size, but for the last; no queries are one empty tile.
  int64_t query_tiles() const { return std::max<int64_t>((queries + kQueryTile - 1) / kQueryTile, 1); }
  int64_t tile_queries() const { return (queries + query_tiles() - 1) / query_tiles(); }
};

// What all heads share.
template <typename T>
class Tiles {
 public:
  explicit Tiles(const call::Attention& call)
      : query_(call.query), key_(call.key), value_(call.value), options_(call.options) {
    scale_ = static_cast<T>(options_.scale != 0 ? options_.scale
                                                : 1.0 / std::sqrt(static_cast<double>(head_size())));
    dropout_threshold_ = static_cast<uint32_t>(options_.dropout * 0x1p32);
    keep_scale_ = static_cast<T>(1 / (1 - options_.dropout));
  }

  int64_t heads() const { return query_.size(2); }
  int64_t head_size() const { return query_.size(3); }
  int64_t problems() const {
    const Tensor& offsets = options_.sequence_offsets;
    return heads() * (offsets.defined() ? offsets.size(0) - 1 : query_.size(0));
  }

  // Tiles of queries in the longest sequence.
  int64_t most_query_tiles() const {
    int64_t most = 0;
    for (int64_t i = 0; i < problems(); i += heads()) most = std::max(most, problem(i).query_tiles());
    return most;
  }

  // Whether there is more work than it costs to wake a thread.
  bool worth_sharing() const {
    constexpr int64_t kMultiplications = 64 * 64 * 64;
    return query_.elements() * std::min(kKeyTile, key_.size(1)) > kMultiplications;
  }

  Problem problem(int64_t index) const {
    const int64_t sequence = index / heads(), head = index % heads();
    if (options_.sequence_offsets.defined()) {
      const int32_t* offsets = options_.sequence_offsets.data<int32_t>();
      const int64_t first = offsets[sequence], count = offsets[sequence + 1] - first;
      return {0, head, first, count, first, count, count};
    }
    const int64_t keys = key_.size(1);
    const int64_t visible =
        options_.key_lengths.defined() ? options_.key_lengths.data<int32_t>()[sequence] : keys;
    return {sequence, head, 0, query_.size(1), 0, keys, visible};
  }

  static MatrixView<T> rows_of(const Tensor& x, int64_t batch, int64_t head, int64_t row) {
    const Shape& strides = x.strides();
    return {x.data<T>() + batch * strides[0] + row * strides[1] + head * strides[2], strides[1], 1};
  }
  static MatrixView<const T> constant(MatrixView<T> view) {
    return {view.data, view.row_stride, view.column_stride};
  }
  static MatrixView<const T> transposed(MatrixView<const T> view) {
    return {view.data, view.column_stride, view.row_stride};
  }

  MatrixView<const T> queries(const Problem& p, int64_t i) const {
    return constant(rows_of(query_, p.batch, p.head, p.first_query + i));
  }
  MatrixView<const T> keys(const Problem& p, int64_t j) const {
    return constant(rows_of(key_, p.batch, p.head, p.first_key + j));
  }
  MatrixView<const T> values(const Problem& p, int64_t j) const {
    return constant(rows_of(value_, p.batch, p.head, p.first_key + j));
  }

  // Keys that the queries before `query_end` may see at most: tiles from there on are skipped.
  int64_t key_end(const Problem& p, int64_t query_end) const {
    if (!options_.causal) return p.visible_keys;
    return std::clamp<int64_t>(query_end + p.keys - p.queries, 0, p.visible_keys);
  }

  // scores[rows, columns] = q k^T for queries from i and keys from j, -infinity where masked.
  void scores(const Problem& p, int64_t i, int64_t rows, int64_t j, int64_t columns, T* out,
              T* scratch) const {
    small_gemm<T>(gemm_, queries(p, i), transposed(keys(p, j)), rows, columns, head_size(), {out, kKeyTile},
                  scratch);
    if (!options_.causal && !options_.block_mask.defined()) return;
    for (int64_t r = 0; r < rows; ++r) mask_row(p, i + r, j, columns, out + r * kKeyTile);
  }

  // Zeros what dropout takes from a tile of probabilities (or of their gradients) and scales the rest.
  void drop(const Problem& p, int64_t i, int64_t rows, int64_t j, int64_t columns, T* tile) const {
    if (options_.dropout == 0) return;
    for (int64_t r = 0; r < rows; ++r) drop_row(p, i + r, j, columns, tile + r * kKeyTile);
  }

  T scale() const { return scale_; }
  const GemmKernels<T, T>& gemm() const { return gemm_; }
  const AttentionSpans<T>& spans() const { return spans_; }
  UnarySpan<T> scale_shift() const { return scale_shift_; }

 private:
  void drop_row(const Problem& p, int64_t i, int64_t j, int64_t columns, T* row) const {
    const int64_t all_queries = query_.size(1), words_per_row = (key_.size(1) + 3) / 4;
    const int64_t row_index = (p.batch * heads() + p.head) * all_queries + p.first_query + i;
    uint32_t words[kKeyTile];
    random_words(options_.dropout_position, 4 * row_index * words_per_row + p.first_key + j, columns, words);
    dropout_(row, words, columns, dropout_threshold_, keep_scale_, row);
  }

  void mask_row(const Problem& p, int64_t i, int64_t j, int64_t columns, T* row) const {
    constexpr T kMasked = -std::numeric_limits<T>::infinity();
    if (options_.causal) {
      const int64_t seen = std::clamp<int64_t>(i + p.keys - p.queries + 1 - j, 0, columns);
      std::fill(row + seen, row + columns, kMasked);
    }
    if (!options_.block_mask.defined()) return;
    const int64_t size = options_.block_size;
    const uint8_t* blocks = options_.block_mask.data<uint8_t>() + i / size * options_.block_mask.size(1);
    for (int64_t c = 0; c < columns; ++c) {
      if (!blocks[(j + c) / size]) row[c] = kMasked;
    }
  }

  const Tensor &query_, &key_, &value_;
  const AttentionOptions& options_;
  T scale_, keep_scale_;
  uint32_t dropout_threshold_;
  const GemmKernels<T, T>& gemm_ = gemm_kernels<T, T>();
  const AttentionSpans<T>& spans_ = attention_spans<T>();
  DropoutSpan<T> dropout_ = dropout_span<T>();
  UnarySpan<T> scale_shift_ = unary_span<T>(UnaryOp::scale_shift);
};

// Scratch memory of one piece of work, cut into buffers aligned to a cache line.
template <typename T>
class Buffers {
 public:
  explicit Buffers(int64_t elements)
      : storage_(allocate(static_cast<size_t>(elements + 16 * kAlign) * sizeof(T))) {}
  T* take(int64_t elements) {
    T* result = static_cast<T*>(storage_.data()) + used_;
    used_ += (elements + kAlign - 1) / kAlign * kAlign;
    return result;
  }

 private:
  static constexpr int64_t kAlign = 64 / sizeof(T);
  Storage storage_;
  int64_t used_ = 0;
};

int64_t gemm_scratch(int64_t head_size) {
  const int64_t widest = std::max({kQueryTile, kKeyTile, head_size});
  return small_gemm_scratch(widest, widest);
}

// Algorithm 1 for one tile of queries.
template <typename T>
void forward_tile(const Tiles<T>& attention, const Problem& p, int64_t i, Buffers<T> buffers,
                  const AttentionResult& out) {
  const int64_t size = attention.head_size(), rows = std::min(p.tile_queries(), p.queries - i);
  T* scores = buffers.take(kQueryTile * kKeyTile);
  T* sum = buffers.take(kQueryTile * size);  // of e^(score - max) value, so far
  T* scratch = buffers.take(gemm_scratch(size));
  T max[kQueryTile], correction[kQueryTile];
  double total[kQueryTile] = {};  // of e^(score - max), so far
  std::fill_n(max, rows, -std::numeric_limits<T>::infinity());
  const int64_t key_end = attention.key_end(p, i + rows);
  if (key_end <= 0) std::fill_n(sum, rows * size, T{0});
  for (int64_t j = 0; j < key_end; j += kKeyTile) {
    const int64_t columns = std::min(kKeyTile, key_end - j);
    attention.scores(p, i, rows, j, columns, scores, scratch);
    attention.spans().softmax(scores, {rows, columns, kKeyTile}, attention.scale(), max, total, correction);
    for (int64_t r = 0; j > 0 && r < rows; ++r) {
      if (correction[r] != 1)
        attention.scale_shift()(sum + r * size, sum + r * size, size, correction[r], T{0});
    }
    attention.drop(p, i, rows, j, columns, scores);
    GemmOutput<T> output{sum, size};
    output.accumulate = j > 0;
    small_gemm<T>(attention.gemm(), {scores, kKeyTile, 1}, attention.values(p, j), rows, size, columns,
                  output, scratch);
  }
  T* logsumexp = out.logsumexp.data<T>() + (p.batch * attention.heads() + p.head) * out.logsumexp.size(2) +
                 p.first_query + i;
  const MatrixView<T> output = Tiles<T>::rows_of(out.output, p.batch, p.head, p.first_query + i);
  for (int64_t r = 0; r < rows; ++r) {
    const T inverse = total[r] == 0 ? T{0} : static_cast<T>(1 / total[r]);
    attention.scale_shift()(sum + r * size, output.at(r, 0), size, inverse, T{0});
    logsumexp[r] = static_cast<T>(static_cast<double>(max[r]) + std::log(total[r]));
  }
}

// Algorithm 4 for one head of one sequence, with P = softmax(S) recomputed from the saved logsumexp:
//   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(dO O)),  dQ = scale dS K,  dK = scale dS^T Q.
template <typename T>
class HeadGradient {
 public:
  HeadGradient(const Tiles<T>& attention, const Problem& problem, const Tensor& g,
               const AttentionResult& saved, const AttentionGradient& out, Buffers<T> buffers)
      : attention_(attention), p_(problem), g_(g), saved_(saved), out_(out), size_(attention.head_size()) {
    probabilities_ = buffers.take(kQueryTile * kKeyTile);
    gradients_ = buffers.take(kQueryTile * kKeyTile);
    scratch_ = buffers.take(gemm_scratch(size_));
    logsumexp_ = saved.logsumexp.data<T>() +
                 (p_.batch * attention.heads() + p_.head) * saved.logsumexp.size(2) + p_.first_query;
  }

  void run() {
    clear(out_.query, p_.first_query, p_.queries);
    clear(out_.key, p_.first_key, p_.keys);
    clear(out_.value, p_.first_key, p_.keys);
    for (int64_t i = 0; i < p_.queries; i += p_.tile_queries()) {
      const int64_t rows = std::min(p_.tile_queries(), p_.queries - i);
      const int64_t key_end = attention_.key_end(p_, i + rows);
      const MatrixView<T> g = at(g_, p_.first_query + i), output = at(saved_.output, p_.first_query + i);
      attention_.spans().row_dots(g.data, g.row_stride, output.data, output.row_stride, rows, size_, delta_);
      for (int64_t j = 0; j < key_end; j += kKeyTile) tile(i, rows, j, std::min(kKeyTile, key_end - j));
    }
  }

 private:
  void clear(const Tensor& x, int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) std::fill_n(at(x, first + i).data, size_, T{0});
  }

  MatrixView<T> at(const Tensor& x, int64_t row) const {
    return Tiles<T>::rows_of(x, p_.batch, p_.head, row);
  }

  void accumulate(MatrixView<const T> a, MatrixView<const T> b, int64_t m, int64_t k, MatrixView<T> out) {
    GemmOutput<T> output{out.data, out.row_stride};
    output.accumulate = true;
    small_gemm<T>(attention_.gemm(), a, b, m, size_, k, output, scratch_);
  }

  void tile(int64_t i, int64_t rows, int64_t j, int64_t columns) {
    using A = Tiles<T>;
    const MatrixView<const T> output_gradient = A::constant(at(g_, p_.first_query + i));
    attention_.scores(p_, i, rows, j, columns, probabilities_, scratch_);
    small_gemm<T>(attention_.gemm(), output_gradient, A::transposed(attention_.values(p_, j)), rows, columns,
                  size_, {gradients_, kKeyTile}, scratch_);
    attention_.drop(p_, i, rows, j, columns, gradients_);
    attention_.spans().softmax_gradient(probabilities_, gradients_, {rows, columns, kKeyTile},
                                        attention_.scale(), logsumexp_ + i, delta_);
    attention_.drop(p_, i, rows, j, columns, probabilities_);
    const MatrixView<const T> dropped{probabilities_, kKeyTile, 1}, scores{gradients_, kKeyTile, 1};
    accumulate(A::transposed(dropped), output_gradient, columns, rows, at(out_.value, p_.first_key + j));
    accumulate(A::transposed(scores), attention_.queries(p_, i), columns, rows,
               at(out_.key, p_.first_key + j));
    accumulate(scores, attention_.keys(p_, j), rows, columns, at(out_.query, p_.first_query + i));
  }

  const Tiles<T>& attention_;
  const Problem p_;
  const Tensor& g_;
  const AttentionResult& saved_;
  const AttentionGradient& out_;
  int64_t size_;
  T *probabilities_, *gradients_, *scratch_;
  const T* logsumexp_;
  T delta_[kQueryTile];  // rowsum(dO O) of the tile's queries
};

// Throws Error where a length or an offset is outside the keys.
void check_values(const char* operation, const call::Attention& call) {
  const int64_t rows = call.query.size(1), keys = call.key.size(1);
  if (call.options.sequence_offsets.defined()) {
    const int32_t* offsets = call.options.sequence_offsets.data<int32_t>();
    const int32_t* last = offsets + call.options.sequence_offsets.elements() - 1;
    if (*offsets != 0 || *last != rows || !std::is_sorted(offsets, last + 1))
      fail("{}: sequence_offsets must rise from 0 to {}, the number of rows", operation, rows);
  }
  if (!call.options.key_lengths.defined()) return;
  const int32_t* lengths = call.options.key_lengths.data<int32_t>();
  for (int64_t i = 0; i < call.options.key_lengths.elements(); ++i) {
    if (lengths[i] < 0 || lengths[i] > keys)
      fail("{}: key length {} is not in 0..{}", operation, lengths[i], keys);
  }
}

}  // namespace

void call::Attention::run(Cpu) const {
  check_values(name(), *this);
  dispatch_real(query.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const Tiles<T> attention(*this);
    const int64_t size = attention.head_size(), tiles = attention.most_query_tiles();
    const int64_t scratch = kQueryTile * (kKeyTile + size) + gemm_scratch(size);
    parallel_for_uneven(attention.problems() * tiles, attention.worth_sharing(), [&](int64_t piece) {
      const Problem problem = attention.problem(piece / tiles);
      const int64_t i = piece % tiles * problem.tile_queries();
      if (i < problem.queries) forward_tile<T>(attention, problem, i, Buffers<T>(scratch), out);
    });
  });
}

void call::AttentionGradient::run(Cpu) const {
  check_values(name(), forward);
  dispatch_real(g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const Tiles<T> attention(forward);
    const int64_t scratch = 2 * kQueryTile * kKeyTile + gemm_scratch(attention.head_size());
    parallel_for_uneven(attention.problems(), attention.worth_sharing(), [&](int64_t piece) {
      HeadGradient<T>(attention, attention.problem(piece), g, forward.out, out, Buffers<T>(scratch)).run();
    });
  });
}

}  // namespace haze
