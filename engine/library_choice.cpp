#include "haze/engine/library_choice.h"

#include <atomic>

namespace haze {
namespace {

/// A choice that any thread may make.
template <typename By>
class Choice {
 public:
  void set(std::optional<By> choice) { chosen_ = choice ? static_cast<int>(*choice) : kNone; }
  std::optional<By> get() const {
    const int choice = chosen_;
    if (choice == kNone) return std::nullopt;
    return static_cast<By>(choice);
  }

 private:
  static constexpr int kNone = -1;
  std::atomic<int> chosen_{kNone};
};

Choice<MatmulBy> of_matmul;
Choice<ConvolutionBy> of_convolution;

}  // namespace

void set_matmul_by(std::optional<MatmulBy> choice) {
  of_matmul.set(choice);
}
std::optional<MatmulBy> matmul_by() {
  return of_matmul.get();
}

void set_convolution_by(std::optional<ConvolutionBy> choice) {
  of_convolution.set(choice);
}
std::optional<ConvolutionBy> convolution_by() {
  return of_convolution.get();
}

}  // namespace haze
