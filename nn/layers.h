#pragma once

#include "haze/nn/module.h"

namespace haze {

/// The state of a forward pass besides its input: whether dropout is on, and where it draws from.
struct ForwardContext {
  bool training = false;
  Generator* generator = nullptr;

  /// x with dropout where training and probability > 0. Throws Error where that needs a generator and there
  /// is none.
  Variable drop(const Variable& x, double probability) const;
  /// `probability` where training, otherwise 0.
  double rate(double probability) const { return training ? probability : 0; }
};

/// activation(x weight^T + bias): weight [out, in], bias [out].
class Linear : public Module {
 public:
  /// Weights uniform in +-1/sqrt(in) times `gain`, bias 0. With gain 0 the layer starts as zero.
  Linear(int64_t in, int64_t out, Generator& generator, bool bias = true, double gain = 1);

  /// x [..., in] -> [..., out]; `residual` [..., out] is added after the activation.
  Variable forward(const Variable& x, Activation activation = Activation::none,
                   const Variable& residual = {}) const;

  const Variable& weight() const { return weight_; }
  const Variable& bias() const { return bias_; }

 private:
  Variable weight_, bias_;
};

struct Conv2dOptions {
  int64_t stride = 1;
  double gain = 1;  // of the initial weights; with 0 the layer starts as zero
};

/// Cross-correlation of images with kernels of size x size: weight [out, in, size, size], bias [out]. Images
/// are padded by (size - 1) / 2 zeros on each side, so an odd size with stride 1 keeps height and width.
class Conv2d : public Module {
 public:
  /// Weights uniform in +-1/sqrt(in size^2) times the gain, bias 0. Throws Error where an extent is not
  /// positive.
  Conv2d(int64_t in, int64_t out, int64_t size, Generator& generator, const Conv2dOptions& options = {});

  /// x [n, in, h, w] -> [n, out, h', w'], h' = floor((h + 2 padding - size) / stride) + 1.
  Variable forward(const Variable& x) const;

 private:
  int64_t stride_, padding_;
  Variable weight_, bias_;
};

/// One row of weight [count, width] an id.
class Embedding : public Module {
 public:
  /// Normal with the given standard deviation.
  Embedding(int64_t count, int64_t width, Generator& generator, double standard_deviation = 0.02);
  /// ids int32 [...] -> [..., width].
  Variable forward(const Tensor& ids) const { return embedding(weight_, ids); }
  const Variable& weight() const { return weight_; }
  /// For modules that tie their own weight to it (Module::tie_parameter).
  Variable& weight() { return weight_; }

 private:
  Variable weight_;
};

/// Ba et al. 2016, on the last axis. Without `affine` it has no parameters.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t width, double epsilon = 1e-5, bool affine = true);
  Variable forward(const Variable& x) const { return layer_norm(x, weight_, bias_, epsilon_); }
  /// Of a norm that is not affine: norm(x) (1 + scale[s]) + shift[s] for rows of the sequences s of `index`,
  /// int32 [rows]. scale and shift [sequences, width].
  Variable forward(const Variable& x, const Variable& scale, const Variable& shift,
                   const Tensor& index) const {
    return adaptive_layer_norm(x, scale, shift, index, epsilon_);
  }

 private:
  double epsilon_;
  Variable weight_, bias_;
};

/// Zhang and Sennrich 2019, on the last axis.
class RmsNorm : public Module {
 public:
  explicit RmsNorm(int64_t width, double epsilon = 1e-6);
  Variable forward(const Variable& x) const { return rms_norm(x, weight_, epsilon_); }

 private:
  double epsilon_;
  Variable weight_;
};

/// Wu and He 2018, for [batch, channels, ...].
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double epsilon = 1e-5);
  Variable forward(const Variable& x) const { return group_norm(x, weight_, bias_, groups_, epsilon_); }

 private:
  int64_t groups_;
  double epsilon_;
  Variable weight_, bias_;
};

/// down(activation(up(x))), with dropout on the result.
class Mlp : public Module {
 public:
  Mlp(int64_t width, int64_t inner, Activation activation, double dropout, Generator& generator,
      double output_gain = 1);
  /// x [..., width]; `residual` is added to the result.
  Variable forward(const Variable& x, const ForwardContext& context, const Variable& residual = {}) const;

 private:
  Linear up_, down_;
  Activation activation_;
  double dropout_;
};

}  // namespace haze
