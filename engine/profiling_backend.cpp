#include "haze/engine/profiling_backend.h"

#include <algorithm>
#include <array>
#include <utility>

namespace haze {

/// What is known of a call before it is made.
struct ProfilingBackend::Call {
  std::string operation;
  double bytes = 0;
  double flops = 0;
  Shape extents = {};
};

namespace {

// Of what is stored: an element that broadcasting repeats counts once.
double bytes_of_one(const Tensor& x) {
  if (!x.defined()) return 0;
  auto bytes = static_cast<double>(size_of(x.dtype()));
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x.stride(axis) != 0 || x.size(axis) == 0) bytes *= static_cast<double>(x.size(axis));
  }
  return bytes;
}

template <typename... Tensors>
double bytes_of(const Tensors&... tensors) {
  return (bytes_of_one(tensors) + ...);
}

double bytes_of(const NormResult& result) {
  return bytes_of(result.output, result.mean, result.rstd);
}
double bytes_of(const NormGradient& gradient) {
  return bytes_of(gradient.x, gradient.weight, gradient.bias);
}

// What a sum at indices reads and writes of its target: no more rows than there are indices.
double bytes_added_to(const Tensor& target, const Tensor& source) {
  return 2 * std::min(bytes_of(target), bytes_of(source));
}

const char* name(ReduceOp op) {
  constexpr std::array kNames = {"sum", "mean", "max", "min", "logsumexp", "variance"};
  static_assert(kNames.size() == static_cast<size_t>(ReduceOp::kCount));
  return kNames[static_cast<size_t>(op)];
}

const char* name(Activation activation) {
  constexpr std::array kNames = {"none", "relu", "gelu", "gelu_tanh", "silu"};
  return kNames[static_cast<size_t>(activation)];
}

const char* name_of_copy(const Tensor& x, const Tensor& out) {
  if (x.dtype() != out.dtype()) return "cast";
  return x.is_contiguous() && out.is_contiguous() ? "copy" : "copy, strided";
}

// Whether a matrix of a product lies in memory column by column.
bool is_transposed(const Tensor& x) {
  return x.stride(-1) != 1 && x.size(-1) > 1 && x.stride(-2) == 1;
}

std::string name_of_product(const Tensor& a, const Tensor& b, const MatmulOptions& options, bool accumulate) {
  std::string text = "matmul";
  if (a.dtype() != Dtype::float32) text += fmt::format(" {}", name(a.dtype()));
  text += is_transposed(a) ? " a^T" : " a";
  text += is_transposed(b) ? " b^T" : " b";
  if (options.bias.defined()) text += " +bias";
  if (options.activation != Activation::none) text += fmt::format(" +{}", name(options.activation));
  if (options.slope_at.defined()) text += "'";
  if (options.residual.defined()) text += " +residual";
  if (options.row_sums.defined()) text += " +row sums";
  if (options.precision == Precision::bfloat16) text += " in bfloat16";
  if (accumulate) text += " +target";
  return text;
}

double bytes_of_slot(const AdamWSlot& slot) {
  return 2 * bytes_of(slot.parameter, slot.first_moment, slot.second_moment) + bytes_of(slot.gradient);
}

}  // namespace

template <typename Kernel>
void ProfilingBackend::record(Call call, Kernel&& kernel) {
  const ProfilePause pause;
  Profile& profile = scope_.profile();
  const auto step = static_cast<int64_t>(profile.steps.size());
  const double start = profile.now();
  kernel();
  const double seconds = profile.now() - start;
  profile.calls.push_back({{std::move(call.operation), call.extents, call.flops, call.bytes},
                           scope_.phase(),
                           step,
                           start,
                           seconds});
}

void ProfilingBackend::fill(const Tensor& out, double value) {
  record({"fill", bytes_of(out)}, [&] { device_.fill(out, value); });
}

void ProfilingBackend::copy(const Tensor& x, const Tensor& out) {
  record({name_of_copy(x, out), bytes_of(x, out)}, [&] { device_.copy(x, out); });
}

void ProfilingBackend::arange(const Tensor& out) {
  record({"arange", bytes_of(out)}, [&] { device_.arange(out); });
}

