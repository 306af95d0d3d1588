#pragma once

#include <algorithm>
#include <complex>
#include <string>
#include <vector>

#include "nn/networks.h"

namespace haze::nn_test {

/// The formulas of the papers, for rows of sequences of the given lengths, in loops.
class Reference {
 public:
  Reference(Module& module, const TransformerConfig& config, std::vector<int64_t> lengths)
      : parameters_(module), config_(config), lengths_(std::move(lengths)) {}

  Matrix attention(const std::string& name, const Matrix& x) const {
    const Matrix qkv = parameters_.linear(name + "qkv", x);
    Matrix mixed(x.rows, x.columns);
    size_t first = 0;
    for (const int64_t length : lengths_) {
      for (size_t head = 0; head < heads(); ++head) {
        for (size_t i = 0; i < static_cast<size_t>(length); ++i) {
          attend(qkv, first, static_cast<size_t>(length), head, i, mixed);
        }
      }
      first += static_cast<size_t>(length);
    }
    return parameters_.linear(name + "output", mixed);
  }

  Matrix mlp(const std::string& name, const Matrix& x) const {
    const bool bert = config_.norm == NormPlacement::post;
    const Matrix inner = map(parameters_.linear(name + "up", x), [&](double y) {
      if (config_.activation == Activation::relu) return std::max(y, 0.0);
      return bert ? gelu_of(y) : gelu_tanh_of(y);
    });
    return parameters_.linear(name + "down", inner);
  }

  /// `condition` has a row for each sequence: what adaptive norms are computed from, or the waves of t where
  /// time enters otherwise.
  Matrix block(const std::string& name, const Matrix& x, const Matrix& condition) const {
    const std::string attention_name = name + "attention.", mlp_name = name + "mlp.";
    const bool per_layer = config_.time == TimeConditioning::per_layer;
    const Matrix added = per_layer ? of_rows(time_embedding(name, condition)) : Matrix(x.rows, x.columns);
    if (config_.norm == NormPlacement::post) {
      const Matrix y =
          parameters_.layer_norm(name + "norm1", x + attention(attention_name, x) + added, epsilon());
      return parameters_.layer_norm(name + "norm2", y + mlp(mlp_name, y), epsilon());
    }
    if (config_.time != TimeConditioning::adaptive) {
      const Matrix y =
          x + attention(attention_name, parameters_.layer_norm(name + "norm1", x, epsilon())) + added;
      return y + mlp(mlp_name, parameters_.layer_norm(name + "norm2", y, epsilon()));
    }
    const Matrix m = parameters_.linear(name + "modulation", condition);
    const Matrix y = x + gated(attention(attention_name, modulated(x, m, 0, 1)), m, 2);
    return y + gated(mlp(mlp_name, modulated(y, m, 3, 4)), m, 5);
  }

  /// `waves` has the sinusoidal embedding of 1000 t for each sequence.
  Matrix network(const std::vector<int32_t>& ids, const Matrix& waves) {
    Matrix x = embedded(ids), condition = waves;
    if (config_.time == TimeConditioning::adaptive) condition = map(time_embedding("", waves), silu_of);
    if (config_.time == TimeConditioning::added) x = x + of_rows(time_embedding("", waves));
    if (config_.time != TimeConditioning::prefix) return stack(std::move(x), condition);

    x = with_prefixes(x, time_embedding("", waves));
    for (int64_t& length : lengths_) ++length;
    prefixed_ = true;
    const Matrix y = stack(std::move(x), condition);
    prefixed_ = false;
    for (int64_t& length : lengths_) --length;
    return without_prefixes(y);
  }

 private:
  Matrix stack(Matrix x, const Matrix& condition) const {
    if (config_.norm == NormPlacement::post) x = parameters_.layer_norm("embedding_norm", x, epsilon());
    for (int64_t i = 0; i < config_.layers; ++i) x = block(fmt::format("blocks.{}.", i), x, condition);
    if (config_.norm == NormPlacement::post) return x;
    if (config_.time != TimeConditioning::adaptive) return parameters_.layer_norm("final_norm", x, epsilon());
    return modulated(x, parameters_.linear("final_modulation", condition), 0, 1);
  }

  /// Linear, SiLU, linear of the waves of each sequence.
  Matrix time_embedding(const std::string& name, const Matrix& waves) const {
    const Matrix inner = map(parameters_.linear(name + "time_embedding.first", waves), silu_of);
    return parameters_.linear(name + "time_embedding.second", inner);
  }
  /// A row for each row of the sequences: that of its sequence.
  Matrix of_rows(const Matrix& of_sequences) const {
    size_t rows = 0;
    for (const int64_t length : lengths_) rows += static_cast<size_t>(length);
    return Matrix::made(rows, hidden(), [&](size_t r, size_t c) { return part(of_sequences, r, 0, c); });
  }
  Matrix with_prefixes(const Matrix& x, const Matrix& prefixes) const {
    Matrix y(x.rows + prefixes.rows, x.columns);
    y.elements.clear();
    auto next = x.elements.begin();
    for (size_t i = 0; i < lengths_.size(); ++i) {
      const auto prefix = prefixes.elements.begin() + static_cast<std::ptrdiff_t>(i * hidden());
      const auto end = next + lengths_[i] * config_.hidden;
      y.elements.insert(y.elements.end(), prefix, prefix + config_.hidden);
      y.elements.insert(y.elements.end(), next, end);
      next = end;
    }
    return y;
  }
  Matrix without_prefixes(const Matrix& x) const {
    Matrix y(x.rows - lengths_.size(), x.columns);
    y.elements.clear();
    auto next = x.elements.begin();
    for (const int64_t length : lengths_) {
      next += config_.hidden;
      y.elements.insert(y.elements.end(), next, next + length * config_.hidden);
      next += length * config_.hidden;
    }
    return y;
  }

