#include "haze/bench/attention.h"

#include <algorithm>
#include <memory>
#include <regex>

#include <fmt/format.h>

#include "haze/bench/peer_process.h"
#include "haze/bench/timer.h"
#include "haze/engine/cpu/machine.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/error.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

constexpr int64_t kTokens = 16384, kHeads = 8;
constexpr const char *kForward = "attention forward", *kBackward = "attention backward";

struct Problem {
  int64_t length, head_size;

  int64_t batch() const { return kTokens / length; }
  std::string name() const { return fmt::format("length {}, head size {}", length, head_size); }
  /// Of one product of scores, or of scores and values, over all heads and sequences.
  double product_operations() const {
    return 2.0 * static_cast<double>(batch() * kHeads) * static_cast<double>(length * length * head_size);
  }
};

/// Seconds of one call, the fastest so far.
struct Fastest {
  double forward = std::numeric_limits<double>::infinity();
  double backward = std::numeric_limits<double>::infinity();

  void include(double forward_seconds, double backward_seconds) {
    forward = std::min(forward, forward_seconds);
    backward = std::min(backward, backward_seconds);
  }
};

/// Haze's kernels on one problem.
class Kernels {
 public:
  explicit Kernels(const Problem& problem) {
    Generator generator(1);
    const Shape shape{problem.batch(), problem.length, kHeads, problem.head_size};
    for (Tensor* tensor : {&query_, &key_, &value_, &gradient_}) *tensor = normal(shape, generator);
    saved_ = attention(query_, key_, value_, {});
  }

  void measure(Fastest& fastest) const {
    const std::vector<double> seconds =
        fastest_seconds({[this] { attention(query_, key_, value_, {}); },
                         [this] { attention_gradient(gradient_, query_, key_, value_, saved_, {}); }},
                        {.repetitions = 1, .seconds = 0.2});
    fastest.include(seconds[0], seconds[1]);
  }

 private:
  Tensor query_, key_, value_, gradient_;
  AttentionResult saved_;
};

std::unique_ptr<PeerProcess> start_peer(const Problem& problem, const std::string& python) {
  if (python.empty()) return nullptr;
  return std::make_unique<PeerProcess>(
      python, "attention.py",
      std::vector<std::string>{fmt::format("--batch={}", problem.batch()), fmt::format("--heads={}", kHeads),
                               fmt::format("--length={}", problem.length),
                               fmt::format("--head-size={}", problem.head_size),
                               fmt::format("--threads={}", threads())});
}

Comparison comparison_of(const Problem& problem, double operations, double ours, double peer,
                         const std::string& setting, const MachineLimits& limits) {
  Comparison comparison;
  comparison.name = problem.name();
  comparison.ours = operations / ours * 1e-9;
  if (!setting.empty()) comparison.peer = operations / peer * 1e-9;
  comparison.unit = "GFLOP/s";
  comparison.share_of_peak = comparison.ours / limits.fma_gflops;
  comparison.setting = setting;
  return comparison;
}

/// A problem and the tables that want it.
struct Wanted {
  Problem problem;
  bool forward, backward;
};

std::vector<Wanted> wanted_by(const std::string& filter) {
  const std::regex pattern(filter);
  std::vector<Wanted> result;
  for (const int64_t head_size : {32, 64}) {
    for (const int64_t length : {64, 128, 512, 2048}) {
      const Problem problem{length, head_size};
      const auto is_in = [&](const char* table) {
        return std::regex_search(fmt::format("{} {}", table, problem.name()), pattern);
      };
      const Wanted wanted{problem, is_in(kForward), is_in(kBackward)};
      if (wanted.forward || wanted.backward) result.push_back(wanted);
    }
  }
  if (result.empty()) fail("--filter {}: no row has such a name", filter);
  return result;
}

}  // namespace

std::vector<ComparisonGroup> compare_attention(const AttentionBenchOptions& options,
                                               const std::function<void(const std::string&)>& progress) {
  const std::vector<Wanted> rows = wanted_by(options.filter);
  const MachineLimits limits = measure_machine_limits();
  ComparisonGroup forward{kForward, "PyTorch", {}}, backward{kBackward, "PyTorch", {}};
  for (const auto& [problem, wants_forward, wants_backward] : rows) {
    progress("attention " + problem.name());
    const Kernels kernels(problem);
    const auto peer = start_peer(problem, options.python);
    Fastest ours, theirs;
    std::string forward_setting, backward_setting;
    for (int i = 0; i < options.repetitions; ++i) {
      kernels.measure(ours);
      if (!peer) continue;
      const nlohmann::json answer = peer->measure();
      theirs.include(answer.at("forward"), answer.at("backward"));
      forward_setting = answer.at("forward_backend");
      backward_setting = answer.at("backward_backend");
    }
    const double product = problem.product_operations();
    if (wants_forward) {
      forward.rows.push_back(
          comparison_of(problem, 2 * product, ours.forward, theirs.forward, forward_setting, limits));
    }
    if (wants_backward) {
      backward.rows.push_back(
          comparison_of(problem, 5 * product, ours.backward, theirs.backward, backward_setting, limits));
    }
  }
  std::vector<ComparisonGroup> groups;
  for (ComparisonGroup* group : {&forward, &backward}) {
    if (!group->rows.empty()) groups.push_back(std::move(*group));
  }
  return groups;
}

}  // namespace haze
