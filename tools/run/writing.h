#pragma once

#include <string>
#include <vector>

#include "haze/tools/run/text_model.h"
#include "haze/tools/run/trace.h"

namespace haze {

/// Canvases of `count` texts, each of `length` tokens or, where that is 0, of a length drawn from the
/// model's. All is open but, where the model's ends are fixed, the end token.
std::vector<Canvas> open_canvases(const TextModel& model, int64_t count, int64_t length,
                                  Generator& generator);

/// The canvas of a text in which every "_" is to be filled in by one token; an end token is added. Throws
/// Error where the text has no "_", is longer than the model takes, or has a word or character that the model
/// does not know.
Canvas canvas_of(const TextModel& model, const std::string& text);

/// A text as people read it: without the end token.
std::string written(const TextModel& model, std::span<const int32_t> tokens);

/// Keeps how one text of several appears, step by step.
class TraceKeeper {
 public:
  TraceKeeper(const TextModel& model, const Canvas& canvas, size_t text = 0);
  /// To be handed to a sampler; the keeper must outlive the sampling.
  SamplerObserver observer();
  const Trace& trace() const { return trace_; }

 private:
  const TextModel& model_;
  size_t text_;
  Trace trace_;
};

}  // namespace haze
