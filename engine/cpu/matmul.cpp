#include "haze/engine/ops/matmul.h"

#include "haze/engine/activation.h"
#include "haze/engine/cpu/gemm/gemm.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/spans.h"

// The loops around the micro-kernel: how a product is cut into blocks for the caches and tasks for the
// threads. Each element of the result is summed over K in one order by one thread, whatever the
// cut, so the cut may depend on the number of threads without the bits doing so.
namespace haze {
namespace {

// Bytes of b packed at a time: half of a second-level cache.
constexpr int64_t kPackedBytes = 512 << 10;
// Products of up to so many rows are shared out by columns.
constexpr int64_t kFewRows = 128;
// For up to so many tiles of rows, packing columns costs more than reading them in place.
constexpr int64_t kFewTiles = 2;
constexpr size_t kVectorBytes = 64;       // packing may write so far past a panel of rows
constexpr size_t kPanelBytes = 48 << 10;  // of the largest packed panel of rows

int64_t ceil_divide(int64_t value, int64_t divisor) {
  return (value + divisor - 1) / divisor;
}
int64_t round_up(int64_t value, int64_t multiple) {
  return ceil_divide(value, multiple) * multiple;
}

/// [0, count) cut in `parts` that differ by one at most: where part i begins.
int64_t cut(int64_t count, int64_t parts, int64_t i) {
  return count / parts * i + std::min(i, count % parts);
}

/// work(worker, workers) on up to `most` threads, or, for one, without the cost of a parallel region.
template <typename Work>
void in_team(int most, Work&& work) {
  if (most == 1) return work(0, 1);
#pragma omp parallel num_threads(most)
  work(omp_get_thread_num(), omp_get_num_threads());  // the system may give fewer threads than were asked for
}

/// Within in_team(): waits for the other workers.
void wait_for_team(int workers) {
  if (workers == 1) return;
#pragma omp barrier
}

/// Within in_team(): body(i) for all i below `count`, a few at a time by whichever worker is free, because on
/// a machine that others use too, cores are not equally fast. Returns without waiting for the others.
template <typename Body>
void share_in_team(int workers, int64_t count, Body&& body) {
  if (workers == 1) {  // perhaps within a parallel region of the caller's, which must not share this loop
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  constexpr int64_t kTasksOfWorker = 16;
  const int64_t chunk = std::max(count / (kTasksOfWorker * workers), int64_t{1});
#pragma omp for schedule(dynamic, chunk) nowait
  for (int64_t i = 0; i < count; ++i) body(i);
}

/// One matrix product.
template <typename T, typename S>
class Product {
 public:
  Product(MatrixView<const S> a, MatrixView<const S> b, int64_t m, int64_t n, int64_t k,
          const GemmOutput<T>& out, Precision precision)
      : kernels_(gemm_kernels<T, S>(precision)), a_(a), b_(b), m_(m), n_(n), k_(k), out_(out) {
    // Rows a multiple of a page apart compete for the same lines of the first-level cache.
    const int64_t k_blocks = ceil_divide(k, kernels_.k_block);
    k_block_ = round_up(ceil_divide(k, k_blocks), kernels_.k_step);
    const int64_t width = kPackedBytes / (k_block_ * static_cast<int64_t>(kernels_.packed_size));
    width_block_ = std::max(width / kernels_.tile_columns, int64_t{1}) * kernels_.tile_columns;
    a_in_place_ = kernels_.reads_in_place && a.column_stride == 1 &&
                  (a.row_stride * static_cast<int64_t>(sizeof(S))) % 4096 != 0;
  }

  void run(bool parallel) const {
    const int workers = parallel ? threads() : 1;
    if (m_ <= kFewRows) {
      by_columns(workers);
    } else {
      by_rows(workers);
    }
  }

 private:
  size_t packed_bytes(int64_t columns, int64_t k_count) const {
    return static_cast<size_t>(round_up(columns, kernels_.tile_columns) *
                               round_up(k_count, kernels_.k_step)) *
           kernels_.packed_size;
  }
  int64_t tile_rows() const { return ceil_divide(m_, kernels_.tile_rows); }

  /// Rows [first, first + count) of a tile row.
  std::pair<int64_t, int64_t> rows_of(int64_t tile_row) const {
    const int64_t first = cut(m_, tile_rows(), tile_row);
    return {first, cut(m_, tile_rows(), tile_row + 1) - first};
  }

  /// One row of tiles against `columns` columns from j, over `k_count` from p; packed_a where a is packed
  /// already.
  void multiply(int64_t tile_row, const void* packed_a, const GemmOperand<S>& b, int64_t j, int64_t columns,
                int64_t p, int64_t k_count) const {
    const auto [row, rows] = rows_of(tile_row);
    const GemmBlock block{row, rows, j, columns, k_count, p == 0, p + k_count == k_};
    alignas(64) std::byte panel[kPanelBytes + kVectorBytes];
    if (!packed_a && !a_in_place_) {
      kernels_.pack_rows(a_.from(row, p), rows, k_count, panel);
      packed_a = panel;
    }
    if (out_.row_sums && j == 0) {
      // From the panel, which is in the nearest cache, unless its elements are no longer those of a.
      const MatrixView<const S> in_panel{static_cast<const S*>(packed_a), 1, kernels_.tile_rows};
      const bool panel_has_elements = packed_a && kernels_.reads_in_place;
      kernels_.add_row_sums(panel_has_elements ? in_panel : a_.from(row, p), rows, k_count, p == 0,
                            out_.row_sums + row);
    }
    const GemmOperand<S> in_place{nullptr, a_.at(row, p), a_.row_stride};
    kernels_.multiply(packed_a ? GemmOperand<S>{packed_a} : in_place, b, block, out_);
  }

  /// Many rows: all threads pack a block of b, then they multiply rows by it. Two buffers, so that
  /// a thread may pack the next block while another still multiplies.
  void by_rows(int most_workers) const {
    const int64_t k_block = k_block_, width_block = std::min(n_, width_block_);
    const Storage buffers[2] = {
        allocate(packed_bytes(width_block, k_block)),
        k_ > k_block || n_ > width_block ? allocate(packed_bytes(width_block, k_block)) : Storage()};
    in_team(most_workers, [&](int worker, int workers) {
      int pass = 0;
      for (int64_t j = 0; j < n_; j += width_block_) {
        const int64_t columns = std::min(width_block_, n_ - j);
        for (int64_t p = 0; p < k_; p += k_block) {
          const int64_t k_count = std::min(k_block, k_ - p);
          auto* packed = static_cast<std::byte*>(buffers[pass++ % 2].data());
          pack_share(worker, workers, j, columns, p, k_count, packed);
          wait_for_team(workers);
          share_in_team(workers, tile_rows(),
                        [&](int64_t row) { multiply(row, nullptr, {packed}, j, columns, p, k_count); });
        }
      }
    });
  }

  /// A thread's panels of a block of b.
  void pack_share(int worker, int workers, int64_t j, int64_t columns, int64_t p, int64_t k_count,
                  std::byte* packed) const {
    const int64_t tile = kernels_.tile_columns, panels = ceil_divide(columns, tile);
    const int64_t first = cut(panels, workers, worker) * tile;
    const int64_t last = std::min(cut(panels, workers, worker + 1) * tile, columns);
    if (first < last) {
      kernels_.pack_columns(b_.from(p, j + first), k_count, last - first,
                            packed + packed_bytes(first, k_count));
    }
  }

  /// Few rows: they are packed once, and each thread works through columns of its own, a strip at a time that
  /// it packs and multiplies while it is in its caches.
  void by_columns(int most_workers) const {
    const int64_t tile = kernels_.tile_columns, panels = ceil_divide(n_, tile);
    const Storage rows =
        a_in_place_ ? Storage() : allocate(panel_bytes() * static_cast<size_t>(row_panels()));
    auto* packed_a = static_cast<std::byte*>(rows.data());
    const size_t strip_bytes = packed_bytes(strip_columns(), k_block_);
    const Storage strips = allocate(strip_bytes * static_cast<size_t>(most_workers));
    in_team(most_workers, [&](int worker, int workers) {
      if (!a_in_place_) {
        const int64_t last = cut(row_panels(), workers, worker + 1);
        for (int64_t i = cut(row_panels(), workers, worker); i < last; ++i) pack_row_panel(i, packed_a);
      }
      wait_for_team(workers);
      const int64_t first = cut(panels, workers, worker) * tile;
      const int64_t last = std::min(cut(panels, workers, worker + 1) * tile, n_);
      auto* strip = static_cast<std::byte*>(strips.data()) + strip_bytes * static_cast<size_t>(worker);
      if (first < last) columns_of_thread(first, last, packed_a, strip);
    });
  }

  bool b_in_place() const {
    return kernels_.reads_in_place && b_.column_stride == 1 && tile_rows() <= kFewTiles;
  }
  /// Columns that a thread packs at a time.
  int64_t strip_columns() const {
    const int64_t tile = kernels_.tile_columns;
    if (b_in_place()) return tile;
    return std::min(std::max(width_block_ / 2 / tile, int64_t{1}) * tile, round_up(n_, tile));
  }

  void columns_of_thread(int64_t first, int64_t last, const std::byte* packed_a, void* strip) const {
    // Columns that lie side by side are read where they are, but for the last, which do not fill a panel.
    const int64_t tile = kernels_.tile_columns;
    int64_t j = first;
    if (b_in_place()) {
      for (; j + tile <= last; j += tile) {
        each_k_block(j, tile, packed_a, [&](int64_t p, int64_t) {
          return GemmOperand<S>{nullptr, b_.at(p, j), b_.row_stride};
        });
      }
    }
    for (; j < last; j += strip_columns()) {
      const int64_t columns = std::min(strip_columns(), last - j);
      each_k_block(j, columns, packed_a, [&](int64_t p, int64_t k_count) {
        kernels_.pack_columns(b_.from(p, j), k_count, columns, strip);
        return GemmOperand<S>{strip};
      });
    }
  }

  /// Columns [j, j + columns), one block of K after the other; columns_at gives b there.
  template <typename ColumnsAt>
  void each_k_block(int64_t j, int64_t columns, const std::byte* packed_a, ColumnsAt&& columns_at) const {
    for (int64_t p = 0; p < k_; p += k_block_) {
      const int64_t k_count = std::min(k_block_, k_ - p);
      const GemmOperand<S> b = columns_at(p, k_count);
      for (int64_t row = 0; row < tile_rows(); ++row) {
        const auto panel = static_cast<size_t>(p / k_block_ * tile_rows() + row);
        multiply(row, packed_a ? packed_a + panel * panel_bytes() : nullptr, b, j, columns, p, k_count);
      }
    }
  }

  /// Panels of rows in a packed whole: those of the first block of K, then those of the second, ...
  int64_t row_panels() const { return tile_rows() * ceil_divide(k_, k_block_); }
  size_t panel_bytes() const {
    return static_cast<size_t>(kernels_.tile_rows * k_block_) * kernels_.packed_size + kVectorBytes;
  }
  void pack_row_panel(int64_t i, std::byte* packed_a) const {
    const auto [row, rows] = rows_of(i % tile_rows());
    const int64_t p = i / tile_rows() * k_block_;
    kernels_.pack_rows(a_.from(row, p), rows, std::min(k_block_, k_ - p),
                       packed_a + panel_bytes() * static_cast<size_t>(i));
  }

  const GemmKernels<T, S>& kernels_;
  MatrixView<const S> a_, b_;
  int64_t m_, n_, k_;
  GemmOutput<T> out_;
  int64_t k_block_, width_block_;
  bool a_in_place_;
};

template <typename T>
T* optional_data(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

// The sums of a's rows where the product has no columns.
template <typename T, typename S>
void sum_of_rows(const Tensor& a, const Tensor& sums) {
  for (int64_t i = 0; i < a.size(1); ++i) {
    double sum = 0;
    for (int64_t p = 0; p < a.size(2); ++p) {
      sum += static_cast<double>(a.data<S>()[i * a.stride(1) + p * a.stride(2)]);
    }
    sums.data<T>()[i] = static_cast<T>(sum);
  }
}

// Without a reduction dimension the product is zero, and what follows it still happens; without columns, a's
// rows still have sums.
template <typename T, typename S>
void empty_product(const call::Matmul& call) {
  const MatmulOptions& options = call.options;
  if (options.row_sums.defined()) sum_of_rows<T, S>(call.a, options.row_sums);
  if (call.accumulate) return;
  const int64_t n = call.out.size(2);
  T* out = call.out.data<T>();
  for (int64_t i = 0; i < call.out.elements(); ++i) {
    out[i] = options.bias.defined() ? options.bias.data<T>()[i % n] : T{0};
    if (options.pre_activation.defined()) options.pre_activation.data<T>()[i] = out[i];
  }
  if (!options.slope_at.defined() && options.activation != Activation::none) {
    unary_span<T>(unary_of(options.activation))(out, out, call.out.elements(), T{0}, T{0});
  }
  if (!options.residual.defined()) return;
  for (int64_t i = 0; i < call.out.elements(); ++i) out[i] += options.residual.data<T>()[i];
}

template <typename T, typename S>
void multiply(const call::Matmul& call) {
  const Tensor &a = call.a, &b = call.b, &out = call.out;
  const MatmulOptions& options = call.options;
  const int64_t batch = out.size(0), m = out.size(1), n = out.size(2), k = a.size(2);
  if (m == 0 || n == 0 || k == 0) return empty_product<T, S>(call);
  const auto product = [&](int64_t i) {
    const int64_t at = i * m * n;
    const auto shifted = [at](T* pointer) { return pointer ? pointer + at : nullptr; };
    const GemmOutput<T> to{.c = out.data<T>() + at,
                           .stride = n,
                           .accumulate = call.accumulate,
                           .bias = optional_data<T>(options.bias),
                           .activation = options.activation,
                           .pre_activation = shifted(optional_data<T>(options.pre_activation)),
                           .residual = shifted(optional_data<T>(options.residual)),
                           .slope_at = shifted(optional_data<T>(options.slope_at)),
                           .row_sums = optional_data<T>(options.row_sums)};
    return Product<T, S>({a.data<S>() + i * a.stride(0), a.stride(1), a.stride(2)},
                         {b.data<S>() + i * b.stride(0), b.stride(1), b.stride(2)}, m, n, k, to,
                         options.precision);
  };
  constexpr int64_t kWorthSharing = 48 * 48 * 48;  // multiplications below which one thread is faster
  if (batch > 1) {
    const int64_t grain = std::max<int64_t>(1, kWorthSharing / (m * n * k));
    parallel_for(batch, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) product(i).run(false);
    });
  } else {
    product(0).run(threads() > 1 && m * n * k > kWorthSharing && !omp_in_parallel());
  }
}

}  // namespace

void call::Matmul::run(Cpu) const {
  switch (a.dtype()) {
    case Dtype::float64:
      return multiply<double, double>(*this);
    case Dtype::bfloat16:
      return multiply<float, bfloat16>(*this);
    default:
      return multiply<float, float>(*this);
  }
}

}  // namespace haze
