#pragma once

#include <optional>
#include <span>
#include <utility>

#include "haze/engine/generator.h"
#include "haze/engine/tensor.h"

/// The one list of operations. Every function takes views of any strides and checks shapes and dtypes once.
/// An Error names the operation, the argument, the shapes it got and those it takes. The function then
/// allocates its result and calls the kernel of its operands' device. "real" below means float32 or float64,
/// "floating" means these or bfloat16; a negative axis counts from the last. An operation on bfloat16
/// computes in float32, and rounds once, at the end. Operations of two tensors take equal dtypes and one
/// device, and never convert silently. Values, such as indices, are checked by the kernel: the cpu throws at
/// once, other devices at the next synchronize(), item(), to_vector() or to() (device.h).
namespace haze {

// ---- Creation -----------------------------------------------------------------------------------

Tensor full(const Shape& shape, double value, Dtype dtype = Dtype::float32, Device device = Device::cpu);
Tensor zeros(const Shape& shape, Dtype dtype = Dtype::float32, Device device = Device::cpu);
Tensor ones(const Shape& shape, Dtype dtype = Dtype::float32, Device device = Device::cpu);
/// Shape, dtype and device of x.
Tensor full_like(const Tensor& x, double value);
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);
/// [count]: 0, 1, 2, ...
Tensor arange(int64_t count, Dtype dtype = Dtype::int32, Device device = Device::cpu);
/// Uniform in [low, high), real: 24 random bits for float32, 53 for float64.
Tensor uniform(const Shape& shape, Generator& generator, double low = 0, double high = 1,
               Dtype dtype = Dtype::float32, Device device = Device::cpu);
/// Normal by the Box-Muller transform, real.
Tensor normal(const Shape& shape, Generator& generator, double mean = 0, double standard_deviation = 1,
              Dtype dtype = Dtype::float32, Device device = Device::cpu);

/// int32, uniform in [low, high): each number as often as the others but for a relative 2^-64. Throws where
/// int32 does not hold the interval. Element i uses counter i.
Tensor random_integers(const Shape& shape, Generator& generator, int64_t low, int64_t high,
                       Device device = Device::cpu);
/// A 64-bit number in the memory of a device that random operations count from: int32 [2], the lower word
/// first.
Tensor random_counter(uint64_t value = 0, Device device = Device::cpu);
/// counter += by, modulo 2^64, in place. counter int32 [2], contiguous.
void advance_counter(const Tensor& counter, uint64_t by);
/// The argument of Generator::set_base(), and RandomPosition::base. Operations that draw read the counter
/// when their kernels run; it is on their device. counter int32 [2], contiguous, at the beginning of its
/// storage.
Storage random_base(const Tensor& counter);

// ---- Views: none of these copies elements -------------------------------------------------------

/// A view where the strides allow it, otherwise a contiguous copy. One extent may be -1: it follows from the
/// others.
Tensor reshape(const Tensor& x, const Shape& shape);
Tensor transpose(const Tensor& x, int axis_a = -2, int axis_b = -1);
/// Axis i of the result is axis axes[i] of x.
Tensor permute(const Tensor& x, const Shape& axes);
/// Elements first, first+step, ... below last on one axis. step >= 1.
Tensor slice(const Tensor& x, int axis, int64_t first, int64_t last, int64_t step = 1);
/// Broadcast to `shape`: repeated axes get stride 0.
Tensor expand(const Tensor& x, const Shape& shape);
/// A new axis of extent 1 before `axis`.
Tensor unsqueeze(const Tensor& x, int axis);

// ---- Copies -------------------------------------------------------------------------------------

/// x itself where it is contiguous, otherwise a contiguous copy.
Tensor contiguous(const Tensor& x);
/// A contiguous copy, always.
Tensor clone(const Tensor& x);
/// Any dtype to any dtype; to bfloat16 by rounding to nearest even, to integers by truncation, a number
/// outside their range to the nearest inside, NaN to 0.
Tensor cast(const Tensor& x, Dtype dtype);
/// x itself where it is on `device`, otherwise a contiguous copy there. Waits for the device that x is on.
Tensor to(const Tensor& x, Device device);
/// target = source (broadcast, converted to the target's dtype).
void copy_into(const Tensor& target, const Tensor& source);
void fill(const Tensor& target, double value);
/// All extents equal but those of `axis`.
Tensor concat(std::span<const Tensor> parts, int axis);
/// x with `before` and `after` more elements on one axis, all `value`.
Tensor pad(const Tensor& x, int axis, int64_t before, int64_t after, double value = 0);

