#include "haze/engine/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "haze/engine/cpu/attention_spans.h"
#include "haze/engine/cpu/gemm/gemm.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/cpu/simd/spans.h"

// Attention by tiles (Dao et al. 2022, "FlashAttention", algorithms 1 and 4): a tile of scores at a time,
// with a running maximum and sum for each query, so nothing of size [queries, keys] is ever held.
namespace haze {
namespace {

// The largest tile of scores, 48 KiB: it stays in the nearest caches, and what is done once a tile (packing
// keys) or once a row of it (maximum, sum, correction) is spread over many products.
constexpr int64_t kQueryTile = 96;
constexpr int64_t kKeyTile = 128;

// One head of one sequence.
struct Problem : AttentionSequence {
  int64_t head, key_head;

  // Queries in tiles of equal size, but for the last; no queries are one empty tile.
  int64_t query_tiles() const { return std::max<int64_t>((queries + kQueryTile - 1) / kQueryTile, 1); }
  int64_t tile_queries() const { return (queries + query_tiles() - 1) / query_tiles(); }
};

// What all heads share.
template <typename T>
class Tiles {
 public:
  Tiles(const char* operation, const call::Attention& call)
      : query_(call.query),
        key_(call.key),
        value_(call.value),
        options_(call.options),
        sequences_(sequences_of(operation, call)) {
    scale_ = static_cast<T>(options_.scale != 0 ? options_.scale
                                                : 1.0 / std::sqrt(static_cast<double>(head_size())));
    score_scale_ = adds_mask() ? T{1} : scale_;
    dropout_threshold_ = static_cast<uint32_t>(options_.dropout * 0x1p32);
    keep_scale_ = static_cast<T>(1 / (1 - options_.dropout));
  }

  int64_t heads() const { return query_.size(2); }
  int64_t key_heads() const { return key_.size(2); }
  int64_t heads_of_key_head() const { return heads() / key_heads(); }
  int64_t head_size() const { return query_.size(3); }
  int64_t sequences() const { return static_cast<int64_t>(sequences_.size()); }

  Problem problem(int64_t sequence, int64_t head) const {
    return {sequences_[static_cast<size_t>(sequence)], head, head / heads_of_key_head()};
  }

  // Tiles of queries in the longest sequence.
  int64_t most_query_tiles() const {
    int64_t most = 0;
    for (const AttentionSequence& sequence : sequences_)
      most = std::max(most, Problem{sequence, 0, 0}.query_tiles());
    return most;
  }

