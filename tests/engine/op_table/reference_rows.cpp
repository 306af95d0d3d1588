#include <algorithm>
#include <limits>
#include <numeric>

#include "engine/op_table/reference.h"

// Reductions, softmax, order and norms.
namespace haze::reference {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

int positive_axis(int64_t axis, const Shape& shape) {
  return static_cast<int>(axis < 0 ? axis + shape.rank() : axis);
}

// The elements of the row that holds element i: those that differ on one axis only.
std::vector<size_t> row_through(const Shape& index, int axis, const Shape& shape) {
  std::vector<size_t> result;
  Shape at = index;
  for (at[axis] = 0; at[axis] < shape[axis]; ++at[axis]) result.push_back(number_of(at, shape));
  return result;
}

double magnitude_sum(const std::vector<double>& terms) {
  Sum sum = 0;
  for (double term : terms) sum += std::abs(term);
  return static_cast<double>(sum);
}

double plain_sum(const std::vector<double>& terms) {
  return static_cast<double>(std::accumulate(terms.begin(), terms.end(), Sum{0}));
}

double extremum(const std::vector<double>& terms, bool largest) {
  double result = largest ? -kInfinity : kInfinity;
  for (double term : terms) {
    if (std::isnan(term)) return term;
    result = largest ? std::max(result, term) : std::min(result, term);
  }
  return result;
}

// sum e^(x - max): each exponential is off by kElementary units and by what x - max is.
Number sum_of_exponentials(const std::vector<double>& terms, double largest) {
  Sum sum = 0;
  double off = 0;
  for (double term : terms) {
    const double p = std::exp(term - largest);
    sum += p;
    if (p > 0) off += p * (std::abs(term - largest) + kElementary);
  }
  const auto value = static_cast<double>(sum);
  return {value, off + value * rounding_of_sum(static_cast<int64_t>(terms.size()))};
}

// max + log sum e^(x - max)
Number logsumexp(const std::vector<double>& terms) {
  const double largest = extremum(terms, true);
  if (std::isinf(largest) || std::isnan(largest)) return {largest, 0};
  const Number sum = sum_of_exponentials(terms, largest);
  const double log = std::log(sum.value), value = largest + log;
  return {value, sum.error / sum.value + kElementary * log + std::abs(largest) + std::abs(value)};
}

Number reduce_terms(ReduceOp op, const std::vector<double>& terms, double correction) {
  const auto count = static_cast<int64_t>(terms.size());
  const double n = static_cast<double>(count);
  switch (op) {
    case ReduceOp::sum:
      return {plain_sum(terms), rounding_of_sum(count) * magnitude_sum(terms)};
    case ReduceOp::mean:
      return {plain_sum(terms) / n, rounding_of_sum(count) * magnitude_sum(terms) / n};
    case ReduceOp::max:
    case ReduceOp::min:
      return {extremum(terms, op == ReduceOp::max), 0};
    case ReduceOp::logsumexp:
      return logsumexp(terms);
    case ReduceOp::variance: {
      const double mean = plain_sum(terms) / n;
      Sum squares = 0;
      for (double term : terms) squares += (term - mean) * (term - mean);
      const double value = static_cast<double>(squares) / (n - correction);
      // A mean that is d off adds n d^2 to the sum of squares; d is what a sum is off.
      const double d = rounding_of_sum(count) * magnitude_sum(terms) / n;
      return {value, rounding_of_sum(count) * 2 * value + n * d * d * 0x1p-24 / (n - correction)};
    }
    case ReduceOp::kCount:
      break;
  }
  return {};
}

}  // namespace

Array reduce(ReduceOp op, const Array& x, const Shape& axes, bool keep_axes, double correction) {
  std::vector<bool> reduced(static_cast<size_t>(x.shape.rank()), axes.rank() == 0);
  for (int64_t axis : axes) reduced[static_cast<size_t>(positive_axis(axis, x.shape))] = true;
  Shape kept, full;
  for (int axis = 0; axis < x.shape.rank(); ++axis) {
    const bool gone = reduced[static_cast<size_t>(axis)];
    full.append(gone ? 1 : x.shape[axis]);
    if (!gone || keep_axes) kept.append(gone ? 1 : x.shape[axis]);
  }
  std::vector<std::vector<double>> terms(static_cast<size_t>(full.elements()));
  Shape index = index_of(0, x.shape);
  for (size_t i = 0; i < x.values.size(); ++i, advance(index, x.shape)) {
    terms[broadcast_number(index, full)].push_back(x.values[i]);
  }
  Array result(kept);
  for (size_t i = 0; i < terms.size(); ++i) {
    const Number number = reduce_terms(op, terms[i], correction);
    result.values[i] = number.value;
    result.error[i] = number.error;
  }
  return result;
}