// ---- Element by element -------------------------------------------------------------------------

/// Floating in, the same dtype out. The parameters a and b belong to the operations that name them.
enum class UnaryOp : uint8_t {
  scale_shift,  // a x + b
  absolute,
  sign,
  floor,
  ceil,
  round,  // to the nearest whole number, of two equally near to the even one
  square,
  sqrt,
  rsqrt,  // 1 / sqrt(x)
  reciprocal,
  power,  // x^a
  exp,
  expm1,
  log,
  log1p,
  sin,
  cos,
  tanh,
  erf,
  erfcx,     // e^(x^2) erfc(x)
  erfinv,    // the y with erf(y) = x; infinite at -1 and 1, NaN outside
  log_ndtr,  // log Phi(x), Phi the standard normal distribution function; accurate in both tails
  sigmoid,
  softplus,  // log(1 + e^x)
  relu,
  leaky_relu,  // x where x > 0, otherwise a x; a >= 0 (Maas et al. 2013)
  gelu,        // x Phi(x), with the error function
  gelu_tanh,   // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  silu,        // x sigmoid(x)
  clamp,       // min(max(x, a), b), which is b where a > b
  kCount
};

/// Floating or int32 in, the same dtype out, broadcast. The *_gradient operations take (x, g) and return g
/// f'(x).
enum class BinaryOp : uint8_t {
  add,
  subtract,
  multiply,
  divide,
  maximum,
  minimum,
  gelu_gradient,
  gelu_tanh_gradient,
  silu_gradient,
  kCount
};

enum class CompareOp : uint8_t { equal, not_equal, less, less_equal, greater, greater_equal, kCount };

/// As it is written above.
const char* name(UnaryOp op);
const char* name(BinaryOp op);

Tensor unary(UnaryOp op, const Tensor& x, double a = 0, double b = 0);
Tensor binary(BinaryOp op, const Tensor& x, const Tensor& y);
/// uint8: 1 where it holds. Broadcast; any equal dtypes.
Tensor compare(CompareOp op, const Tensor& x, const Tensor& y);

inline Tensor add(const Tensor& x, const Tensor& y) {
  return binary(BinaryOp::add, x, y);
}
inline Tensor subtract(const Tensor& x, const Tensor& y) {
  return binary(BinaryOp::subtract, x, y);
}
inline Tensor multiply(const Tensor& x, const Tensor& y) {
  return binary(BinaryOp::multiply, x, y);
}
inline Tensor divide(const Tensor& x, const Tensor& y) {
  return binary(BinaryOp::divide, x, y);
}
inline Tensor scale_shift(const Tensor& x, double scale, double shift) {
  return unary(UnaryOp::scale_shift, x, scale, shift);
}

/// Masks: uint8, any number but 0 meaning true; the result is 0 or 1. Broadcast.
Tensor logical_and(const Tensor& x, const Tensor& y);
Tensor logical_or(const Tensor& x, const Tensor& y);
Tensor logical_xor(const Tensor& x, const Tensor& y);
Tensor logical_not(const Tensor& x);

/// condition uint8; x and y of one dtype; all three broadcast.
Tensor where(const Tensor& condition, const Tensor& x, const Tensor& y);
/// target += source, in place; floating; source broadcasts to target. Here and in the other operations in
/// place, a source that overlaps the target is copied first.
void add_into(const Tensor& target, const Tensor& source);

/// x_i / (1 - p) with probability 1 - p, otherwise 0. Which elements are dropped is a function of the
/// position alone, so the same call on the gradient is the backward pass. 0 <= probability < 1.
Tensor dropout(const Tensor& x, double probability, RandomPosition position);
/// Counters that dropout of `elements` elements takes out of a generator.
constexpr uint64_t dropout_counters(int64_t elements) {
  return (static_cast<uint64_t>(elements) + 3) / 4;
}

