#include "haze/engine/ops/adaptive_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "haze/engine/cpu/gate_spans.h"
#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/norm_spans.h"
#include "haze/engine/cpu/positions_by_index.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/value_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/adaptive_norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void AddGated(const T* x, const T* gate, const T* branch, T* out, int64_t count) {
  ForEachVector<T>(count, [=](auto load, auto store, int64_t i) HWY_ATTR {
    store(hn::MulAdd(load(gate + i), load(branch + i), load(x + i)), out + i);
  });
}

template <typename T>
void GateGradient(const T* g, const T* gate, const T* branch, T* gate_gradient, T* out, int64_t count) {
  ForEachVector<T>(count, [=](auto load, auto store, int64_t i) HWY_ATTR {
    const auto gi = load(g + i);
    store(hn::Mul(gi, load(gate + i)), out + i);
    store(hn::MulAdd(gi, load(branch + i), load(gate_gradient + i)), gate_gradient + i);
  });
}

const GateSpans<float>& GateSpansFloat() {
  static constexpr GateSpans<float> kSpans{AddGated<float>, GateGradient<float>};
  return kSpans;
}
const GateSpans<double>& GateSpansDouble() {
  static constexpr GateSpans<double> kSpans{AddGated<double>, GateGradient<double>};
  return kSpans;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(GateSpansFloat);
HWY_EXPORT(GateSpansDouble);

template <>
const GateSpans<float>& gate_spans<float>() {
  return HWY_DYNAMIC_DISPATCH(GateSpansFloat)();
}
template <>
const GateSpans<double>& gate_spans<double>() {
  return HWY_DYNAMIC_DISPATCH(GateSpansDouble)();
}

namespace {

template <typename T>
T* row_of(const Tensor& x, int64_t row) {
  return x.data<T>() + row * x.stride(0);
}

// 1 + scale, [sequences, columns]: made once a sequence, not once a row.
template <typename T>
Tensor weights_of(const Tensor& scale) {
  Tensor weights(scale.shape(), scale.dtype());
  parallel_for(scale.size(0), rows_per_task(scale.size(1)), [&](int64_t first, int64_t last) {
    for (int64_t s = first; s < last; ++s) {
      const T* from = row_of<T>(scale, s);
      std::transform(from, from + scale.size(1), row_of<T>(weights, s), [](T value) { return 1 + value; });
    }
  });
  return weights;
}

// The rows of each sequence in chunks, so that one long sequence occupies several threads. The cut depends on
// the index alone, and with it the bits of sums over the rows of a sequence.
class SequenceChunks {
 public:
  struct Chunk {
    int64_t sequence;
    std::span<const int32_t> rows;
  };

  SequenceChunks(const Tensor& index, int64_t sequences)
      : positions_(index.data<int32_t>(), index.elements(), sequences) {
    constexpr size_t kRows = 64;
    for (int64_t s = 0; s < sequences; ++s) {
      starts_.push_back(std::ssize(chunks_));
      for (auto rows = positions_.of(s); !rows.empty(); rows = rows.subspan(std::min(kRows, rows.size()))) {
        chunks_.push_back({s, rows.first(std::min(kRows, rows.size()))});
      }
    }
    starts_.push_back(std::ssize(chunks_));
  }

  int64_t count() const { return std::ssize(chunks_); }
  const Chunk& operator[](int64_t chunk) const { return chunks_[static_cast<size_t>(chunk)]; }
  /// The first chunk of a sequence.
  int64_t start(int64_t sequence) const { return starts_[static_cast<size_t>(sequence)]; }

 private:
  PositionsByIndex positions_;
  std::vector<Chunk> chunks_;
  std::vector<int64_t> starts_;
};

// Calls add_chunk(chunk, part) for all chunks, where `part` holds a row of zeros for each of `sums`, to be
// added to. Then each of `sums` [sequences, columns] is the sum of its parts, in order and in float64.
template <typename T, typename AddChunk>
void sum_by_sequence(const SequenceChunks& chunks, const std::vector<Tensor>& sums, AddChunk&& add_chunk) {
  const int64_t columns = sums[0].size(1), width = std::ssize(sums) * columns;
  const Tensor parts({chunks.count(), width}, sums[0].dtype());
  parallel_for_uneven(chunks.count(), true, [&](int64_t chunk) {
    T* part = row_of<T>(parts, chunk);
    std::fill_n(part, width, T{0});
    add_chunk(chunks[chunk], part);
  });
  parallel_for(sums[0].size(0), rows_per_task(width), [&](int64_t first, int64_t last) {
    std::vector<double> total(static_cast<size_t>(width));
    for (int64_t s = first; s < last; ++s) {
      std::fill(total.begin(), total.end(), 0.0);
      for (int64_t chunk = chunks.start(s); chunk < chunks.start(s + 1); ++chunk) {
        const T* part = row_of<T>(parts, chunk);
        for (size_t i = 0; i < total.size(); ++i) total[i] += part[i];
      }
      auto from = total.begin();
      for (const Tensor& sum : sums) {
        std::transform(from, from + columns, row_of<T>(sum, s), [](double x) { return static_cast<T>(x); });
        from += columns;
      }
    }
  });
}

template <typename T>
void normalize(const call::AdaptiveLayerNorm& call) {
  const int64_t columns = call.x.size(1);
  const RowSpans<T>& rows = row_spans<T>();
  const NormSpans<T>& spans = norm_spans<T>();
  const Tensor weights = weights_of<T>(call.scale);
  const int32_t* sequence = call.index.data<int32_t>();
  parallel_for(call.x.size(0), rows_per_task(2 * columns), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const T* x = row_of<T>(call.x, i);
      const T mean = static_cast<T>(rows.sum(x, columns) / static_cast<double>(columns));
      const double variance = rows.sum_square(x, columns, mean) / static_cast<double>(columns);
      const T rstd = static_cast<T>(1 / std::sqrt(variance + call.epsilon));
      call.out.mean.template data<T>()[i] = mean;
      call.out.rstd.template data<T>()[i] = rstd;
      spans.normalize(x, row_of<T>(weights, sequence[i]), row_of<T>(call.shift, sequence[i]), mean, rstd,
                      row_of<T>(call.out.output, i), columns);
    }
  });
}

