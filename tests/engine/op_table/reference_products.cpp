#include <algorithm>
#include <limits>

#include "engine/op_table/reference.h"

// Matrix product, attention, cross-entropy and the optimiser step.
namespace haze::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Shape leading(const Shape& shape) {
  Shape result;
  for (int axis = 0; axis + 2 < shape.rank(); ++axis) result.append(shape[axis]);
  return result;
}

// Where the matrix of `shape` begins that belongs to a batch index.
size_t matrix_start(const Shape& batch_index, const Shape& shape) {
  const int rank = shape.rank();
  return broadcast_number(batch_index, leading(shape)) *
         static_cast<size_t>(shape[rank - 2] * shape[rank - 1]);
}

// activation(x), with what x itself is off by: no activation is steeper than 1.2.
Number activated(Activation kind, const Number& x) {
  const Number y = activation(kind, x.value);
  return {y.value, y.error + (kind == Activation::none ? 1 : 1.2) * x.error};
}

}  // namespace

Product matmul(const Array& a, const Array& b, const Array& bias, Activation kind, const Array& residual) {
  const int64_t m = a.shape[a.shape.rank() - 2], k = a.shape.back(), n = b.shape.back();
  const Shape batch_a = leading(a.shape), batch_b = leading(b.shape);
  const Shape batch = zip(Array(batch_a), Array(batch_b), [](double, double) { return Number{}; }).shape;
  Shape shape = batch;
  shape.append(m);
  shape.append(n);
  Product result{Array(shape), Array(shape)};
  size_t out = 0;
  for (int64_t matrix = 0; matrix < batch.elements(); ++matrix) {
    const Shape index = index_of(matrix, batch);
    const double* left = a.values.data() + matrix_start(index, a.shape);
    const double* right = b.values.data() + matrix_start(index, b.shape);
    for (int64_t i = 0; i < m; ++i) {
      std::vector<double> sums(static_cast<size_t>(n)), magnitudes(static_cast<size_t>(n));
      for (int64_t l = 0; l < k; ++l) {
        for (int64_t j = 0; j < n; ++j) {
          const double term = left[i * k + l] * right[l * n + j];
          sums[static_cast<size_t>(j)] += term;
          magnitudes[static_cast<size_t>(j)] += std::abs(term);
        }
      }
      for (size_t j = 0; j < sums.size(); ++j, ++out) {
        Number sum{sums[j], rounding_of_sum(k) * magnitudes[j]};
        if (!bias.values.empty()) {
          sum.value += bias.values[j];
          sum.error += std::abs(bias.values[j]) + std::abs(sum.value);
        }
        result.pre_activation.values[out] = sum.value;
        result.pre_activation.error[out] = sum.error;
        Number y = activated(kind, sum);
        if (!residual.values.empty()) {
          y.value += residual.values[out];
          y.error += std::abs(residual.values[out]) + std::abs(y.value);
        }
        result.output.values[out] = y.value;
        result.output.error[out] = y.error;
      }
    }
  }
  return result;
}

namespace {

// Attention of one query of one head: the probabilities and how many units each is off, relatively.
struct QueryRow {
  std::vector<int64_t> keys;  // those that the query sees
  std::vector<double> probabilities, dropped, relative;
  Number logsumexp{-kInfinity, 0};
};

class AttentionReference {
 public:
  AttentionReference(const Array& query, const Array& key, const Array& value, const AttentionMask& mask)
      : query_(query), key_(key), value_(value), mask_(mask) {
    scale_ = mask.scale != 0 ? mask.scale : 1 / std::sqrt(static_cast<double>(size()));
  }

  int64_t batch() const { return query_.shape[0]; }
  int64_t queries() const { return query_.shape[1]; }
  int64_t keys() const { return key_.shape[1]; }
  int64_t heads() const { return query_.shape[2]; }
  int64_t size() const { return query_.shape[3]; }
  double scale() const { return scale_; }

  size_t at(int64_t b, int64_t row, int64_t head, int64_t d, int64_t rows) const {
    return static_cast<size_t>(((b * rows + row) * heads() + head) * size() + d);
  }