// ---- Reductions ---------------------------------------------------------------------------------

enum class ReduceOp : uint8_t { sum, mean, max, min, logsumexp, variance, kCount };

/// As it is written above.
const char* name(ReduceOp op);

/// Over `axes` (all axes where the list is empty); floating. sum, max and min also take int32, and sum takes
/// uint8; these give int32. Such a sum wraps modulo 2^32, as add does. variance divides by n - correction.
/// Throws where max, min, mean or variance has nothing to reduce; an empty sum is 0, an empty logsumexp is
/// -infinity.
Tensor reduce(ReduceOp op, const Tensor& x, const Shape& axes = {}, bool keep_axes = false,
              double correction = 0);
inline Tensor sum(const Tensor& x, const Shape& axes = {}, bool keep_axes = false) {
  return reduce(ReduceOp::sum, x, axes, keep_axes);
}
/// x summed down to `shape`, from which it was broadcast.
Tensor sum_to(const Tensor& x, const Shape& shape);
/// int32 index of the largest element on one axis; the first of equals; a NaN counts as larger than every
/// number.
Tensor argmax(const Tensor& x, int axis = -1);
/// sqrt of the sum of squares of all elements of all tensors, in a fixed order; floating. Blocks of 1024
/// squares are summed in the element type (float32 of bfloat16), blocks in float64.
double global_norm(std::span<const Tensor> tensors);
/// The same as float64 [] on the tensors' device, which nobody waits for.
Tensor device_global_norm(std::span<const Tensor> tensors);
/// The factor that clips gradients s g to the norm max_norm, where g has the norm `norm` and
/// s = gradient_scale. It is s min(1, max_norm / (s norm + 1e-6)), or s where max_norm is 0 (no limit). norm
/// real []; the result float64 [] on its device. Throws Error where max_norm or s is negative or not finite;
/// the kernel does where s norm is not finite.
Tensor device_clip_scale(const Tensor& norm, double max_norm, double gradient_scale = 1);
/// Whether every element is finite; floating. Waits for the device.
bool all_finite(const Tensor& x);

/// On one axis; a row of -infinity gives zeros (log_softmax: -infinity), never NaN. floating. Another axis
/// than the last costs two copies.
Tensor softmax(const Tensor& x, int axis = -1);
Tensor log_softmax(const Tensor& x, int axis = -1);
/// On the last axis, from the result y and the gradient g of y: softmax: y (g - sum(g y)); log_softmax: g -
/// e^y sum(g).
Tensor softmax_gradient(const Tensor& y, const Tensor& g);
Tensor log_softmax_gradient(const Tensor& y, const Tensor& g);

/// Running sum on one axis; floating or int32.
Tensor cumulative_sum(const Tensor& x, int axis = -1);
/// Values in order on one axis and their int32 indices. Stable; NaN last. floating or int32.
std::pair<Tensor, Tensor> sort(const Tensor& x, bool descending = false, int axis = -1);
/// The k largest on one axis, in falling order, and their int32 indices; the first of equals first.
std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k, int axis = -1);

// ---- Norms --------------------------------------------------------------------------------------

struct NormResult {
  Tensor output;
  // Of bfloat16, these are float32.
  Tensor mean;  // [rows]; undefined for RMS norm
  Tensor rstd;  // [rows]: 1 / sqrt(variance + epsilon)
};
struct NormGradient {
  Tensor x, weight, bias;
};

/// (x - mean) / sqrt(variance + epsilon) weight + bias on one axis (Ba et al. 2016). weight and bias [extent
/// of the axis], both may be undefined. mean and rstd have a number for each row of transpose(x, axis, -1).
/// Another axis than the last costs copies, here and for rms_norm; the gradients take the last one. floating.
NormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
                      int axis = -1);
