#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "haze/engine/cpu/parallel.h"
#include "haze/nn/token_transformer.h"

#include "autograd/gradients.h"

/// What the tests of modules share: gradient checks by every parameter, and matrices to write formulas with.
namespace haze::nn_test {

using testing::Inputs;

/// The number of threads while it lives. Where a test makes thousands of tiny calls one is fastest: waking a
/// second costs more than it does, and much more on a machine that others use.
class ThreadScope {
 public:
  explicit ThreadScope(int count) : before_(threads()) { set_threads(count); }
  ~ThreadScope() { set_threads(before_); }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_;
};

/// Overwrites every parameter with normal numbers, so that nothing is zero or one because it starts so.
inline void randomise(Module& module, uint64_t seed = 7, double standard_deviation = 0.5) {
  Generator generator(seed);
  for (const NamedParameter& parameter : module.parameters()) {
    const Tensor& value = parameter.variable->value();
    copy_into(value, normal(value.shape(), generator, 0, standard_deviation, value.dtype()));
  }
}

/// Holds the gradient of `forward`, a function of `inputs` and of the parameters of `module` (in float64),
/// against central differences for every element of both. Parameters whose names begin with a `but_for` that
/// is given stay as they are.
template <typename Forward>
void check_gradients(const std::string& what, Module& module, const std::vector<Tensor>& inputs,
                     Forward forward, const std::string& but_for = {}) {
  const ThreadScope one(1);
  std::vector<NamedParameter> parameters = module.parameters();
  std::erase_if(parameters, [&](const NamedParameter& parameter) {
    return !but_for.empty() && parameter.name.starts_with(but_for);
  });
  std::vector<Tensor> all = inputs;
  std::vector<Variable> before;
  for (const NamedParameter& parameter : parameters) {
    all.push_back(parameter.variable->value());
    before.push_back(*parameter.variable);
  }
  const auto function = [&](const Inputs& given) {
    for (size_t i = 0; i < parameters.size(); ++i) *parameters[i].variable = given[inputs.size() + i];
    return forward(Inputs(given.begin(), given.begin() + static_cast<std::ptrdiff_t>(inputs.size())));
  };
  const GradcheckResult result = gradcheck(function, all);
  for (size_t i = 0; i < parameters.size(); ++i) *parameters[i].variable = before[i];
  CHECK_MESSAGE(result.passed, what, ": ", result.message);
}

inline Sequences sequences_of(std::initializer_list<int64_t> lengths) {
  return Sequences::of_lengths(std::span(lengths.begin(), lengths.size()));
}

inline Tensor random_ids(int64_t rows, int64_t vocabulary, uint64_t seed = 3) {
  Generator generator(seed);
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  for (int32_t& id : ids) id = static_cast<int32_t>(generator.below(static_cast<uint64_t>(vocabulary)));
  return Tensor::from(ids, {rows});
}

/// The elements, for comparing bit by bit (+0 and -0 count as equal).
inline std::vector<double> values(const Variable& x) {
  return x.value().to_vector<double>();
}

/// Gradients of all parameters, one after another.
inline std::vector<double> parameter_gradients(Module& module) {
  std::vector<double> result;
  for (const NamedParameter& parameter : module.parameters()) {
    const std::vector<double> one = parameter.variable->gradient().to_vector<double>();
    result.insert(result.end(), one.begin(), one.end());
  }
  return result;
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

/// A matrix of doubles whose operations are plain loops.
struct Matrix {
  size_t rows = 0, columns = 0;
  std::vector<double> elements;

  Matrix(size_t row_count, size_t column_count)
      : rows(row_count), columns(column_count), elements(row_count * column_count) {}
  explicit Matrix(const Tensor& x)
      : rows(static_cast<size_t>(x.rank() == 1 ? 1 : x.size(0))),
        columns(static_cast<size_t>(x.size(-1))),
        elements(x.to_vector<double>()) {}

  double& operator()(size_t row, size_t column) { return elements[row * columns + column]; }
  double operator()(size_t row, size_t column) const { return elements[row * columns + column]; }

  /// f(row, column) at every place.
  template <typename F>
  static Matrix made(size_t row_count, size_t column_count, F f) {
    Matrix result(row_count, column_count);
    for (size_t row = 0; row < row_count; ++row) {
      for (size_t column = 0; column < column_count; ++column) result(row, column) = f(row, column);
    }
    return result;
  }
};

inline Matrix operator+(const Matrix& x, const Matrix& y) {
  REQUIRE(x.elements.size() == y.elements.size());
  return Matrix::made(x.rows, x.columns, [&](size_t r, size_t c) { return x(r, c) + y(r, c); });
}

template <typename F>
Matrix map(const Matrix& x, F f) {
  return Matrix::made(x.rows, x.columns, [&](size_t r, size_t c) { return f(x(r, c)); });
}

/// x weight^T + bias.
inline Matrix affine(const Matrix& x, const Matrix& weight, const Matrix& bias) {
  REQUIRE(x.columns == weight.columns);
  return Matrix::made(x.rows, weight.rows, [&](size_t r, size_t c) {
    double sum = bias(0, c);
    for (size_t k = 0; k < x.columns; ++k) sum += x(r, k) * weight(c, k);
    return sum;
  });
}

/// (x - mean) / sqrt(variance + epsilon) of each row.
inline Matrix standardised(const Matrix& x, double epsilon) {
  Matrix result = x;
  const double width = static_cast<double>(x.columns);
  for (size_t r = 0; r < x.rows; ++r) {
    double mean = 0, variance = 0;
    for (size_t c = 0; c < x.columns; ++c) mean += x(r, c) / width;
    for (size_t c = 0; c < x.columns; ++c) variance += (x(r, c) - mean) * (x(r, c) - mean) / width;
    for (size_t c = 0; c < x.columns; ++c) result(r, c) = (x(r, c) - mean) / std::sqrt(variance + epsilon);
  }
  return result;
}

inline double gelu_of(double x) {
  return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
}
inline double gelu_tanh_of(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
inline double silu_of(double x) {
  return x / (1 + std::exp(-x));
}

/// The parameters of a module as matrices, by name.
class Parameters {
 public:
  explicit Parameters(Module& module) {
    for (const NamedParameter& parameter : module.parameters()) {
      matrices_.emplace(parameter.name, Matrix(parameter.variable->value()));
    }
  }
  const Matrix& operator[](const std::string& name) const {
    const auto found = matrices_.find(name);
    if (found == matrices_.end()) fail("no parameter is named {}", name);
    return found->second;
  }
  /// The linear layer `name` of x.
  Matrix linear(const std::string& name, const Matrix& x) const {
    return affine(x, (*this)[name + ".weight"], (*this)[name + ".bias"]);
  }
  /// The layer norm `name` of x.
  Matrix layer_norm(const std::string& name, const Matrix& x, double epsilon) const {
    const Matrix &weight = (*this)[name + ".weight"], &bias = (*this)[name + ".bias"];
    const Matrix y = standardised(x, epsilon);
    return Matrix::made(y.rows, y.columns,
                        [&](size_t r, size_t c) { return y(r, c) * weight(0, c) + bias(0, c); });
  }

 private:
  std::map<std::string, Matrix> matrices_;
};

}  // namespace haze::nn_test