  // Whether there is more work than it costs to wake a thread.
  bool worth_sharing() const {
    constexpr int64_t kMultiplications = 64 * 64 * 64;
    return query_.elements() * std::min(kKeyTile, key_.size(1)) > kMultiplications;
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

  // Of a tensor [batch, heads, queries], those of a problem's queries.
  T* row_values(const Tensor& x, const Problem& p) const {
    return x.data<T>() + (p.batch * heads() + p.head) * query_.size(1) + p.first_query;
  }

  MatrixView<const T> queries(const Problem& p, int64_t i) const {
    return constant(rows_of(query_, p.batch, p.head, p.first_query + i));
  }
  MatrixView<const T> keys(const Problem& p, int64_t j) const {
    return constant(rows_of(key_, p.batch, p.key_head, p.first_key + j));
  }
  MatrixView<const T> values(const Problem& p, int64_t j) const {
    return constant(rows_of(value_, p.batch, p.key_head, p.first_key + j));
  }

  // Whether a block of the mask lets a query from i see a key from j.
  bool sees_tile(const Problem& p, int64_t i, int64_t rows, int64_t j, int64_t columns) const {
    if (!options_.block_mask.defined()) return true;
    const int64_t size = options_.block_size;
    for (int64_t row = i / size; row <= (i + rows - 1) / size; ++row) {
      const uint8_t* blocks = block_row(p, row);
      if (std::any_of(blocks + j / size, blocks + (j + columns - 1) / size + 1, [](uint8_t b) { return b; }))
        return true;
    }
    return false;
  }

  // scores[rows, columns] of queries from i and keys from j, -infinity where masked. score_scale() times them
  // is what softmax takes.
  void scores(const Problem& p, int64_t i, int64_t rows, int64_t j, int64_t columns, T* out,
              T* scratch) const {
    small_gemm<T>(gemm_, queries(p, i), transposed(keys(p, j)), rows, columns, head_size(), {out, kKeyTile},
                  scratch);
    if (!options_.causal && !options_.block_mask.defined() && !options_.pair_mask.defined()) return;
    for (int64_t r = 0; r < rows; ++r) mask_row(p, i + r, j, columns, out + r * kKeyTile);
  }

  // Zeros what dropout takes from a tile of probabilities (or of their gradients) and scales the rest.
  void drop(const Problem& p, int64_t i, int64_t rows, int64_t j, int64_t columns, T* tile) const {
    if (options_.dropout == 0) return;
    for (int64_t r = 0; r < rows; ++r) drop_row(p, i + r, j, columns, tile + r * kKeyTile);
  }

  T scale() const { return scale_; }
  T score_scale() const { return score_scale_; }
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

  bool adds_mask() const {
    return options_.pair_mask.defined() && options_.pair_mask.dtype() != Dtype::uint8;
  }

  const uint8_t* block_row(const Problem& p, int64_t row) const {
    const Tensor& mask = options_.block_mask;
    const int64_t first = mask.rank() == 3 ? p.index * mask.size(-2) : 0;
    return mask.data<uint8_t>() + (first + row) * mask.size(-1);
  }

  void mask_row(const Problem& p, int64_t i, int64_t j, int64_t columns, T* row) const {
    if (options_.pair_mask.defined()) mask_pairs(p, i, j, columns, row);
    std::fill(row + std::clamp<int64_t>(i + p.causal_offset + 1 - j, 0, columns), row + columns, kMasked);
    if (!options_.block_mask.defined()) return;
    const uint8_t* blocks = block_row(p, i / options_.block_size);
    for (int64_t c = 0, count; c < columns; c += count) {
      count = std::min(columns - c, options_.block_size - (j + c) % options_.block_size);
      if (!blocks[(j + c) / options_.block_size]) std::fill_n(row + c, count, kMasked);
    }
  }

  void mask_pairs(const Problem& p, int64_t i, int64_t j, int64_t columns, T* row) const {
    const Tensor& mask = options_.pair_mask;
    const Shape& strides = mask.strides();
    const int64_t first = p.batch * strides[0] + p.head * strides[1] + (p.first_query + i) * strides[2] +
                          (p.first_key + j) * strides[3];
    if (adds_mask()) {
      spans_.add_mask(row, mask.data<T>() + first, strides[3], columns, scale_);
    } else {
      spans_.rule_out(row, mask.data<uint8_t>() + first, strides[3], columns);
    }
  }

  static constexpr T kMasked = -std::numeric_limits<T>::infinity();

  const Tensor &query_, &key_, &value_;
  const AttentionOptions& options_;
  const std::vector<AttentionSequence> sequences_;
  T scale_, score_scale_, keep_scale_;
  uint32_t dropout_threshold_;
  const GemmKernels<T, T>& gemm_ = gemm_kernels<T, T>();
  const AttentionSpans<T>& spans_ = attention_spans<T>();
  DropoutSpan<T> dropout_ = dropout_span<T>();
  UnarySpan<T> scale_shift_ = unary_span<T>(UnaryOp::scale_shift);
};

// Scratch memory of one task, cut into buffers aligned to a cache line.
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
  const int64_t key_end = p.key_end(i + rows);
  bool begun = false;
  for (int64_t j = 0; j < key_end; j += kKeyTile) {
    const int64_t columns = std::min(kKeyTile, key_end - j);
    if (!attention.sees_tile(p, i, rows, j, columns)) continue;
    attention.scores(p, i, rows, j, columns, scores, scratch);
    attention.spans().softmax(scores, {rows, columns, kKeyTile}, attention.score_scale(), max, total,
                              correction);
    for (int64_t r = 0; begun && r < rows; ++r) {
      if (correction[r] != 1)
        attention.scale_shift()(sum + r * size, sum + r * size, size, correction[r], T{0});
    }
    attention.drop(p, i, rows, j, columns, scores);
    GemmOutput<T> output{sum, size};
    output.accumulate = begun;
    small_gemm<T>(attention.gemm(), {scores, kKeyTile, 1}, attention.values(p, j), rows, size, columns,
                  output, scratch);
    begun = true;
  }
  if (!begun) std::fill_n(sum, rows * size, T{0});
  T* const row_max = attention.row_values(out.row_max, p) + i;
  T* const row_sum = attention.row_values(out.row_sum, p) + i;
  const MatrixView<T> output = Tiles<T>::rows_of(out.output, p.batch, p.head, p.first_query + i);
  for (int64_t r = 0; r < rows; ++r) {
    const T inverse = total[r] == 0 ? T{0} : static_cast<T>(1 / total[r]);
    attention.scale_shift()(sum + r * size, output.at(r, 0), size, inverse, T{0});
    row_max[r] = max[r];
    row_sum[r] = static_cast<T>(total[r]);
  }
}

// Algorithm 4 for the heads of one sequence that share a head of keys, with P = softmax(S) recomputed from
// the saved maximum and sum:
//   dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(dO O)),  dQ = scale dS K,  dK = scale dS^T Q.
template <typename T>
class KeyHeadGradient {
 public:
  KeyHeadGradient(const Tiles<T>& attention, const call::AttentionGradient& call, Buffers<T> buffers)
      : attention_(attention),
        g_(call.g),
        saved_(call.forward.out),
        out_(call.out),
        size_(attention.head_size()) {
    probabilities_ = buffers.take(kQueryTile * kKeyTile);
    gradients_ = buffers.take(kQueryTile * kKeyTile);
    scratch_ = buffers.take(gemm_scratch(size_));
  }