NormGradient layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                 const NormResult& saved, bool bias);
/// x / sqrt(mean(x^2) + epsilon) weight on one axis (Zhang and Sennrich 2019). floating.
NormResult rms_norm(const Tensor& x, const Tensor& weight, double epsilon, int axis = -1);
NormGradient rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                               const NormResult& saved);
/// (x - mean) / sqrt(variance + epsilon) (1 + scale[s]) + shift[s] for rows of sequence s (Peebles and Xie
/// 2023, section 3.2, "adaLN"). x [rows, columns]; scale and shift [sequences, columns], such as parts of a
/// modulation, which are read in place; index int32 [rows]: the sequence of each row, in any order. real.
/// The kernel throws Error on an index outside [0, sequences).
NormResult adaptive_layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& index,
                               double epsilon);
/// weight and bias of the result are the gradients of scale and shift: sums over the rows of a sequence, in
/// chunks of 64 in their order, which are added in float64.
NormGradient adaptive_layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& scale,
                                          const Tensor& index, const NormResult& saved);
/// x + gate[s] branch for rows of sequence s: a residual branch of adaLN-Zero (Peebles and Xie 2023). x and
/// branch [rows, columns]; gate and index as scale and index of adaptive_layer_norm. real.
Tensor gated_add(const Tensor& x, const Tensor& gate, const Tensor& branch, const Tensor& index);
/// Gradients of gate, summed as above, and branch.
std::pair<Tensor, Tensor> gated_add_gradient(const Tensor& g, const Tensor& gate, const Tensor& branch,
                                             const Tensor& index);
/// (x - mean) / sqrt(variance + epsilon) weight + bias (Wu and He 2018). mean and variance are those of each
/// of `groups` groups of channels. x [batch, channels, ...] of at least two axes, channels a multiple of
/// groups; weight and bias [channels], both may be undefined. The result's mean and rstd are [batch groups].
/// floating.
NormResult group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                      double epsilon);
NormGradient group_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, int64_t groups,
                                 const NormResult& saved, bool bias);

// ---- Matrix product -----------------------------------------------------------------------------

enum class Activation : uint8_t { none, relu, gelu, gelu_tanh, silu };

/// The precision of a product of float32 operands. full multiplies them as they are. bfloat16 rounds them as
/// they are packed; sums stay in float32. It uses the processor's own bfloat16 products where it has them.
enum class Precision : uint8_t { full, bfloat16 };

/// The precision of a product and its epilogue, the work on each element while it is still in registers:
/// y = activation(product + bias) + residual, or y = product activation'(slope_at).
struct MatmulOptions {
  Tensor bias;  // [n], or undefined
  Activation activation = Activation::none;
  Tensor pre_activation;  // where defined ([..., m, n], contiguous), receives product + bias
  Tensor residual;        // shape of the result, or undefined
  Tensor slope_at;        // shape of the result, or undefined: the backward pass through an activation
  Tensor row_sums;  // where defined ([m], contiguous, for a and b of two axes), receives the sums of a's rows
  Precision precision = Precision::full;
};

/// [..., m, k] x [..., k, n] -> [..., m, n]; leading axes broadcast. Operands may be transposed views:
/// nothing is copied. float32, float64, or bfloat16 (accumulates in float32; `out_dtype` float32 or
/// bfloat16).
Tensor matmul(const Tensor& a, const Tensor& b, const MatmulOptions& options = {},
              std::optional<Dtype> out_dtype = {});
/// target += a b, without a temporary. target contiguous.
void matmul_into(const Tensor& target, const Tensor& a, const Tensor& b,
                 Precision precision = Precision::full);

// ---- Attention ----------------------------------------------------------------------------------

