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
  Number max{-kInfinity, 0}, sum{0, 0};
};

class AttentionReference {
 public:
  AttentionReference(const Array& query, const Array& key, const AttentionMask& mask)
      : query_(query), key_(key), mask_(mask) {
    scale_ = mask.scale != 0 ? mask.scale : 1 / std::sqrt(static_cast<double>(size()));
  }

  int64_t batch() const { return query_.shape[0]; }
  int64_t queries() const { return query_.shape[1]; }
  int64_t keys() const { return key_.shape[1]; }
  int64_t heads() const { return query_.shape[2]; }
  int64_t key_head(int64_t head) const { return head * key_.shape[2] / heads(); }
  int64_t size() const { return query_.shape[3]; }
  double scale() const { return scale_; }

  size_t at_query(int64_t b, int64_t row, int64_t head, int64_t d) const {
    return number_of({b, row, head, d}, query_.shape);
  }
  size_t at_key(int64_t b, int64_t row, int64_t head, int64_t d) const {
    return number_of({b, row, key_head(head), d}, key_.shape);
  }

  QueryRow row(int64_t b, int64_t head, int64_t i) const {
    QueryRow result;
    std::vector<Number> scores;
    for (int64_t j = 0; j < keys(); ++j) {
      const Number score = masked_score(b, head, i, j);
      if (score.value == -kInfinity) continue;
      result.keys.push_back(j);
      scores.push_back(score);
      if (score.value > result.max.value) result.max = score;
    }
    if (result.keys.empty()) return result;
    // The largest of numbers that are off is off by as much as the worst of them.
    for (const Number& score : scores) result.max.error = std::max(result.max.error, score.error);
    const double largest = result.max.value;
    double total = 0, total_off = 0;
    for (const Number& score : scores) {
      const double p = std::exp(score.value - largest);
      result.probabilities.push_back(p);
      total += p;
      // An online softmax may rescale by e^(old maximum - new), once a tile.
      total_off += p * (score.error + 2 * (largest - score.value) + 2 * kElementary);
    }
    const double of_sum = total_off / total + rounding_of_sum(static_cast<int64_t>(scores.size()));
    // Probabilities hold whatever the maximum is rounded to; the sum is relative to it.
    result.max.error += std::abs(largest);
    result.sum = {total, total * (of_sum + result.max.error + 1)};
    for (size_t j = 0; j < scores.size(); ++j) {
      const double p = result.probabilities[j] /= total;
      result.dropped.push_back(kept(b, head, i, result.keys[j]) ? p / (1 - mask_.dropout) : 0);
      result.relative.push_back(scores[j].error + 2 * (largest - scores[j].value) + 2 * kElementary + of_sum +
                                3);
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
  Number masked_score(int64_t b, int64_t head, int64_t i, int64_t j) const {
    if (!sees(b, head, i, j)) return {-kInfinity, 0};
    double score = 0, magnitude = 0;
    for (int64_t d = 0; d < size(); ++d) {
      const double term = query_.values[at_query(b, i, head, d)] * key_.values[at_key(b, j, head, d)];
      score += term;
      magnitude += std::abs(term);
    }
    const Number scaled{scale_ * score, std::abs(scale_) * (rounding_of_sum(size()) + 2) * magnitude};
    if (!mask_.adds_pair_mask) return scaled;
    const double added = scaled.value + pair(b, head, i, j);
    return {added, scaled.error + std::abs(scaled.value) + std::abs(added)};
  }

  double pair(int64_t b, int64_t head, int64_t i, int64_t j) const {
    return mask_.pair_mask.values[broadcast_number({b, head, i, j}, mask_.pair_mask.shape)];
  }

  // The sequence that holds a row, and the row's position in it.
  static std::array<int64_t, 2> position(const std::vector<int64_t>& offsets, int64_t row) {
    const auto next = std::upper_bound(offsets.begin(), offsets.end(), row);
    return {next - offsets.begin() - 1, row - *(next - 1)};
  }

  bool sees(int64_t b, int64_t head, int64_t i, int64_t j) const {
    if (!mask_.pair_mask.values.empty() && !mask_.adds_pair_mask && pair(b, head, i, j) == 0) return false;
    int64_t sequence = b, query = i, key = j, last = keys() - queries();
    if (!mask_.query_offsets.empty()) {
      const auto& of_queries = mask_.query_offsets;
      const auto& of_keys = mask_.key_offsets.empty() ? of_queries : mask_.key_offsets;
      const auto at_query = position(of_queries, i), at_key = position(of_keys, j);
      if (at_query[0] != at_key[0]) return false;
      sequence = at_query[0], query = at_query[1], key = at_key[1];
      const auto s = static_cast<size_t>(sequence);
      last = of_keys[s + 1] - of_keys[s] - (of_queries[s + 1] - of_queries[s]);
    }
    const auto s = static_cast<size_t>(sequence);
    if (!mask_.causal_offsets.empty()) last = mask_.causal_offsets[s];
    if (mask_.causal && key > query + last) return false;
    if (!mask_.key_lengths.empty() && key >= mask_.key_lengths[s]) return false;
    if (mask_.block_mask.values.empty()) return true;
    const Shape& blocks = mask_.block_mask.shape;
    const Shape block{query / mask_.block_size, key / mask_.block_size};
    return mask_.block_mask
               .values[number_of(blocks.rank() == 3 ? Shape{sequence, block[0], block[1]} : block, blocks)] !=
           0;
  }

  const Array &query_, &key_;
  const AttentionMask& mask_;
  double scale_;
};

}  // namespace

AttentionOutput attention(const Array& query, const Array& key, const Array& value,
                          const AttentionMask& mask) {
  const AttentionReference a(query, key, mask);
  const Shape rows{a.batch(), a.heads(), a.queries()};
  AttentionOutput result{Array(query.shape), Array(rows), Array(rows)};
  size_t out = 0;
  for (int64_t b = 0; b < a.batch(); ++b) {
    for (int64_t head = 0; head < a.heads(); ++head) {
      for (int64_t i = 0; i < a.queries(); ++i, ++out) {
        const QueryRow row = a.row(b, head, i);
        result.row_max.values[out] = row.max.value;
        result.row_max.error[out] = row.max.error;
        result.row_sum.values[out] = row.sum.value;
        result.row_sum.error[out] = row.sum.error;
        const double of_sum = rounding_of_sum(static_cast<int64_t>(row.keys.size()));
        for (size_t j = 0; j < row.keys.size(); ++j) {
          for (int64_t d = 0; d < a.size(); ++d) {
            const double term = row.dropped[j] * value.values[a.at_key(b, row.keys[j], head, d)];
            result.output.values[a.at_query(b, i, head, d)] += term;
            result.output.error[a.at_query(b, i, head, d)] += std::abs(term) * (of_sum + row.relative[j]);
          }
        }
      }
    }
  }
  return result;
}

// dV = P^T dO, dP = dO V^T where kept, dS = P (dP - sum(P dP)), dQ = scale dS K, dK = scale dS^T Q.
AttentionGradients attention_gradient(const Array& g, const Array& query, const Array& key,
                                      const Array& value, const AttentionMask& mask, double output_units) {
  const AttentionReference a(query, key, mask);
  AttentionGradients result{Array(query.shape), Array(key.shape), Array(value.shape)};
  const auto add = [](Array& x, size_t i, double term, double error) {
    x.values[i] += term;
    x.error[i] += error;
  };
  const double of_values = rounding_of_sum(a.size()),
               of_queries = rounding_of_sum(a.queries() * a.heads() / std::max<int64_t>(key.shape[2], 1));
  for (int64_t b = 0; b < a.batch(); ++b) {
    for (int64_t head = 0; head < a.heads(); ++head) {
      for (int64_t i = 0; i < a.queries(); ++i) {
        const QueryRow row = a.row(b, head, i);
        const double of_keys = rounding_of_sum(static_cast<int64_t>(row.keys.size()));
        std::vector<double> dp, dp_error;
        double delta = 0, delta_error = 0;
        for (int64_t d = 0; d < a.size(); ++d) {
          double output = 0;
          for (size_t j = 0; j < row.keys.size(); ++j) {
            output += row.dropped[j] * value.values[a.at_key(b, row.keys[j], head, d)];
          }
          delta_error += output_units * std::abs(g.values[a.at_query(b, i, head, d)] * output);
        }
        for (size_t j = 0; j < row.keys.size(); ++j) {
          double sum = 0, magnitude = 0;
          const double keep = a.kept(b, head, i, row.keys[j]) ? 1 / (1 - mask.dropout) : 0;
          for (int64_t d = 0; d < a.size(); ++d) {
            const double up = g.values[a.at_query(b, i, head, d)];
            const size_t v = a.at_key(b, row.keys[j], head, d);
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
            const size_t q = a.at_query(b, i, head, d), k = a.at_key(b, row.keys[j], head, d);
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
// both 0 where the target is ignored. dz = row_weight (softmax(z) - one_hot(target)), dhidden = dz weight,
// dweight = dz^T hidden, dbias = sum dz.
CrossEntropy linear_cross_entropy(const Array& hidden, const Array& weight, const Array& bias,
                                  const Array& targets, const Array& row_weights,
                                  std::optional<int32_t> ignored) {
  const int64_t rows = hidden.shape[0], width = hidden.shape[1], vocabulary = weight.shape[0];
  const bool gradients = !row_weights.values.empty() || row_weights.shape.rank() > 0;
  CrossEntropy result{Array({rows}), Array(hidden.shape), Array(weight.shape), Array({vocabulary})};
  const Array logits = matmul(hidden, permute(weight, {1, 0}), bias).output;
  const double of_rows = rounding_of_sum(rows), of_vocabulary = rounding_of_sum(vocabulary);
  for (int64_t row = 0; row < rows; ++row) {
    const auto logit = [&](int64_t v) { return logits.values[static_cast<size_t>(row * vocabulary + v)]; };
    const auto off = [&](int64_t v) { return logits.error[static_cast<size_t>(row * vocabulary + v)]; };
    const auto target = static_cast<int64_t>(targets.values[static_cast<size_t>(row)]);
    if (target == ignored) continue;
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
