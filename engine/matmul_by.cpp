#include "haze/engine/matmul_by.h"

#include <atomic>

namespace haze {
namespace {

constexpr int kNone = -1;
std::atomic<int> chosen{kNone};

}  // namespace

void set_matmul_by(std::optional<MatmulBy> choice) {
  chosen = choice ? static_cast<int>(*choice) : kNone;
}

std::optional<MatmulBy> matmul_by() {
  const int choice = chosen;
  if (choice == kNone) return std::nullopt;
  return static_cast<MatmulBy>(choice);
}

}  // namespace haze