/// Which keys each query sees: those that everything that is set allows. A *sequence* is an entry of the
/// batch, or, with query_offsets, a range of rows. The tensors lie on the device of the query; the kernel
/// checks the values of offsets and lengths.
struct AttentionOptions {
  double scale = 0;  // of the scores, not negative; 0 means 1/sqrt(head_size)
  /// Query i of a sequence with m queries and n keys sees its keys 0 to i + n - m. With causal_offsets, int32
  /// [sequences], it sees its keys 0 to i + causal_offsets[sequence], such as those of a cache with room
  /// left.
  bool causal = false;
  Tensor causal_offsets;
  Tensor key_lengths;  // int32 [sequences]: a sequence's keys from there on are padding
  /// uint8 [query blocks, key blocks] for all sequences, or [sequences, query blocks, key blocks]: not 0
  /// where the queries of a block see the keys of a block. A block is block_size positions of a sequence; the
  /// last may be shorter. With query_offsets there may be more blocks than the longest sequence has.
  Tensor block_mask;
  int64_t block_size = 0;
  /// A ragged batch: sequences of any lengths laid end to end in tensors whose batch is 1. Sequence s has the
  /// rows query_offsets[s] to query_offsets[s + 1] of the query, and the rows between its key_offsets of key
  /// and value. A query sees its own sequence only. Both are int32 [sequences + 1] and rise from 0 to the
  /// number of rows. Where key_offsets is undefined, query_offsets stands for it.
  Tensor query_offsets, key_offsets;
  /// A mask of pairs, by their rows in query and key; broadcasts to [batch, heads, queries, keys]. uint8: not
  /// 0 where the query sees the key. The query's dtype: added to the scaled score, and -infinity rules the
  /// pair out. It is a constant and gets no gradient.
  Tensor pair_mask;
  double dropout = 0;  // probability in [0, 1) with which a weight becomes 0, by its position
  RandomPosition dropout_position;
};
struct AttentionResult {
  Tensor output;  // [batch, queries, heads, head_size]
  /// [batch, heads, queries]: the weight of a key with the scaled score s is e^(s - row_max) / row_sum. In
  /// float32 their logsumexp, row_max + log(row_sum), would lose the sum beside a large maximum. -infinity
  /// and 0 where a query sees no key. Of bfloat16, these are float32.
  Tensor row_max, row_sum;
};
struct AttentionGradient {
  Tensor query, key, value;
};

/// softmax(scale q k^T) v, by tiles with an online softmax: memory is linear in the length (Dao et al. 2022).
/// query [batch, queries, heads, head_size]; key and value [batch, keys, key_heads, head_size]. Views with
/// unit stride on the last axis are read in place. key_heads divides heads. heads / key_heads consecutive
/// heads share keys and values (grouped-query attention, Ainslie et al. 2023). A query that sees no key gets
/// 0. In float32, a query whose largest scaled score is 2^30 or more in size gets NaN, as no digits are left
/// for the softmax. floating. Throws Error where the options do not fit query and key.
AttentionResult attention(const Tensor& query, const Tensor& key, const Tensor& value,
                          const AttentionOptions& options);
/// Written to `into` where that is given (views with unit stride on the last axis), otherwise to new tensors.
/// A query that sees no key gets the gradient 0. The gradient is computed from the saved output: of bfloat16,
/// that output is rounded.
/// Throws where such a view overlaps an operand.
AttentionGradient attention_gradient(const Tensor& g, const Tensor& query, const Tensor& key,
                                     const Tensor& value, const AttentionResult& saved,
                                     const AttentionOptions& options, const AttentionGradient& into = {});
/// Counters that the dropout of attention takes out of a generator.
uint64_t attention_dropout_counters(const Tensor& query, const Tensor& key);

// ---- Positions ----------------------------------------------------------------------------------

/// [count, width]: cos(x f_i) in the first half and sin(x f_i) in the second, f_i = max_period^(-i /
/// (width/2)), computed in float64; a zero column is appended where width is odd. x real [count]. (The order
/// and frequencies of Nichol and Dhariwal 2021.)
Tensor sinusoidal_embedding(const Tensor& x, int64_t width, double max_period = 10000);

/// Each pair (i, i + head_size / 2) of the first `turned` heads of a row as a complex number, turned by the
/// angle whose cosine and sine are entry i of the table at the row's position (Su et al. 2021, section 3.2;
/// "half-split" layout). The other heads are copied. x [rows, heads, head_size]; views with unit stride on
/// the last axis are read in place. cosine and sine [table positions, head_size / 2], positions int32 [rows].
/// `inverse` turns back, which is the gradient. real. Throws Error where head_size is odd or `turned` is not
/// in 0..heads; the kernel does on a position outside the table.
Tensor rotary(const Tensor& x, const Tensor& cosine, const Tensor& sine, const Tensor& positions,
              int64_t turned, bool inverse = false);