  double epsilon() const {
    return config_.norm_epsilon.value_or(config_.norm == NormPlacement::post ? 1e-12 : 1e-5);
  }
  size_t heads() const { return static_cast<size_t>(config_.heads); }
  size_t hidden() const { return static_cast<size_t>(config_.hidden); }

  /// Part 0 (query) or 1 (key) of one row and head, as complex numbers of the pairs (i, i + half) turned by
  /// the position where positions are rotary.
  std::vector<std::complex<double>> pairs(const Matrix& qkv, size_t row, size_t part, size_t head,
                                          size_t position) const {
    const size_t size = hidden() / heads(), half = size / 2, start = part * hidden() + head * size;
    std::vector<std::complex<double>> result;
    for (size_t i = 0; i < half; ++i) {
      const double frequency = std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(size));
      const double angle =
          config_.positions == PositionKind::rotary ? static_cast<double>(place(position)) * frequency : 0;
      result.push_back(std::complex<double>(qkv(row, start + i), qkv(row, start + half + i)) *
                       std::polar(1.0, angle));
    }
    return result;
  }

  /// The position of a row of a sequence; a prefix stands at 0 and moves no other.
  size_t place(size_t row) const { return prefixed_ && row > 0 ? row - 1 : row; }

  /// Row first + i of `mixed`, for one head: softmax(q k / sqrt(size)) v over the sequence.
  void attend(const Matrix& qkv, size_t first, size_t length, size_t head, size_t i, Matrix& mixed) const {
    const size_t size = hidden() / heads(), keys = config_.causal ? i + 1 : length;
    const auto query = pairs(qkv, first + i, 0, head, i);
    std::vector<double> weights(keys);
    double total = 0;
    for (size_t j = 0; j < keys; ++j) {
      const auto key = pairs(qkv, first + j, 1, head, j);
      double dot = 0;
      for (size_t p = 0; p < query.size(); ++p) dot += (query[p] * std::conj(key[p])).real();
      total += weights[j] = std::exp(dot / std::sqrt(static_cast<double>(size)));
    }
    for (size_t c = head * size; c < (head + 1) * size; ++c) {
      for (size_t j = 0; j < keys; ++j) {
        mixed(first + i, c) += weights[j] / total * qkv(first + j, 2 * hidden() + c);
      }
    }
  }

  /// The part of a modulation that belongs to a row: that of its sequence.
  double part(const Matrix& m, size_t row, size_t which, size_t column) const {
    size_t sequence = 0, end = static_cast<size_t>(lengths_[0]);
    while (row >= end) end += static_cast<size_t>(lengths_[++sequence]);
    return m(sequence, which * hidden() + column);
  }
  Matrix gated(const Matrix& x, const Matrix& m, size_t gate) const {
    return Matrix::made(x.rows, x.columns, [&](size_t r, size_t c) { return part(m, r, gate, c) * x(r, c); });
  }
  Matrix modulated(const Matrix& x, const Matrix& m, size_t shift, size_t scale) const {
    const Matrix y = standardised(x, epsilon());
    return Matrix::made(y.rows, y.columns, [&](size_t r, size_t c) {
      return y(r, c) * (1 + part(m, r, scale, c)) + part(m, r, shift, c);
    });
  }

  Matrix embedded(const std::vector<int32_t>& ids) const {
    Matrix x(ids.size(), hidden());
    size_t row = 0;
    for (const int64_t length : lengths_) {
      for (size_t position = 0; position < static_cast<size_t>(length); ++position, ++row) {
        for (size_t c = 0; c < hidden(); ++c) {
          x(row, c) = parameters_["token_embedding.weight"](static_cast<size_t>(ids[row]), c) +
                      position_part(position, c);
        }
      }
    }
    return x;
  }
  double position_part(size_t position, size_t c) const {
    if (config_.positions == PositionKind::rotary || config_.positions == PositionKind::none) return 0;
    if (config_.positions == PositionKind::learned)
      return parameters_["position_embedding.weight"](position, c);
    const size_t half = hidden() / 2;
    const double angle = static_cast<double>(position) *
                         std::pow(10000.0, -static_cast<double>(c % half) / static_cast<double>(half));
    return c < half ? std::cos(angle) : std::sin(angle);
  }

  Parameters parameters_;
  TransformerConfig config_;
  std::vector<int64_t> lengths_;
  bool prefixed_ = false;
};

}  // namespace haze::nn_test
