#include "haze/tools/run/writing.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "haze/tools/text/utf8.h"

namespace haze {

std::vector<Canvas> open_canvases(const TextModel& model, int64_t count, int64_t length,
                                  Generator& generator) {
  const int64_t longest = model.settings().integer("data.max_length");
  if (length < 0 || length > longest)
    fail("a text of {} tokens is outside 1..{}, what this model writes", length, longest);
  std::vector<Canvas> canvases;
  for (int64_t i = 0; i < count; ++i) {
    Canvas& canvas =
        canvases.emplace_back(Canvas::open(length > 0 ? length : model.lengths().draw(generator)));
    if (!model.ends_are_fixed()) continue;
    canvas.tokens.back() = Tokenizer::kEnd;
    canvas.fixed.back() = 1;
  }
  return canvases;
}

namespace {

// Pieces of a text between "_"s; the gaps are between the pieces.
std::vector<std::string> split_at_gaps(const std::string& text) {
  std::vector<std::string> pieces(1);
  for (char c : text) {
    if (c == '_') {
      pieces.emplace_back();
    } else {
      pieces.back() += c;
    }
  }
  return pieces;
}

bool knows_all(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> tokens = tokenizer.encode(text);
  return std::find(tokens.begin(), tokens.end(), Tokenizer::kUnknown) == tokens.end();
}

// "; did you mean 'pub .'?" for the word 'pub.': what the model knows of a word that it does not, with
// another first letter or with its punctuation set apart; nothing where that does not help.
std::string suggestion_for(const Tokenizer& tokenizer, const std::string& word) {
  const size_t bare = word.find_last_not_of(".,;:!?") + 1;
  std::string punctuation;
  for (const char mark : word.substr(bare)) punctuation += {' ', mark};
  std::string small = word.substr(0, bare), capital = small;
  if (!small.empty()) {
    small[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(small[0])));
    capital[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(capital[0])));
  }
  for (const std::string& letters : {word.substr(0, bare), small, capital}) {
    if (!letters.empty() && letters + punctuation != word && knows_all(tokenizer, letters + punctuation))
      return fmt::format("; did you mean '{}'?", letters + punctuation);
  }
  return "";
}

// The first word, or character, of a text that the tokeniser does not know.
std::string first_unknown(const Tokenizer& tokenizer, const std::string& text) {
  const bool words = tokenizer.kind() == "word";
  std::istringstream stream(text);
  for (std::string rest = text, part; words ? bool(stream >> part) : !rest.empty();) {
    if (!words) {
      part = rest.substr(0, utf8_code_point_bytes(rest));
      rest.erase(0, part.size());
    }
    if (!knows_all(tokenizer, part)) return part;
  }
  return text;
}

}  // namespace

Canvas canvas_of(const TextModel& model, const std::string& text) {
  const std::vector<std::string> pieces = split_at_gaps(text);
  if (pieces.size() == 1) fail("infill: the text has no gap; write _ for every token to be filled in");
  Canvas canvas;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) {
      canvas.tokens.push_back(Tokenizer::kPad);
      canvas.fixed.push_back(0);
    }
    for (int32_t token : model.tokenizer().encode(pieces[i])) {
      if (token == Tokenizer::kUnknown) {
        const std::string unknown = first_unknown(model.tokenizer(), pieces[i]);
        fail("infill: the model does not know the {} '{}'{}", model.tokenizer().kind(), unknown,
             suggestion_for(model.tokenizer(), unknown));
      }
      canvas.tokens.push_back(token);
      canvas.fixed.push_back(1);
    }
  }
  canvas.tokens.push_back(Tokenizer::kEnd);
  canvas.fixed.push_back(1);
  const int64_t longest = model.settings().integer("data.max_length");
  if (static_cast<int64_t>(canvas.tokens.size()) > longest) {
    fail("infill: the text has {} tokens with its end, the model takes {}", canvas.tokens.size(), longest);
  }
  return canvas;
}

std::string written(const TextModel& model, std::span<const int32_t> tokens) {
  if (!tokens.empty() && tokens.back() == Tokenizer::kEnd) tokens = tokens.first(tokens.size() - 1);
  return model.tokenizer().decode(tokens);
}

TraceKeeper::TraceKeeper(const TextModel& model, const Canvas& canvas, size_t text)
    : model_(model), text_(text) {
  trace_.fixed.assign(canvas.fixed.begin(), canvas.fixed.end());
  trace_.separator = std::string(model.tokenizer().kind() == "word" ? 1 : 0, ' ');
}

SamplerObserver TraceKeeper::observer() {
  return [this](const SamplerStep& step) {
    TraceTokens tokens;
    for (int32_t token : step.tokens[text_]) {
      if (token == model_.tokenizer().vocabulary_size()) {
        tokens.emplace_back();
      } else if (token == Tokenizer::kEnd || token == Tokenizer::kPad) {
        tokens.emplace_back("");
      } else {
        tokens.emplace_back(std::string(model_.tokenizer().token(token)));
      }
    }
    if (!trace_.steps.empty() && trace_.steps.back().tokens == tokens) return;
    trace_.steps.push_back({fmt::format("t = {:.2f}", step.time), std::move(tokens)});
  };
}

}  // namespace haze