// ---- Indexing -----------------------------------------------------------------------------------
// Indices are int32; one outside its axis is an Error that names it.

/// Rows of weight [vocabulary, width] at ids [...]: [..., width].
Tensor embedding(const Tensor& weight, const Tensor& ids);
/// Gradient of the weight from g [..., width]: rows summed in the order of ids.
Tensor embedding_gradient(const Tensor& g, const Tensor& ids, int64_t vocabulary);
/// x at `indices` [count] of one axis.
Tensor index_select(const Tensor& x, int axis, const Tensor& indices);
/// target[..., indices[i], ...] += source[..., i, ...], in the order of i.
void index_add_into(const Tensor& target, int axis, const Tensor& indices, const Tensor& source);
/// result[i][j] = x[i][index[i][j]] for axis 1, likewise for other axes; index has the rank of x and extents
/// at most its.
Tensor gather(const Tensor& x, int axis, const Tensor& index);
/// A copy of x with x[i][index[i][j]] += source[i][j] (axis 1, likewise others), in row-major order.
Tensor scatter_add(const Tensor& x, int axis, const Tensor& index, const Tensor& source);
/// A copy of x with x[i][index[i][j]] = source[i][j] (axis 1, likewise others); any dtype. Of several
/// elements for one position the last in row-major order stays.
Tensor scatter(const Tensor& x, int axis, const Tensor& index, const Tensor& source);
/// int32: for each value the first index at which it could be inserted into its row without breaking the
/// order, or the last with `right`. sorted [..., n] rises on its last axis, NaN last. values [..., m] has the
/// same leading axes, or any shape where sorted has one axis. floating or int32.
Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right = false);

// ---- Sampling -----------------------------------------------------------------------------------

/// One int32 draw a row from unnormalised log-probabilities [rows, categories]. The draw inverts the
/// cumulative sum in float64 with a 53-bit uniform number. So probabilities down to 1e-15 are drawn as often
/// as they should be, which float32 Gumbel noise cannot do (Zheng et al. 2024, arXiv 2409.02908). -infinity
/// is never drawn. Throws where a row has no finite entry, a NaN or +infinity. Row i uses counter i of the
/// position.
Tensor categorical(const Tensor& log_probabilities, RandomPosition position);
/// The same with the numbers given: uniforms float64 [rows] in [0, 1).
Tensor categorical(const Tensor& log_probabilities, const Tensor& uniforms);

/// uint8: 1 with the given probability, each for itself, exact to 2^-53. Shape of probability, floating; a
/// value outside [0, 1] is an Error.
Tensor bernoulli(const Tensor& probability, Generator& generator);
/// int32 draws from Poisson distributions of the given rates. Shape of rate, floating; a value outside [0,
/// 1e9] is an Error. Below a rate of 10 by inverting the distribution function, otherwise by transformed
/// rejection (Hormann 1993, algorithm PTRS).
Tensor poisson(const Tensor& rate, Generator& generator);

// ---- Images: [batch, channels, height, width] ---------------------------------------------------

/// Patches as columns, [batch, channels kernel_h kernel_w, out_h out_w], zero padding (im2col).
Tensor unfold(const Tensor& x, int64_t kernel_h, int64_t kernel_w, int64_t stride, int64_t padding);
/// The adjoint of unfold: columns summed back into an image of height x width.
Tensor fold(const Tensor& columns, int64_t height, int64_t width, int64_t kernel_h, int64_t kernel_w,
            int64_t stride, int64_t padding);
/// How a kernel of kernel_h x kernel_w *taps* moves over an image. Its window number o down begins at row
/// o stride_h - top, and its tap number i sees the row i dilation_h further; likewise across. Outside the
/// image there are zeros. With groups, the channels of input and output fall into so many equal ranges, and a
/// range of the output sees that of the input only.
struct ConvolutionOptions {
  int64_t stride_h = 1, stride_w = 1;
  int64_t top = 0, bottom = 0, left = 0, right = 0;  // rows and columns of padding
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;

