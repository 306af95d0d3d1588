#include "haze/bench/ladder.h"

#include <algorithm>
#include <regex>
#include <utility>

#include <fmt/format.h>

#include "haze/engine/cpu/machine.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

// Every extent is a multiple of the rungs' blocks, so that none has to deal with a remainder. The last b
// takes 16 MiB, far more than a second-level cache.
struct Shape3 {
  int64_t m, n, k;
};
constexpr Shape3 kShapes[] = {{512, 512, 512}, {1024, 1024, 1024}, {128, 2048, 2048}};

/// c [m, n] = a [m, k] b [k, n], all row-major and dense.
struct Product {
  const float *a, *b;
  float* c;
  int64_t m, n, k;
};

/// Rung 1, the definition: an element of c is a row of a times a column of b. The elements of a column lie a
/// row apart, so every multiplication fetches another cache line; and every addition waits for the last.
void three_loops(const Product& product) {
  const auto [a, b, c, m, n, k] = product;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
  }
}

/// Rung 2, the two inner loops exchanged: b and c are passed through along their rows, every element of a
/// cache line is used, and the additions of a row are independent. So the compiler takes vectors too, of the
/// four floats that every x86-64 processor has. Unrolled, as the speed of a loop of seven instructions
/// depends on where in memory it happens to lie.
void reordered(const Product& product) {
  const auto [a, b, c, m, n, k] = product;
  std::fill_n(c, m * n, 0.0F);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
#pragma GCC unroll 4
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
    }
  }
}

/// Rung 3, the same in blocks: 64 x 256 elements of b, 64 KiB, serve all rows of a while they are in the
/// second-level cache. All of b passes by once, and not once for each row of a.
void blocked(const Product& product) {
  constexpr int64_t kBlockOfK = 64, kColumns = 256;
  const auto [a, b, c, m, n, k] = product;
  std::fill_n(c, m * n, 0.0F);
  for (int64_t first_p = 0; first_p < k; first_p += kBlockOfK) {
    for (int64_t first_j = 0; first_j < n; first_j += kColumns) {
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t p = first_p; p < first_p + kBlockOfK; ++p) {
#pragma GCC unroll 4
          for (int64_t j = first_j; j < first_j + kColumns; ++j) c[i * n + j] += a[i * k + p] * b[p * n + j];
        }
      }
    }
  }
}

/// packed [K, width] from elements `down` apart along K and `across` apart along the width.
void pack(const float* source, int64_t down, int64_t across, int64_t k_count, int64_t width, float* packed) {
  for (int64_t p = 0; p < k_count; ++p) {
    for (int64_t x = 0; x < width; ++x) packed[p * width + x] = source[p * down + x * across];
  }
}

/// Rungs 4 and 5 but for their tile: a block of b, 256 x 512 elements, is packed into panels as wide as the
/// tile. They take 512 KiB, half of a second-level cache, while tile after tile of rows of a, packed as well,
/// meets them.
void multiply_by_tiles(const Product& product, const LadderTile& tile) {
  constexpr int64_t kBlockOfK = 256, kColumns = 512;
  const auto [a, b, c, m, n, k] = product;
  std::fill_n(c, m * n, 0.0F);
  std::vector<float> rows(static_cast<size_t>(tile.rows * kBlockOfK)), panels(kBlockOfK * kColumns);
  for (int64_t p = 0; p < k; p += kBlockOfK) {
    for (int64_t first = 0; first < n; first += kColumns) {
      for (int64_t j = 0; j < kColumns; j += tile.columns)
        pack(b + p * n + first + j, n, 1, kBlockOfK, tile.columns, panels.data() + j * kBlockOfK);
      for (int64_t i = 0; i < m; i += tile.rows) {
        pack(a + i * k + p, 1, k, kBlockOfK, tile.rows, rows.data());
        for (int64_t j = 0; j < kColumns; j += tile.columns)
          tile.multiply(rows.data(), panels.data() + j * kBlockOfK, kBlockOfK, c + i * n + first + j, n);
      }
    }
  }
}

/// Rung 4, packed operands: what a tile of c needs lies side by side in the order of its use, so the tile can
/// be as small as the registers, and its sums stay there for a whole block. An element of c is loaded and
/// stored once a block, not once a multiplication; one of b serves four rows.
void packed(const Product& product) {
  constexpr int kRows = 4, kColumns = 8;
  const auto multiply = [](const float* a, const float* b, int64_t k_count, float* c, int64_t stride) {
    float sums[kRows][kColumns] = {};
    for (int64_t p = 0; p < k_count; ++p, a += kRows, b += kColumns) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int j = 0; j < kColumns; ++j) sums[r][j] += a[r] * b[j];
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kColumns; ++j) c[r * stride + j] += sums[r][j];
    }
  };
  multiply_by_tiles(product, {kRows, kColumns, multiply});
}

/// Rung 5, the tile in the processor's widest vectors: one instruction multiplies and adds 16 elements with
/// AVX-512, 8 with AVX2, and more registers hold a larger tile.
void vectorised(const Product& product) {
  multiply_by_tiles(product, vector_tile());
}