  void run(int64_t sequence, int64_t key_head) {
    const int64_t heads = attention_.heads_of_key_head(), first = key_head * heads;
    const Problem p = attention_.problem(sequence, first);
    clear(out_.key, p, key_head, p.first_key, p.keys);
    clear(out_.value, p, key_head, p.first_key, p.keys);
    for (int64_t head = first; head < first + heads; ++head) run(attention_.problem(sequence, head));
  }

 private:
  void run(const Problem& p) {
    clear(out_.query, p, p.head, p.first_query, p.queries);
    for (int64_t i = 0; i < p.queries; i += p.tile_queries()) {
      const int64_t rows = std::min(p.tile_queries(), p.queries - i), key_end = p.key_end(i + rows);
      const MatrixView<T> g = of_query(g_, p, i), output = of_query(saved_.output, p, i);
      attention_.spans().row_dots(g.data, g.row_stride, output.data, output.row_stride, rows, size_, delta_);
      for (int64_t j = 0; j < key_end; j += kKeyTile) {
        const int64_t columns = std::min(kKeyTile, key_end - j);
        if (attention_.sees_tile(p, i, rows, j, columns)) tile(p, i, rows, j, columns);
      }
    }
  }

  void clear(const Tensor& x, const Problem& p, int64_t head, int64_t first, int64_t count) {
    const MatrixView<T> rows = Tiles<T>::rows_of(x, p.batch, head, first);
    for (int64_t i = 0; i < count; ++i) std::fill_n(rows.at(i, 0), size_, T{0});
  }

  static MatrixView<T> of_query(const Tensor& x, const Problem& p, int64_t i) {
    return Tiles<T>::rows_of(x, p.batch, p.head, p.first_query + i);
  }
  static MatrixView<T> of_key(const Tensor& x, const Problem& p, int64_t j) {
    return Tiles<T>::rows_of(x, p.batch, p.key_head, p.first_key + j);
  }

  void accumulate(MatrixView<const T> a, MatrixView<const T> b, int64_t m, int64_t k, MatrixView<T> out) {
    GemmOutput<T> output{out.data, out.row_stride};
    output.accumulate = true;
    small_gemm<T>(attention_.gemm(), a, b, m, size_, k, output, scratch_);
  }

  void tile(const Problem& p, int64_t i, int64_t rows, int64_t j, int64_t columns) {
    using A = Tiles<T>;
    const MatrixView<const T> output_gradient = A::constant(of_query(g_, p, i));
    attention_.scores(p, i, rows, j, columns, probabilities_, scratch_);
    small_gemm<T>(attention_.gemm(), output_gradient, A::transposed(attention_.values(p, j)), rows, columns,
                  size_, {gradients_, kKeyTile}, scratch_);
    attention_.drop(p, i, rows, j, columns, gradients_);
    attention_.spans().softmax_gradient(
        probabilities_, gradients_, {rows, columns, kKeyTile}, attention_.score_scale(), attention_.scale(),
        attention_.row_values(saved_.row_max, p) + i, attention_.row_values(saved_.row_sum, p) + i, delta_);
    attention_.drop(p, i, rows, j, columns, probabilities_);
    const MatrixView<const T> dropped{probabilities_, kKeyTile, 1}, scores{gradients_, kKeyTile, 1};
    accumulate(A::transposed(dropped), output_gradient, columns, rows, of_key(out_.value, p, j));
    accumulate(A::transposed(scores), attention_.queries(p, i), columns, rows, of_key(out_.key, p, j));
    accumulate(scores, attention_.keys(p, j), rows, columns, of_query(out_.query, p, i));
  }

  const Tiles<T>& attention_;
  const Tensor& g_;
  const AttentionResult& saved_;
  const AttentionGradient& out_;
  int64_t size_;
  T *probabilities_, *gradients_, *scratch_;
  T delta_[kQueryTile];  // rowsum(dO O) of the tile's queries
};

}  // namespace

void call::Attention::run(Cpu) const {
  if (query.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  dispatch_real(query.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const Tiles<T> attention(name(), *this);
    const int64_t size = attention.head_size(), heads = attention.heads();
    const int64_t tiles = attention.most_query_tiles();
    const int64_t scratch = kQueryTile * (kKeyTile + size) + gemm_scratch(size);
    const int64_t tasks = attention.sequences() * heads * tiles;
    parallel_for_uneven(tasks, attention.worth_sharing(), [&](int64_t task) {
      const Problem problem = attention.problem(task / tiles / heads, task / tiles % heads);
      const int64_t i = task % tiles * problem.tile_queries();
      if (i < problem.queries) forward_tile<T>(attention, problem, i, Buffers<T>(scratch), out);
    });
  });
}

void call::AttentionGradient::run(Cpu) const {
  if (g.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  dispatch_real(g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const Tiles<T> attention(name(), forward);
    const int64_t key_heads = attention.key_heads();
    const int64_t scratch = 2 * kQueryTile * kKeyTile + gemm_scratch(attention.head_size());
    const int64_t tasks = attention.sequences() * key_heads;
    parallel_for_uneven(tasks, attention.worth_sharing(), [&](int64_t task) {
      KeyHeadGradient<T>(attention, *this, Buffers<T>(scratch)).run(task / key_heads, task % key_heads);
    });
  });
}

}  // namespace haze