Array sum_to(const Array& x, const Shape& shape) {
  std::vector<std::vector<double>> terms(static_cast<size_t>(shape.elements()));
  Shape index = index_of(0, x.shape);
  for (size_t i = 0; i < x.values.size(); ++i, advance(index, x.shape)) {
    terms[broadcast_number(index, shape)].push_back(x.values[i]);
  }
  Array result(shape);
  for (size_t i = 0; i < terms.size(); ++i) {
    result.values[i] = plain_sum(terms[i]);
    result.error[i] = rounding_of_sum(static_cast<int64_t>(terms[i].size())) * magnitude_sum(terms[i]);
  }
  return result;
}

Array argmax(const Array& x, int axis) {
  const int a = positive_axis(axis, x.shape);
  Shape shape;
  for (int i = 0; i < x.shape.rank(); ++i) {
    if (i != a) shape.append(x.shape[i]);
  }
  Array result(shape);
  for (size_t i = 0; i < x.values.size(); ++i) {
    const Shape index = index_of(static_cast<int64_t>(i), x.shape);
    if (index[a] != 0) continue;
    Shape without;
    for (int j = 0; j < index.rank(); ++j) {
      if (j != a) without.append(index[j]);
    }
    const std::vector<size_t> row = row_through(index, a, x.shape);
    size_t best = 0;
    for (size_t j = 1; j < row.size(); ++j) {
      const double value = x.values[row[j]], largest = x.values[row[best]];
      if (!std::isnan(largest) && (std::isnan(value) || value > largest)) best = j;
    }
    result.values[number_of(without, shape)] = static_cast<double>(best);
  }
  return result;
}

namespace {

// Calls f(numbers of the row's elements) for each row along the last axis.
template <typename F>
void for_each_row(const Shape& shape, F&& f) {
  const int64_t columns = shape.back();
  for (int64_t first = 0; first < shape.elements(); first += columns) {
    std::vector<size_t> row(static_cast<size_t>(columns));
    std::iota(row.begin(), row.end(), static_cast<size_t>(first));
    f(row);
  }
}

std::vector<double> taken(const Array& x, const std::vector<size_t>& row) {
  std::vector<double> result;
  for (size_t i : row) result.push_back(x.values[i]);
  return result;
}

}  // namespace

Array softmax(const Array& x, bool log) {
  Array result(x.shape);
  for_each_row(x.shape, [&](const std::vector<size_t>& row) {
    const std::vector<double> terms = taken(x, row);
    const double largest = extremum(terms, true);
    const Number total = logsumexp(terms), sum = sum_of_exponentials(terms, largest);
    for (size_t i : row) {
      const double x_i = x.values[i], distance = std::abs(x_i - largest);
      if (largest == -kInfinity) {
        result.values[i] = log ? -kInfinity : 0;
      } else if (log) {
        result.values[i] = x_i - largest - std::log(sum.value);
        result.error[i] = std::abs(x_i) + total.error + std::abs(result.values[i]) + std::abs(largest);
      } else {
        const double y = std::exp(x_i - largest) / sum.value;
        result.values[i] = y;
        result.error[i] = y > 0 ? y * (kElementary + 2 + distance + sum.error / sum.value) : 0;
      }
    }
  });
  return result;
}

Array softmax_gradient(const Array& y, const Array& g, bool log) {
  Array result(y.shape);
  for_each_row(y.shape, [&](const std::vector<size_t>& row) {
    std::vector<double> terms;
    for (size_t i : row) terms.push_back(log ? g.values[i] : g.values[i] * y.values[i]);
    const double sum = plain_sum(terms), magnitude = magnitude_sum(terms);
    const double of_sum = rounding_of_sum(static_cast<int64_t>(row.size())) * magnitude;
    for (size_t i : row) {
      const double factor = log ? std::exp(y.values[i]) : y.values[i];
      result.values[i] = log ? g.values[i] - factor * sum : factor * (g.values[i] - sum);
      result.error[i] = std::abs(factor) * (of_sum + (kElementary + 3) * std::abs(sum)) +
                        3 * std::abs(g.values[i]) * (log ? 1 : std::abs(factor));
    }
  });
  return result;
}

Array cumulative_sum(const Array& x, int axis) {
  const int a = positive_axis(axis, x.shape);
  Array result(x.shape);
  for (size_t i = 0; i < x.values.size(); ++i) {
    Shape at = index_of(static_cast<int64_t>(i), x.shape);
    const int64_t count = at[a] + 1;
    double previous = 0, magnitude = 0;
    if (at[a] > 0) {
      --at[a];
      const size_t before = number_of(at, x.shape);
      previous = result.values[before];
      magnitude = result.error[before] / rounding_of_ordered_sum(count - 1);
    }
    result.values[i] = previous + x.values[i];
    result.error[i] = rounding_of_ordered_sum(count) * (magnitude + std::abs(x.values[i]));
  }
  return result;
}