  /// The same stride down and across, the same padding on every side.
  static ConvolutionOptions even(int64_t stride, int64_t padding) {
    return {stride, stride, padding, padding, padding, padding};
  }
};

/// Cross-correlation of x [batch, in, height, width] with weight [out, in / groups, kernel_h, kernel_w], plus
/// bias [out] (may be undefined). The result is [batch, out, out_h, out_w], where
/// out_h = floor((height + top + bottom - (kernel_h - 1) dilation_h - 1) / stride_h) + 1, likewise out_w.
/// real.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const ConvolutionOptions& options = {});
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t stride, int64_t padding);
/// Gradient of x [.., .., height, width] from g [batch, out, out_h, out_w].
Tensor conv2d_gradient_x(const Tensor& g, const Tensor& weight, int64_t height, int64_t width,
                         const ConvolutionOptions& options = {});
/// Gradient of the weight [.., .., kernel_h, kernel_w] from g. The sum over batch and windows has one order
/// for any number of threads. (The bias's gradient is sum(g, {0, 2, 3}).)
Tensor conv2d_gradient_weight(const Tensor& g, const Tensor& x, int64_t kernel_h, int64_t kernel_w,
                              const ConvolutionOptions& options = {});
/// Transposed convolution: x [batch, in, height, width] goes through conv2d's gradient of its input, with
/// weight [in, out / groups, kernel_h, kernel_w], plus bias [out] (may be undefined). The result is
/// (height - 1) stride_h + (kernel_h - 1) dilation_h + 1 - top - bottom + output_padding_h high, likewise
/// wide. conv2d takes several sizes of image to one extent. The output padding, less than the stride, selects
/// one of them. real.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvolutionOptions& options = {}, int64_t output_padding_h = 0,
                        int64_t output_padding_w = 0);
/// Windows of size x size that do not overlap; height and width must be multiples of size. floating.
Tensor average_pool(const Tensor& x, int64_t size);
/// The maximum of each window and its int32 index in the image plane.
std::pair<Tensor, Tensor> max_pool(const Tensor& x, int64_t size);
/// Each pixel repeated size x size times (nearest neighbour).
Tensor upsample(const Tensor& x, int64_t size);

// ---- Cross-entropy, fused with the projection onto the vocabulary -------------------------------

struct CrossEntropyResult {
  Tensor losses;  // [rows]: -log softmax(hidden weight^T + bias)[target], each in nats
  // Gradients of sum_i row_weights_i losses_i; defined where row_weights were given.
  Tensor hidden, weight, bias;
};

/// hidden [rows, width], weight [vocabulary, width], bias [vocabulary] or undefined, targets int32 [rows],
/// row_weights [rows] or undefined. Rows whose target is `ignored` have the loss 0 and the gradient 0; every
/// other target is in the vocabulary. Logits are formed a few rows at a time and are never whole in memory.
/// floating. Of bfloat16, losses and row_weights are float32, and the logits are not rounded.
CrossEntropyResult linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                        const Tensor& targets, const Tensor& row_weights = {},
                                        Precision precision = Precision::full,
                                        std::optional<int32_t> ignored = {});

// ---- Optimiser steps, fused over all parameters -------------------------------------------------

struct AdamWOptions {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  double gradient_scale = 1;  // gradients are multiplied by this first (clipping)
  int64_t step = 1;           // counts from 1, for the bias correction
  /// Where defined, these stand for the numbers of their names. They lie on the parameters' device and are
  /// read when the kernel runs: nobody waits for them, and a recorded step can be repeated with others. Where
  /// device_gradient_scale is not finite, the step changes nothing.
  Tensor device_learning_rate = {}, device_gradient_scale = {};  // real []
  Tensor device_step = {};                                       // int32 []
};
struct AdamWSlot {
  Tensor parameter, gradient, first_moment, second_moment;  // float32 or float64, contiguous, of equal shapes
  bool decay = true;
};

/// Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), in place. Throws where a parameter or a
/// moment overlaps another tensor of the step; the kernel does where device_step is below 1.
void adamw_step(std::span<const AdamWSlot> slots, const AdamWOptions& options);

}  // namespace haze