  QueryRow row(int64_t b, int64_t head, int64_t i) const {
    QueryRow result;
    std::vector<double> scores, off;
    double largest = -kInfinity;
    for (int64_t j = 0; j < keys(); ++j) {
      if (!sees(b, i, j)) continue;
      double score = 0, magnitude = 0;
      for (int64_t d = 0; d < size(); ++d) {
        const double term =
            query_.values[at(b, i, head, d, queries())] * key_.values[at(b, j, head, d, keys())];
        score += term;
        magnitude += std::abs(term);
      }
      result.keys.push_back(j);
      scores.push_back(scale_ * score);
      off.push_back(std::abs(scale_) * (rounding_of_sum(size()) + 2) * magnitude);
      largest = std::max(largest, scores.back());
    }
    if (result.keys.empty()) return result;
    double total = 0, total_off = 0;
    for (size_t j = 0; j < scores.size(); ++j) {
      const double p = std::exp(scores[j] - largest);
      total += p;
      // An online softmax may rescale by e^(old maximum - new), once a tile.
      total_off += p * (off[j] + 2 * (largest - scores[j]) + 2 * kElementary);
    }
    const double of_sum = total_off / total + rounding_of_sum(static_cast<int64_t>(scores.size()));
    result.logsumexp = {
        largest + std::log(total),
        of_sum + std::abs(largest) + kElementary * std::log(total) + std::abs(largest + std::log(total))};
    for (size_t j = 0; j < scores.size(); ++j) {
      const double p = std::exp(scores[j] - largest) / total;
      result.probabilities.push_back(p);
      result.dropped.push_back(kept(b, head, i, result.keys[j]) ? p / (1 - mask_.dropout) : 0);
      result.relative.push_back(off[j] + 2 * (largest - scores[j]) + 2 * kElementary + of_sum + 3 +
                                std::abs(largest) + std::abs(result.logsumexp.value));
    }
    return result;
  }

  bool kept(int64_t b, int64_t head, int64_t i, int64_t j) const {
    if (mask_.dropout == 0) return true;
    const int64_t counters = (keys() + 3) / 4, row = (b * heads() + head) * queries() + i;
    const uint32_t word = random_word(mask_.position, static_cast<uint64_t>(4 * row * counters + j));
    return word >= static_cast<uint64_t>(mask_.dropout * 4294967296.0);
  }

 private:
  bool sees(int64_t b, int64_t i, int64_t j) const {
    int64_t query = i, key = j, offset = keys() - queries();
    if (!mask_.sequence_offsets.empty()) {
      const auto sequence = [&](int64_t row) {
        const auto& offsets = mask_.sequence_offsets;
        return std::upper_bound(offsets.begin(), offsets.end(), row) - offsets.begin();
      };
      if (sequence(i) != sequence(j)) return false;
      offset = 0;
    }
    if (mask_.causal && key > query + offset) return false;
    if (!mask_.key_lengths.empty() && j >= mask_.key_lengths[static_cast<size_t>(b)]) return false;
    if (mask_.block_mask.values.empty()) return true;
    const int64_t row = i / mask_.block_size, column = j / mask_.block_size;
    return mask_.block_mask.values[static_cast<size_t>(row * mask_.block_mask.shape[1] + column)] != 0;
  }

  const Array &query_, &key_, &value_;
  const AttentionMask& mask_;
  double scale_;
};

}  // namespace

AttentionOutput attention(const Array& query, const Array& key, const Array& value,
                          const AttentionMask& mask) {
  const AttentionReference a(query, key, value, mask);
  AttentionOutput result{Array(query.shape), Array({a.batch(), a.heads(), a.queries()})};
  size_t out = 0;
  for (int64_t b = 0; b < a.batch(); ++b) {
    for (int64_t head = 0; head < a.heads(); ++head) {
      for (int64_t i = 0; i < a.queries(); ++i, ++out) {
        const QueryRow row = a.row(b, head, i);
        result.logsumexp.values[out] = row.logsumexp.value;
        result.logsumexp.error[out] = row.logsumexp.error;
        const double of_sum = rounding_of_sum(static_cast<int64_t>(row.keys.size()));
        for (size_t j = 0; j < row.keys.size(); ++j) {
          for (int64_t d = 0; d < a.size(); ++d) {
            const double term = row.dropped[j] * value.values[a.at(b, row.keys[j], head, d, a.keys())];
            result.output.values[a.at(b, i, head, d, a.queries())] += term;
            result.output.error[a.at(b, i, head, d, a.queries())] +=
                std::abs(term) * (of_sum + row.relative[j]);
          }
        }
      }
    }
  }
  return result;
}