std::array<Array, 2> sorted(const Array& x, bool descending, int64_t count) {
  Shape shape = x.shape;
  shape[shape.rank() - 1] = count;
  Array values(shape), indices(shape);
  size_t out = 0;
  for_each_row(x.shape, [&](const std::vector<size_t>& row) {
    std::vector<size_t> order(row.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) {
      const double a = x.values[row[i]], b = x.values[row[j]];
      if (std::isnan(a) || std::isnan(b)) return !std::isnan(a);
      return descending ? a > b : a < b;
    });
    for (int64_t i = 0; i < count; ++i, ++out) {
      values.values[out] = x.values[row[order[static_cast<size_t>(i)]]];
      indices.values[out] = static_cast<double>(order[static_cast<size_t>(i)]);
    }
  });
  return {values, indices};
}

namespace {

double weight_at(const Array& weight, size_t i, double otherwise) {
  return weight.values.empty() ? otherwise : weight.values[i];
}

// A row of a norm: t = (x - mean) rstd, and the magnitude of what t is computed from.
struct Normalised {
  double mean = 0, mean_error = 0, rstd = 0, rstd_error = 0;
  std::vector<double> t, magnitude;
};

Normalised normalise(const std::vector<double>& x, double epsilon, bool centred) {
  Normalised result;
  const auto count = static_cast<int64_t>(x.size());
  const double n = static_cast<double>(count), average = magnitude_sum(x) / n;
  if (centred) result.mean = plain_sum(x) / n;
  result.mean_error = centred ? rounding_of_sum(count) * average : 0;
  Sum squares = 0;
  for (double value : x) squares += (value - result.mean) * (value - result.mean);
  result.rstd = 1 / std::sqrt(static_cast<double>(squares) / n + epsilon);
  // Half of what the variance is off by (that of the mean enters squared), a root and a quotient. epsilon is
  // rounded to the dtype.
  const double of_mean = result.mean_error * result.mean_error * 0x1p-24 * result.rstd * result.rstd;
  result.rstd_error = result.rstd * (rounding_of_sum(count) + 3 + of_mean);
  for (double value : x) {
    result.t.push_back((value - result.mean) * result.rstd);
    result.magnitude.push_back((std::abs(value) + (centred ? average : 0)) * result.rstd);
  }
  return result;
}

Norm norm(const Array& x, const Array& weight, const Array& bias, double epsilon, bool centred) {
  const int64_t columns = x.shape.back(), rows = columns == 0 ? 0 : x.shape.elements() / columns;
  Norm result{Array(x.shape), Array({rows}), Array({rows})};
  size_t row_number = 0;
  for_each_row(x.shape, [&](const std::vector<size_t>& row) {
    const Normalised n = normalise(taken(x, row), epsilon, centred);
    result.mean.values[row_number] = n.mean;
    result.mean.error[row_number] = n.mean_error;
    result.rstd.values[row_number] = n.rstd;
    result.rstd.error[row_number++] = n.rstd_error;
    for (size_t i = 0; i < row.size(); ++i) {
      const double w = weight_at(weight, i, 1), b = weight_at(bias, i, 0), y = n.t[i] * w + b;
      const double of_t =
          std::abs(n.t[i]) * (n.rstd_error / n.rstd + 3) + n.magnitude[i] + n.mean_error * n.rstd;
      result.output.values[row[i]] = y;
      result.output.error[row[i]] = std::abs(w) * of_t + std::abs(b) + std::abs(y);
    }
  });
  return result;
}

// dx = rstd (gw - mean(gw) - t mean(gw t)), where a norm that is not centred has no mean(gw);
// dweight = sum over rows of g t, dbias of g.
NormGradients norm_gradient(const Array& g, const Array& x, const Array& weight, double epsilon,
                            bool centred) {
  const int64_t columns = x.shape.back(), rows = columns == 0 ? 0 : x.shape.elements() / columns;
  NormGradients result{Array(x.shape), Array({columns}), Array({columns})};
  const double of_row = rounding_of_sum(columns) + 3, n = static_cast<double>(columns);
  const double of_rows = rounding_of_sum(rows) + 2 * of_row;
  std::vector<Sum> weight_sums(static_cast<size_t>(columns)), bias_sums(static_cast<size_t>(columns));
  for_each_row(x.shape, [&](const std::vector<size_t>& row) {
    const Normalised norm = normalise(taken(x, row), epsilon, centred);
    double mean = 0, mean_t = 0, magnitude = 0, magnitude_t = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const double gw = g.values[row[i]] * weight_at(weight, i, 1);
      mean += centred ? gw / n : 0;
      mean_t += gw * norm.t[i] / n;
      magnitude += centred ? std::abs(gw) / n : 0;
      magnitude_t += std::abs(gw) * norm.magnitude[i] / n;
    }
    for (size_t i = 0; i < row.size(); ++i) {
      const double gradient = g.values[row[i]], gw = gradient * weight_at(weight, i, 1);
      result.x.values[row[i]] = norm.rstd * (gw - mean - norm.t[i] * mean_t);
      result.x.error[row[i]] =
          2 * of_row * norm.rstd * (std::abs(gw) + magnitude + norm.magnitude[i] * magnitude_t);
      weight_sums[i] += gradient * norm.t[i];
      result.weight.error[i] += of_rows * std::abs(gradient) * norm.magnitude[i];
      bias_sums[i] += gradient;
      result.bias.error[i] += rounding_of_sum(rows) * std::abs(gradient);
    }
  });
  result.weight.values.assign(weight_sums.begin(), weight_sums.end());
  result.bias.values.assign(bias_sums.begin(), bias_sums.end());
  return result;
}

}  // namespace