void ProfilingBackend::unary(UnaryOp op, const Tensor& x, double a, double b, const Tensor& out) {
  record({name(op), bytes_of(x, out)}, [&] { device_.unary(op, x, a, b, out); });
}

void ProfilingBackend::binary(BinaryOp op, const Tensor& x, const Tensor& y, const Tensor& out) {
  record({name(op), bytes_of(x, y, out)}, [&] { device_.binary(op, x, y, out); });
}

void ProfilingBackend::compare(CompareOp op, const Tensor& x, const Tensor& y, const Tensor& out) {
  record({"compare", bytes_of(x, y, out)}, [&] { device_.compare(op, x, y, out); });
}

void ProfilingBackend::where(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& out) {
  record({"where", bytes_of(condition, x, y, out)}, [&] { device_.where(condition, x, y, out); });
}

void ProfilingBackend::uniform(RandomPosition position, double low, double high, const Tensor& out) {
  record({"uniform", bytes_of(out)}, [&] { device_.uniform(position, low, high, out); });
}

void ProfilingBackend::normal(RandomPosition position, double mean, double standard_deviation,
                              const Tensor& out) {
  record({"normal", bytes_of(out)}, [&] { device_.normal(position, mean, standard_deviation, out); });
}

void ProfilingBackend::dropout(const Tensor& x, double probability, RandomPosition position,
                               const Tensor& out) {
  record({"dropout", bytes_of(x, out)}, [&] { device_.dropout(x, probability, position, out); });
}

void ProfilingBackend::reduce(ReduceOp op, const Tensor& x, double correction, const Tensor& out) {
  record({fmt::format("reduce, {}", name(op)), bytes_of(x, out)},
         [&] { device_.reduce(op, x, correction, out); });
}

void ProfilingBackend::argmax(const Tensor& x, const Tensor& out) {
  record({"argmax", bytes_of(x, out)}, [&] { device_.argmax(x, out); });
}

void ProfilingBackend::cumulative_sum(const Tensor& x, const Tensor& out) {
  record({"cumulative_sum", bytes_of(x, out)}, [&] { device_.cumulative_sum(x, out); });
}

double ProfilingBackend::sum_of_squares(const Tensor& x) {
  double result = 0;
  record({"sum_of_squares", bytes_of(x)}, [&] { result = device_.sum_of_squares(x); });
  return result;
}

bool ProfilingBackend::all_finite(const Tensor& x) {
  bool result = false;
  record({"all_finite", bytes_of(x)}, [&] { result = device_.all_finite(x); });
  return result;
}

void ProfilingBackend::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
                                  const NormResult& out) {
  record({"layer_norm", bytes_of(x, weight, bias) + bytes_of(out)},
         [&] { device_.layer_norm(x, weight, bias, epsilon, out); });
}

void ProfilingBackend::layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                           const NormResult& saved, const NormGradient& out) {
  record({"layer_norm_gradient", bytes_of(g, x, weight, saved.mean, saved.rstd) + bytes_of(out)},
         [&] { device_.layer_norm_gradient(g, x, weight, saved, out); });
}

void ProfilingBackend::rms_norm(const Tensor& x, const Tensor& weight, double epsilon,
                                const NormResult& out) {
  record({"rms_norm", bytes_of(x, weight) + bytes_of(out)},
         [&] { device_.rms_norm(x, weight, epsilon, out); });
}

void ProfilingBackend::rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                         const NormResult& saved, const NormGradient& out) {
  record({"rms_norm_gradient", bytes_of(g, x, weight, saved.rstd) + bytes_of(out)},
         [&] { device_.rms_norm_gradient(g, x, weight, saved, out); });
}

void ProfilingBackend::sort(const Tensor& x, bool descending, const Tensor& values, const Tensor& indices) {
  record({"sort", bytes_of(x, values, indices)}, [&] { device_.sort(x, descending, values, indices); });
}

void ProfilingBackend::top_k(const Tensor& x, const Tensor& values, const Tensor& indices) {
  record({"top_k", bytes_of(x, values, indices)}, [&] { device_.top_k(x, values, indices); });
}

void ProfilingBackend::categorical(const Tensor& log_probabilities, const Tensor& uniforms,
                                   const Tensor& out) {
  record({"categorical", bytes_of(log_probabilities, uniforms, out)},
         [&] { device_.categorical(log_probabilities, uniforms, out); });
}