// dV = P^T dO, dP = dO V^T where kept, dS = P (dP - sum(P dP)), dQ = scale dS K, dK = scale dS^T Q.
AttentionGradients attention_gradient(const Array& g, const Array& query, const Array& key,
                                      const Array& value, const AttentionMask& mask) {
  const AttentionReference a(query, key, value, mask);
  AttentionGradients result{Array(query.shape), Array(key.shape), Array(value.shape)};
  const auto add = [](Array& x, size_t i, double term, double error) {
    x.values[i] += term;
    x.error[i] += error;
  };
  const double of_values = rounding_of_sum(a.size()), of_queries = rounding_of_sum(a.queries());
  for (int64_t b = 0; b < a.batch(); ++b) {
    for (int64_t head = 0; head < a.heads(); ++head) {
      for (int64_t i = 0; i < a.queries(); ++i) {
        const QueryRow row = a.row(b, head, i);
        const double of_keys = rounding_of_sum(static_cast<int64_t>(row.keys.size()));
        std::vector<double> dp, dp_error;
        double delta = 0, delta_error = 0;
        for (size_t j = 0; j < row.keys.size(); ++j) {
          double sum = 0, magnitude = 0;
          const double keep = a.kept(b, head, i, row.keys[j]) ? 1 / (1 - mask.dropout) : 0;
          for (int64_t d = 0; d < a.size(); ++d) {
            const double up = g.values[a.at(b, i, head, d, a.queries())];
            const size_t v = a.at(b, row.keys[j], head, d, a.keys());
            sum += keep * up * value.values[v];
            magnitude += keep * std::abs(up * value.values[v]);
            add(result.value, v, row.dropped[j] * up,
                std::abs(row.dropped[j] * up) * (of_queries + row.relative[j]));
          }
          dp.push_back(sum);
          dp_error.push_back((of_values + 2) * magnitude);
          delta += row.probabilities[j] * sum;
          // Summed as dO . O, whose terms have these magnitudes.
          delta_error += row.probabilities[j] * magnitude * (of_values + of_keys + row.relative[j] + 2);
        }
        for (size_t j = 0; j < row.keys.size(); ++j) {
          const double ds = a.scale() * row.probabilities[j] * (dp[j] - delta);
          const double ds_error =
              std::abs(a.scale()) * row.probabilities[j] *
              (dp_error[j] + delta_error + (row.relative[j] + 3) * (std::abs(dp[j]) + std::abs(delta)));
          for (int64_t d = 0; d < a.size(); ++d) {
            const size_t q = a.at(b, i, head, d, a.queries()), k = a.at(b, row.keys[j], head, d, a.keys());
            add(result.query, q, ds * key.values[k],
                std::abs(key.values[k]) * (ds_error + of_keys * std::abs(ds)));
            add(result.key, k, ds * query.values[q],
                std::abs(query.values[q]) * (ds_error + of_queries * std::abs(ds)));
          }
        }
      }
    }
  }
  return result;
}