Norm layer_norm(const Array& x, const Array& weight, const Array& bias, double epsilon) {
  return norm(x, weight, bias, epsilon, true);
}
Norm rms_norm(const Array& x, const Array& weight, double epsilon) {
  return norm(x, weight, {}, epsilon, false);
}
NormGradients layer_norm_gradient(const Array& g, const Array& x, const Array& weight, double epsilon) {
  return norm_gradient(g, x, weight, epsilon, true);
}
NormGradients rms_norm_gradient(const Array& g, const Array& x, const Array& weight, double epsilon) {
  return norm_gradient(g, x, weight, epsilon, false);
}

namespace {

// The groups as rows, and back.
Array with_shape(Array x, const Shape& shape) {
  x.shape = shape;
  return x;
}
Shape group_rows(const Shape& shape, int64_t groups) {
  int64_t columns = shape[1] / groups;
  for (int axis = 2; axis < shape.rank(); ++axis) columns *= shape[axis];
  return {shape[0] * groups, columns};
}

size_t channel_of(size_t i, const Shape& shape) {
  return static_cast<size_t>(index_of(static_cast<int64_t>(i), shape)[1]);
}

}  // namespace

Norm group_norm(const Array& x, const Array& weight, const Array& bias, int64_t groups, double epsilon) {
  Norm result = norm(with_shape(x, group_rows(x.shape, groups)), {}, {}, epsilon, true);
  result.output = with_shape(result.output, x.shape);
  for (size_t i = 0; i < x.values.size(); ++i) {
    const size_t channel = channel_of(i, x.shape);
    const double w = weight_at(weight, channel, 1), b = weight_at(bias, channel, 0);
    double &y = result.output.values[i], &error = result.output.error[i];
    error = std::abs(w) * (error + std::abs(y)) + std::abs(b);
    y = y * w + b;
    error += std::abs(y);
  }
  return result;
}

NormGradients group_norm_gradient(const Array& g, const Array& x, const Array& weight, int64_t groups,
                                  double epsilon) {
  const Shape rows = group_rows(x.shape, groups);
  Array of_output = with_shape(g, rows);
  for (size_t i = 0; i < g.values.size(); ++i) {
    of_output.values[i] *= weight_at(weight, channel_of(i, x.shape), 1);
  }
  NormGradients result = norm_gradient(of_output, with_shape(x, rows), {}, epsilon, true);
  result.x = with_shape(result.x, x.shape);
  const int64_t channels = x.shape[1];
  const int64_t terms = channels == 0 ? 0 : x.shape.elements() / channels;
  const double of_terms = rounding_of_sum(terms), of_row = rounding_of_sum(rows[1]) + 3;
  result.weight = result.bias = Array({channels});
  std::vector<Sum> weight_sums(static_cast<size_t>(channels)), bias_sums(static_cast<size_t>(channels));
  size_t i = 0;
  for_each_row(rows, [&](const std::vector<size_t>& row) {
    const Normalised n = normalise(taken(x, row), epsilon, true);
    for (size_t column = 0; column < row.size(); ++column, ++i) {
      const size_t channel = channel_of(i, x.shape);
      weight_sums[channel] += g.values[i] * n.t[column];
      result.weight.error[channel] += (of_terms + 2 * of_row) * std::abs(g.values[i]) * n.magnitude[column];
      bias_sums[channel] += g.values[i];
      result.bias.error[channel] += of_terms * std::abs(g.values[i]);
    }
  });
  result.weight.values.assign(weight_sums.begin(), weight_sums.end());
  result.bias.values.assign(bias_sums.begin(), bias_sums.end());
  return result;
}

}  // namespace haze::reference