void ProfilingBackend::matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options, bool accumulate,
                              const Tensor& out) {
  const int64_t batch = out.size(0), m = out.size(1), n = out.size(2), k = a.size(2);
  const double bytes = bytes_of(a, b, options.bias, options.pre_activation, options.residual,
                                options.slope_at, options.row_sums, out) +
                       (accumulate ? bytes_of(out) : 0);
  const double flops = 2 * static_cast<double>(batch) * static_cast<double>(m) * static_cast<double>(n) *
                       static_cast<double>(k);
  record({name_of_product(a, b, options, accumulate), bytes, flops,
          batch == 1 ? Shape{m, n, k} : Shape{batch, m, n, k}},
         [&] { device_.matmul(a, b, options, accumulate, out); });
}

void ProfilingBackend::linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                            const Tensor& targets, const Tensor& row_weights,
                                            Precision precision, const CrossEntropyResult& out) {
  const int64_t rows = hidden.size(0), width = hidden.size(1), vocabulary = weight.size(0);
  const double products = row_weights.defined() ? 3 : 1;  // logits; gradients of hidden and of weight
  record({"linear_cross_entropy",
          bytes_of(hidden, weight, bias, targets, row_weights, out.losses, out.hidden, out.weight, out.bias),
          2 * products * static_cast<double>(rows) * static_cast<double>(vocabulary) *
              static_cast<double>(width),
          {rows, vocabulary, width}},
         [&] { device_.linear_cross_entropy(hidden, weight, bias, targets, row_weights, precision, out); });
}

void ProfilingBackend::index_select(const Tensor& x, const Tensor& indices, const Tensor& out) {
  record({"index_select", bytes_of(indices) + 2 * bytes_of(out)},
         [&] { device_.index_select(x, indices, out); });
}

void ProfilingBackend::index_add(const Tensor& indices, const Tensor& source, const Tensor& target) {
  record({"index_add", bytes_of(indices, source) + bytes_added_to(target, source)},
         [&] { device_.index_add(indices, source, target); });
}

void ProfilingBackend::gather(const Tensor& x, int axis, const Tensor& index, const Tensor& out) {
  record({"gather", bytes_of(index) + 2 * bytes_of(out)}, [&] { device_.gather(x, axis, index, out); });
}

void ProfilingBackend::scatter_add(int axis, const Tensor& index, const Tensor& source,
                                   const Tensor& target) {
  record({"scatter_add", bytes_of(index, source) + bytes_added_to(target, source)},
         [&] { device_.scatter_add(axis, index, source, target); });
}

void ProfilingBackend::unfold(const Tensor& x, int64_t kernel_h, int64_t kernel_w, int64_t stride,
                              int64_t padding, const Tensor& out) {
  record({"unfold", bytes_of(x, out)}, [&] { device_.unfold(x, kernel_h, kernel_w, stride, padding, out); });
}

void ProfilingBackend::fold(const Tensor& columns, int64_t kernel_h, int64_t kernel_w, int64_t stride,
                            int64_t padding, const Tensor& out) {
  record({"fold", bytes_of(columns, out)},
         [&] { device_.fold(columns, kernel_h, kernel_w, stride, padding, out); });
}

void ProfilingBackend::average_pool(const Tensor& x, int64_t size, const Tensor& out) {
  record({"average_pool", bytes_of(x, out)}, [&] { device_.average_pool(x, size, out); });
}

void ProfilingBackend::max_pool(const Tensor& x, int64_t size, const Tensor& out, const Tensor& indices) {
  record({"max_pool", bytes_of(x, out, indices)}, [&] { device_.max_pool(x, size, out, indices); });
}

void ProfilingBackend::upsample(const Tensor& x, int64_t size, const Tensor& out) {
  record({"upsample", bytes_of(x, out)}, [&] { device_.upsample(x, size, out); });
}

void ProfilingBackend::adamw(std::span<const AdamWSlot> slots, const AdamWOptions& options) {
  double bytes = 0;
  for (const AdamWSlot& slot : slots) bytes += bytes_of_slot(slot);
  record({"adamw", bytes}, [&] { device_.adamw(slots, options); });
}

}  // namespace haze
