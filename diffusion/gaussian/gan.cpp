#include "haze/diffusion/gaussian/gan.h"

namespace haze {
namespace {

// -log sigmoid(x).
Variable minus_log_sigmoid(const Variable& x) {
  return unary(UnaryOp::softplus, -x);
}

// -log(1 - sigmoid(x)).
Variable minus_log_one_minus_sigmoid(const Variable& x) {
  return unary(UnaryOp::softplus, x);
}

}  // namespace

Variable discriminator_loss(const Variable& real_logits, const Variable& fake_logits) {
  return mean(minus_log_sigmoid(real_logits)) + mean(minus_log_one_minus_sigmoid(fake_logits));
}

Variable saturating_generator_loss(const Variable& fake_logits) {
  return -mean(minus_log_one_minus_sigmoid(fake_logits));
}

Variable non_saturating_generator_loss(const Variable& fake_logits) {
  return mean(minus_log_sigmoid(fake_logits));
}

}  // namespace haze
