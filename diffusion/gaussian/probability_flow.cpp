#include "haze/diffusion/gaussian/probability_flow.h"

#include <cmath>
#include <numbers>

#include "haze/diffusion/example_streams.h"

namespace haze {
namespace {

/// dx/dt = x_coefficient x + noise_coefficient epsilon.
struct FlowCoefficients {
  double x, noise;
};

FlowCoefficients flow_at(const Sde& sde, double t) {
  const double g = diffusion(sde, t);
  return {drift_coefficient(sde, t), 0.5 * g * g / sde_level(sde, t).sigma};
}

Tensor tensor_of(const std::vector<double>& numbers, const Tensor& like) {
  return cast(Tensor::from(numbers, like.shape(), like.device()), like.dtype());
}

void add_flow(const Sde& sde, const std::vector<double>& times, std::vector<double>& x,
              const std::vector<double>& epsilon) {
  const size_t size = x.size() / times.size();
  for (size_t i = 0; i < times.size(); ++i) {
    const FlowCoefficients flow = flow_at(sde, times[i]);
    for (size_t k = i * size; k < (i + 1) * size; ++k) x[k] = flow.x * x[k] + flow.noise * epsilon[k];
  }
}

// The product of v and d epsilon / dx, summed with v over each example: v^T J v.
void add_quadratic_form(const Variable& epsilon, const Variable& x, const Tensor& v, bool last,
                        std::vector<double>& sums) {
  const Gradients product = gradient(sum(epsilon * Variable(v)), {x}, {.retain_graph = !last});
  const std::vector<double> terms = multiply(product[0].value(), v).to_vector<double>();
  const size_t size = terms.size() / sums.size();
  for (size_t k = 0; k < terms.size(); ++k) sums[k / size] += terms[k];
}

/// Of each example: x, and the integral of the flow's divergence.
struct FlowState {
  std::vector<double> x, integral;
};

// As systems of a solver: an example's x, and its integral behind it.
std::vector<double> joined(const FlowState& state) {
  const size_t size = state.x.size() / state.integral.size();
  std::vector<double> y;
  for (size_t i = 0; i < state.integral.size(); ++i) {
    const double* x = &state.x[i * size];
    y.insert(y.end(), x, x + size);
    y.push_back(state.integral[i]);
  }
  return y;
}

FlowState split(const std::vector<double>& y, size_t count) {
  const size_t size = y.size() / count - 1;
  FlowState state;
  for (size_t i = 0; i < count; ++i) {
    const double* x = &y[i * (size + 1)];
    state.x.insert(state.x.end(), x, x + size);
    state.integral.push_back(x[size]);
  }
  return state;
}

}  // namespace

GaussianDenoiser denoiser_of(ContinuousNoisePredictor predict) {
  return [predict = std::move(predict)](const Tensor& x, const NoiseLevel& level) {
    const std::vector<double> times(static_cast<size_t>(x.size(0)), level.time);
    return denoised_from(Parameterisation::epsilon, predict(x, times).value(), x, level);
  };
}

FlowResult probability_flow(const ContinuousNoisePredictor& predict, const Sde& sde, double begin, double end,
                            const Tensor& x, const OdeTolerance& tolerance, const LevelObserver& observer) {
  const NoGradient scope;
  const OdeFunction flow = [&](const std::vector<double>& t, const std::vector<double>& y) {
    std::vector<double> slope = y;
    add_flow(sde, t, slope, predict(tensor_of(y, x), t).value().to_vector<double>());
    return slope;
  };
  size_t steps = 0;
  if (observer) observer(steps, x);
  const OdeObserver observe = [&](const std::vector<double>&, const std::vector<double>& y) {
    if (observer) observer(++steps, tensor_of(y, x));
  };
  const OdeSolution solution =
      runge_kutta_45(flow, begin, end, x.to_vector<double>(), x.size(0), tolerance, observe);
  return {.values = tensor_of(solution.y, x), .calls = solution.calls};
}

Divergence divergence_of(const ContinuousNoisePredictor& predict, const Tensor& x,
                         std::span<const double> times, const Tensor& probe) {
  const EnableGradient scope;
  const Variable input = Variable::leaf(x);
  const Variable epsilon = predict(input, times);
  std::vector<double> sums(times.size(), 0);
  if (probe.defined()) {
    add_quadratic_form(epsilon, input, probe, true, sums);
    return {epsilon.value(), sums};
  }
  const int64_t n = x.size(0), size = x.elements() / n;
  for (int64_t k = 0; k < size; ++k) {
    const Tensor unit = zeros({n, size}, x.dtype(), x.device());
    fill(slice(unit, 1, k, k + 1), 1);
    add_quadratic_form(epsilon, input, reshape(unit, x.shape()), k + 1 == size, sums);
  }
  return {epsilon.value(), sums};
}

Tensor trace_probe(TraceEstimate kind, const Tensor& like, Generator& generator) {
  if (kind == TraceEstimate::exact) fail("trace_probe: the exact trace takes no probe");
  const Tensor z = example_noise(like.size(0), generator, like.device())(like.shape(), like.dtype());
  if (kind == TraceEstimate::gaussian) return z;
  const Tensor positive = compare(CompareOp::greater_equal, z, zeros_like(z));
  return scale_shift(cast(positive, z.dtype()), 2, -1);
}

LikelihoodResult probability_flow_nats(const ContinuousNoisePredictor& predict, const Sde& sde,
                                       const Tensor& x_0, TraceEstimate trace, Generator& generator,
                                       const OdeTolerance& tolerance) {
  const int64_t n = x_0.size(0);
  const size_t size = static_cast<size_t>(x_0.elements() / n);
  const Tensor probe = trace == TraceEstimate::exact ? Tensor() : trace_probe(trace, x_0, generator);
  const OdeFunction flow = [&](const std::vector<double>& t, const std::vector<double>& y) {
    FlowState state = split(y, t.size());
    const Divergence noise = divergence_of(predict, tensor_of(state.x, x_0), t, probe);
    add_flow(sde, t, state.x, noise.epsilon.to_vector<double>());
    for (size_t i = 0; i < t.size(); ++i) {
      const FlowCoefficients at = flow_at(sde, t[i]);
      state.integral[i] = at.x * static_cast<double>(size) + at.noise * noise.divergence[i];
    }
    return joined(state);
  };
  const FlowState start{x_0.to_vector<double>(), std::vector<double>(static_cast<size_t>(n), 0)};
  const OdeSolution solution = runge_kutta_45(flow, kLikelihoodStart, 1, joined(start), n, tolerance);
  const FlowState end = split(solution.y, static_cast<size_t>(n));
  const double variance = prior_deviation(sde) * prior_deviation(sde);
  LikelihoodResult result{.nats = end.integral, .calls = solution.calls};
  for (size_t i = 0; i < result.nats.size(); ++i) {
    result.nats[i] =
        0.5 * static_cast<double>(size) * std::log(2 * std::numbers::pi * variance) - end.integral[i];
    for (size_t k = i * size; k < (i + 1) * size; ++k) result.nats[i] += 0.5 * end.x[k] * end.x[k] / variance;
  }
  return result;
}

}  // namespace haze
