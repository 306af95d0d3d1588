#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "haze/tools/run/saved_model.h"
#include "haze/tools/tasks/evaluation_targets.h"

namespace haze {

/// Says how far texts have what was wanted, and how fluent they are. No judge knows the classifiers that
/// guide.
class ControlJudges {
 public:
  /// The judges that control.judge and control.pos_judge name, and the built-in grammar where
  /// control.target_file names no texts of other origin. Throws Error where a run cannot judge, or reads
  /// shorter texts than `longest` tokens, the end token among them.
  ControlJudges(const Settings& settings, int64_t longest);

  /// Throws Error where nobody can judge one of the targets: tags without a tagger, or that it does not know;
  /// trees and phrases of texts whose grammar is unknown.
  void require(const WantedProperties& wanted) const;

  /// How far each text has the properties that are wanted of it, in [0, 1]: the product over them. Text i is
  /// for target i / tries, where tries is the number of texts a target.
  std::vector<double> successes(const std::vector<WantedProperties>& targets,
                                const std::vector<std::string>& texts) const;

  /// Nats per token of each text under control.judge; none without it.
  std::optional<std::vector<double>> nats(const std::vector<std::string>& texts) const;

 private:
  bool knows_grammar_;
  std::optional<SavedModel> fluency_, tagger_;
};

/// The index of the largest of each `tries` numbers in a row, the first of equal ones.
std::vector<size_t> best_of_tries(std::span<const double> numbers, size_t tries);

}  // namespace haze