// With gw = g (1 + scale): dx = rstd (gw - mean(gw) - xhat mean(gw xhat)); scale gets the sum of g xhat over
// the rows of its sequence, shift that of g.
template <typename T>
void norm_gradient(const call::AdaptiveLayerNormGradient& call) {
  const int64_t columns = call.x.size(1);
  const NormSpans<T>& spans = norm_spans<T>();
  const Tensor weights = weights_of<T>(call.scale);
  const SequenceChunks chunks(call.index, call.scale.size(0));
  sum_by_sequence<T>(chunks, {call.out.weight, call.out.bias}, [&](const auto& chunk, T* part) {
    const NormRows<T> in{call.g.template data<T>(),          call.x.template data<T>(),
                         row_of<T>(weights, chunk.sequence), call.saved.mean.template data<T>(),
                         call.saved.rstd.template data<T>(), columns};
    for (const int32_t row : chunk.rows) {
      spans.gradient(in, row, part, part + columns, row_of<T>(call.out.x, row));
    }
  });
}

template <typename T>
void add_gated(const call::GatedAdd& call) {
  const GateSpans<T>& spans = gate_spans<T>();
  const int32_t* sequence = call.index.data<int32_t>();
  const int64_t columns = call.x.size(1);
  parallel_for(call.x.size(0), rows_per_task(columns), [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      spans.add(row_of<T>(call.x, i), row_of<T>(call.gate, sequence[i]), row_of<T>(call.branch, i),
                row_of<T>(call.out, i), columns);
    }
  });
}

template <typename T>
void gate_gradient(const call::GatedAddGradient& call) {
  const GateSpans<T>& spans = gate_spans<T>();
  const SequenceChunks chunks(call.index, call.gate.size(0));
  sum_by_sequence<T>(chunks, {call.out_gate}, [&](const auto& chunk, T* part) {
    const T* gate = row_of<T>(call.gate, chunk.sequence);
    for (const int32_t row : chunk.rows) {
      spans.gradient(row_of<T>(call.g, row), gate, row_of<T>(call.branch, row), part,
                     row_of<T>(call.out_branch, row), call.g.size(1));
    }
  });
}

}  // namespace

void call::AdaptiveLayerNorm::run(Cpu) const {
  check_indices(name(), index, scale.size(0));
  dispatch_real(x.dtype(), [&](auto tag) { normalize<decltype(tag)>(*this); });
}

void call::AdaptiveLayerNormGradient::run(Cpu) const {
  check_indices(name(), index, scale.size(0));
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(*this); });
}

void call::GatedAdd::run(Cpu) const {
  check_indices(name(), index, gate.size(0));
  dispatch_real(x.dtype(), [&](auto tag) { add_gated<decltype(tag)>(*this); });
}

void call::GatedAddGradient::run(Cpu) const {
  check_indices(name(), index, gate.size(0));
  dispatch_real(branch.dtype(), [&](auto tag) { gate_gradient<decltype(tag)>(*this); });
}

}  // namespace haze
#endif
