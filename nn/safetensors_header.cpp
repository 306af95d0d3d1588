#include "haze/nn/safetensors_header.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include <nlohmann/json.hpp>

namespace haze::safetensors {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";

/// Takes the header event by event: a document tree would keep only the last of two equal names, and would
/// lose their order.
class HeaderParser : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderParser(const std::filesystem::path& path) : path_(path.string()) {}

  Header take() { return std::move(header_); }

  bool start_object(size_t /*size*/) override {
    if (place_ == Place::kStart) {
      place_ = Place::kTop;
    } else if (place_ == Place::kTopValue) {
      place_ = name_ == kMetadataKey ? Place::kMetadata : Place::kTensor;
      fields_.clear();
      if (place_ == Place::kTensor) header_.entries.emplace_back().name = name_;
    } else {
      misplaced("an object");
    }
    return true;
  }

  bool key(std::string& key) override {
    if (place_ == Place::kTop) {
      if (!names_.insert(key).second) fail("{}: the name {} occurs twice", path_, in_quotes(key));
      name_ = key;
      place_ = Place::kTopValue;
      return true;
    }
    const bool is_field = key == "dtype" || key == "shape" || key == "data_offsets";
    if (place_ == Place::kTensor && !is_field) {
      fail("{}: tensor {} has an unknown field {}", path_, in_quotes(name_), in_quotes(key));
    }
    if (!fields_.insert(key).second) {
      fail("{}: {} has the field {} twice", path_, where(), in_quotes(key));
    }
    field_ = key;
    place_ = place_ == Place::kMetadata ? Place::kMetadataValue : Place::kField;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor && fields_.size() != 3) {
      fail("{}: tensor {} lacks one of the fields dtype, shape and data_offsets", path_, in_quotes(name_));
    }
    place_ = place_ == Place::kTop ? Place::kEnd : Place::kTop;
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadataValue) {
      header_.metadata.emplace(field_, value);
      place_ = Place::kMetadata;
    } else if (place_ == Place::kField && field_ == "dtype") {
      header_.entries.back().type = type_of(value);
      place_ = Place::kTensor;
    } else {
      misplaced("a text");
    }
    return true;
  }

  bool start_array(size_t /*size*/) override {
    if (place_ != Place::kField || field_ == "dtype") misplaced("an array");
    place_ = Place::kArray;
    offsets_ = 0;
    return true;
  }

  bool end_array() override {
    if (field_ == "data_offsets" && offsets_ != 2) {
      fail("{}: tensor {} has {} data_offsets, not 2", path_, in_quotes(name_), offsets_);
    }
    place_ = Place::kTensor;
    return true;
  }

  bool number_unsigned(uint64_t value) override {
    if (place_ != Place::kArray) misplaced("a number");
    Entry& entry = header_.entries.back();
    if (field_ == "data_offsets") {
      if (offsets_ == 0) entry.first = value;
      if (offsets_ == 1) entry.last = value;
      ++offsets_;
      return true;
    }
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail("{}: tensor {} has an extent of {}, which is too large", path_, in_quotes(name_), value);
    }
    if (entry.shape.rank() == kMaxRank) {
      fail("{}: tensor {} has more than {} axes", path_, in_quotes(name_), kMaxRank);
    }
    entry.shape.append(static_cast<int64_t>(value));
    return true;
  }

  bool number_integer(int64_t /*value*/) override { misplaced("a negative number"); }
  bool number_float(double /*value*/, const std::string& /*text*/) override { misplaced("a fraction"); }
  bool boolean(bool /*value*/) override { misplaced("a truth value"); }
  bool null() override { misplaced("a null"); }
  bool binary(Json::binary_t& /*value*/) override { misplaced("binary data"); }

  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    fail("{}: the header is not valid JSON from byte {} on", path_, position);
  }

 private:
  enum class Place { kStart, kTop, kTopValue, kMetadata, kMetadataValue, kTensor, kField, kArray, kEnd };

  std::string where() const {
    if (place_ == Place::kStart || place_ == Place::kEnd) return "the header";
    return name_ == kMetadataKey ? "its metadata" : "tensor " + in_quotes(name_);
  }

  [[noreturn]] void misplaced(std::string_view what) const {
    fail("{}: {} has {} where the safetensors format does not allow it", path_, where(), what);
  }

  const StoredType* type_of(std::string_view code) const {
    const auto found = std::find_if(kStoredTypes.begin(), kStoredTypes.end(),
                                    [&](const StoredType& type) { return type.code == code; });
    if (found == kStoredTypes.end()) {
      fail("{}: tensor {} has the type {}; those known are F32, F64, BF16, I32, U8, F16, I64 and BOOL", path_,
           in_quotes(name_), in_quotes(code));
    }
    return &*found;
  }

  std::string path_;
  Header header_;
  Place place_ = Place::kStart;
  std::string name_, field_;
  std::unordered_set<std::string> names_, fields_;
  int offsets_ = 0;
};