// Logits z = hidden weight^T + bias; loss = logsumexp(z) - z[target];
// dz = row_weight (softmax(z) - one_hot(target)), dhidden = dz weight, dweight = dz^T hidden, dbias = sum dz.
CrossEntropy linear_cross_entropy(const Array& hidden, const Array& weight, const Array& bias,
                                  const Array& targets, const Array& row_weights) {
  const int64_t rows = hidden.shape[0], width = hidden.shape[1], vocabulary = weight.shape[0];
  const bool gradients = !row_weights.values.empty() || row_weights.shape.rank() > 0;
  CrossEntropy result{Array({rows}), Array(hidden.shape), Array(weight.shape), Array({vocabulary})};
  const Array logits = matmul(hidden, permute(weight, {1, 0}), bias).output;
  const double of_rows = rounding_of_sum(rows), of_vocabulary = rounding_of_sum(vocabulary);
  for (int64_t row = 0; row < rows; ++row) {
    const auto logit = [&](int64_t v) { return logits.values[static_cast<size_t>(row * vocabulary + v)]; };
    const auto off = [&](int64_t v) { return logits.error[static_cast<size_t>(row * vocabulary + v)]; };
    const auto target = static_cast<int64_t>(targets.values[static_cast<size_t>(row)]);
    double largest = -kInfinity, total = 0, total_off = 0;
    for (int64_t v = 0; v < vocabulary; ++v) largest = std::max(largest, logit(v));
    for (int64_t v = 0; v < vocabulary; ++v) {
      const double p = std::exp(logit(v) - largest);
      total += p;
      total_off += p * (off(v) + largest - logit(v) + kElementary);
    }
    const double of_sum = total_off / total + of_vocabulary, log_sum = std::log(total);
    result.losses.values[static_cast<size_t>(row)] = log_sum + largest - logit(target);
    result.losses.error[static_cast<size_t>(row)] =
        of_sum + off(target) + kElementary * log_sum + 2 * (largest - logit(target)) + log_sum;
    if (!gradients) continue;
    const double row_weight = row_weights.values[static_cast<size_t>(row)];
    for (int64_t v = 0; v < vocabulary; ++v) {
      const double p = std::exp(logit(v) - largest) / total, hot = v == target ? 1 : 0;
      const double dz = row_weight * (p - hot);
      const double dz_error =
          std::abs(row_weight) * (p * (of_sum + off(v) + largest - logit(v) + kElementary + 4) + hot);
      result.bias.values[static_cast<size_t>(v)] += dz;
      result.bias.error[static_cast<size_t>(v)] += dz_error + of_rows * std::abs(dz);
      for (int64_t d = 0; d < width; ++d) {
        const auto h = static_cast<size_t>(row * width + d), w = static_cast<size_t>(v * width + d);
        result.hidden.values[h] += dz * weight.values[w];
        result.hidden.error[h] += std::abs(weight.values[w]) * (dz_error + of_vocabulary * std::abs(dz));
        result.weight.values[w] += dz * hidden.values[h];
        result.weight.error[w] += std::abs(hidden.values[h]) * (dz_error + of_rows * std::abs(dz));
      }
    }
  }
  return result;
}

// Loshchilov and Hutter 2019, algorithm 2, with a schedule multiplier of 1 and the learning rate on the
// decay.
std::array<Array, 3> adamw_step(const Array& parameter, const Array& gradient, const Array& first_moment,
                                const Array& second_moment, const AdamWOptions& o, bool decay) {
  std::array<Array, 3> result = {Array(parameter.shape), Array(parameter.shape), Array(parameter.shape)};
  const double step = static_cast<double>(o.step);
  for (size_t i = 0; i < parameter.values.size(); ++i) {
    const double g = o.gradient_scale * gradient.values[i];
    const double m = o.beta1 * first_moment.values[i] + (1 - o.beta1) * g;
    const double v = o.beta2 * second_moment.values[i] + (1 - o.beta2) * g * g;
    const double corrected_m = m / (1 - std::pow(o.beta1, step));
    const double root = std::sqrt(v / (1 - std::pow(o.beta2, step)));
    const double theta = parameter.values[i], weight_decay = decay ? o.weight_decay : 0;
    const double update = o.learning_rate * corrected_m / (root + o.epsilon);
    // Each term of m has a rounded factor, a rounded g and two roundings; v one more of each.
    const double of_m = 5 * (std::abs(o.beta1 * first_moment.values[i]) + std::abs((1 - o.beta1) * g));
    const double relative_m = m == 0 ? 0 : of_m / std::abs(m);
    const double next = theta - o.learning_rate * weight_decay * theta - update;
    result[0].values[i] = next;
    result[0].error[i] = std::abs(update) * (relative_m + 7 + 8) + 3 * std::abs(theta) + std::abs(next);
    result[1].values[i] = m;
    result[1].error[i] = of_m + std::abs(m);
    result[2].values[i] = v;
    result[2].error[i] = 7 * v;
  }
  return result;
}

}  // namespace haze::reference