/// The operands of a shape, and float64's product of them.
struct Operands {
  explicit Operands(const Shape3& shape) : c({shape.m, shape.n}) {
    Generator generator(1);
    a = normal({shape.m, shape.k}, generator);
    b = normal({shape.k, shape.n}, generator);
    exact = matmul(cast(a, Dtype::float64), cast(b, Dtype::float64));
  }

  Tensor a, b, c, exact;
};

/// Rungs 6 and 7, the engine's: as vectorised(), with the rest of engine/cpu/README.md's ideas, and with more
/// threads each has a part of c to itself.
void by_engine(Operands& operands, int count) {
  const int before = threads();
  set_threads(count);
  operands.c = matmul(operands.a, operands.b);
  set_threads(before);
}

struct Rung {
  std::string name;
  int threads;
  std::function<void()> multiply;  // into the operands' c
};

std::vector<Rung> rungs_of(Operands& operands) {
  const auto plain = [&operands](void (*multiply)(const Product&)) {
    return [&operands, multiply] {
      const auto& [a, b, c, exact] = operands;
      multiply({a.data<float>(), b.data<float>(), c.data<float>(), c.size(0), c.size(1), a.size(1)});
    };
  };
  std::vector<Rung> rungs{{"three loops", 1, plain(three_loops)},
                          {"reordered", 1, plain(reordered)},
                          {"blocked", 1, plain(blocked)},
                          {"packed", 1, plain(packed)},
                          {"vectorised", 1, plain(vectorised)},
                          {"engine, 1 thread", 1, [&operands] { by_engine(operands, 1); }}};
  const int count = threads();
  if (count > 1) {
    rungs.push_back({fmt::format("engine, {} threads", count), count,
                     [&operands, count] { by_engine(operands, count); }});
  }
  return rungs;
}

/// Throws Error where the rung computes something else: then its time would say nothing.
void check_product(const std::string& title, const Rung& rung, Operands& operands) {
  fill(operands.c, 0);
  rung.multiply();
  const Tensor product = cast(operands.c, Dtype::float64);
  const double difference = global_norm(std::vector<Tensor>{subtract(product, operands.exact)});
  const double norm = global_norm(std::vector<Tensor>{operands.exact});
  if (!(difference <= 1e-5 * norm))
    fail("{} {}: the product and float64's differ by {:.1e} of their norm", title, rung.name,
         difference / norm);
}

/// Multiply-adds in registers.
struct Peaks {
  double one_thread, all_threads;  // 10^9 operations a second
};

Peaks measure_peaks() {
  const int count = threads();
  Peaks peaks;
  peaks.all_threads = measure_machine_limits().fma_gflops;
  set_threads(1);
  peaks.one_thread = count == 1 ? peaks.all_threads : measure_machine_limits().fma_gflops;
  set_threads(count);
  return peaks;
}

/// The rungs in whose "title name" the pattern is found.
ComparisonGroup compare(const std::string& title, const Shape3& shape, const std::regex& pattern,
                        const TimerOptions& timer, const Peaks& peaks,
                        const std::function<void(const std::string&)>& progress) {
  Operands operands(shape);
  const std::vector<Rung> rungs = rungs_of(operands);
  const auto is_wanted = [&](size_t i) {
    return i < rungs.size() && std::regex_search(fmt::format("{} {}", title, rungs[i].name), pattern);
  };
  // A rung's peer is the one below, which is timed even where it is not wanted.
  std::vector<size_t> timed;
  for (size_t i = 0; i < rungs.size(); ++i) {
    if (is_wanted(i) || is_wanted(i + 1)) timed.push_back(i);
  }
  ComparisonGroup group{title, "rung below", {}};
  if (timed.empty()) return group;
  progress(title);
  std::vector<std::function<void()>> functions;
  for (const size_t i : timed) {
    check_product(title, rungs[i], operands);
    functions.push_back(rungs[i].multiply);
  }
  const std::vector<double> seconds = fastest_seconds(functions, timer);
  const double operations = 2.0 * static_cast<double>(shape.m * shape.n * shape.k);
  for (size_t i = 0; i < timed.size(); ++i) {
    const Rung& rung = rungs[timed[i]];
    if (!is_wanted(timed[i])) continue;
    Comparison row;
    row.name = rung.name;
    row.ours = operations / seconds[i] * 1e-9;
    if (timed[i] > 0) row.peer = operations / seconds[i - 1] * 1e-9;
    row.unit = "GFLOP/s";
    row.share_of_peak = row.ours / (rung.threads == 1 ? peaks.one_thread : peaks.all_threads);
    group.rows.push_back(row);
  }
  return group;
}

}  // namespace

std::vector<ComparisonGroup> compare_ladder(const std::string& filter, const TimerOptions& timer,
                                            const std::function<void(const std::string&)>& progress) {
  const std::regex pattern(filter);
  const Peaks peaks = measure_peaks();
  std::vector<ComparisonGroup> groups;
  for (const Shape3& shape : kShapes) {
    const std::string title = fmt::format("ladder ({},{},{})", shape.m, shape.n, shape.k);
    ComparisonGroup group = compare(title, shape, pattern, timer, peaks, progress);
    if (!group.rows.empty()) groups.push_back(std::move(group));
  }
  if (groups.empty()) fail("--filter {}: no row has such a name", filter);
  return groups;
}

}  // namespace haze