/// Bytes of a tensor. Extents of 0 count as 1 in the test for overflow, since strides are products of the
/// others.
uint64_t bytes_of(const Entry& entry, const std::string& path) {
  int64_t bound = static_cast<int64_t>(entry.type->bytes);
  for (const int64_t extent : entry.shape) {
    if (__builtin_mul_overflow(bound, std::max<int64_t>(extent, 1), &bound)) {
      fail("{}: tensor {} has the shape {}, which is too large", path, in_quotes(entry.name),
           entry.shape.to_string());
    }
  }
  return static_cast<uint64_t>(entry.shape.elements()) * entry.type->bytes;
}

}  // namespace

std::string in_quotes(std::string_view text) {
  constexpr size_t kShown = 100;
  const std::string shown =
      text.size() > kShown ? std::string(text.substr(0, kShown)) + "..." : std::string(text);
  return Json(shown).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string print_header(const Header& header, const std::filesystem::path& path) {
  const auto json_text = [&](const std::string& text) {
    try {
      return Json(text).dump();
    } catch (const Json::exception&) {
      fail("{}: {} is not UTF-8, so it cannot be written", path.string(), in_quotes(text));
    }
  };
  std::string json = "{";
  if (!header.metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : header.metadata) {
      if (json.back() != '{') json += ",";
      json += json_text(key) + ":" + json_text(value);
    }
    json += "}";
  }
  for (const Entry& entry : header.entries) {
    if (json.size() > 1) json += ",";
    json += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[", json_text(entry.name), entry.type->code);
    for (int axis = 0; axis < entry.shape.rank(); ++axis) {
      json += fmt::format("{}{}", axis ? "," : "", entry.shape[axis]);
    }
    json += fmt::format("],\"data_offsets\":[{},{}]}}", entry.first, entry.last);
  }
  return json + "}";
}

Header parse_header(std::string_view json, const std::filesystem::path& path) {
  if (!json.starts_with('{')) fail("{}: not a safetensors file: no header begins at byte 8", path.string());
  HeaderParser parser(path);
  Json::sax_parse(json.begin(), json.end(), &parser);
  return parser.take();
}

void check_layout(const std::vector<Entry>& entries, uint64_t data_bytes, const std::filesystem::path& path) {
  const std::string file = path.string();
  for (const Entry& entry : entries) {
    if (entry.first > entry.last || entry.last > data_bytes) {
      fail("{}: tensor {} lies in bytes {} to {} of {} bytes of data", file, in_quotes(entry.name),
           entry.first, entry.last, data_bytes);
    }
    if (const uint64_t expected = bytes_of(entry, file); entry.last - entry.first != expected) {
      fail("{}: tensor {} has {} bytes, but {} {} takes {}", file, in_quotes(entry.name),
           entry.last - entry.first, entry.type->code, entry.shape.to_string(), expected);
    }
  }
  std::vector<const Entry*> order;
  for (const Entry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return a->first != b->first ? a->first < b->first : a->last < b->last;
  });
  uint64_t covered = 0;
  for (const Entry* entry : order) {
    if (entry->first < covered) fail("{}: tensor {} overlaps another", file, in_quotes(entry->name));
    if (entry->first > covered) {
      fail("{}: bytes {} to {} before tensor {} belong to no tensor", file, covered, entry->first,
           in_quotes(entry->name));
    }
    covered = entry->last;
  }
  if (covered != data_bytes) {
    fail("{}: the last {} bytes belong to no tensor", file, data_bytes - covered);
  }
}

}  // namespace haze::safetensors
