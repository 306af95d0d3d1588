#include <limits>

#include "engine/op_table/reference.h"
#include "engine/op_table/table.h"

namespace haze::test {
namespace {

using reference::AttentionMask;

constexpr int64_t kBatch = 2, kHeads = 2;
constexpr RandomPosition kPosition{11, 22, 333};

Tensor int32_tensor(const std::vector<int64_t>& values, Device device = Device::cpu) {
  return Tensor::from(std::vector<int32_t>(values.begin(), values.end()),
                      {static_cast<int64_t>(values.size())}, device);
}

Tensor uint8_tensor(const Array& x, Device device) {
  return Tensor::from(std::vector<uint8_t>(x.values.begin(), x.values.end()), x.shape, device);
}

AttentionOptions options_of(const AttentionMask& mask, Dtype dtype, Device device) {
  AttentionOptions options;
  options.scale = mask.scale;
  options.causal = mask.causal;
  options.dropout = mask.dropout;
  options.dropout_position = mask.position;
  options.block_size = mask.block_size;
  if (!mask.key_lengths.empty()) options.key_lengths = int32_tensor(mask.key_lengths, device);
  if (!mask.query_offsets.empty()) options.query_offsets = int32_tensor(mask.query_offsets, device);
  if (!mask.key_offsets.empty()) options.key_offsets = int32_tensor(mask.key_offsets, device);
  if (!mask.causal_offsets.empty()) options.causal_offsets = int32_tensor(mask.causal_offsets, device);
  if (mask.block_size > 0) options.block_mask = uint8_tensor(mask.block_mask, device);
  if (mask.pair_mask.values.empty()) return options;
  options.pair_mask = mask.adds_pair_mask
                          ? cast(Tensor::from(mask.pair_mask.values, mask.pair_mask.shape, device), dtype)
                          : uint8_tensor(mask.pair_mask, device);
  return options;
}
struct Problem {
  std::string name;
  int64_t batch, queries, keys, size;
  AttentionMask mask = {};
  int64_t heads = kHeads, key_heads = kHeads;
  std::vector<Layout> layouts = {Layout::dense, Layout::transposed};
};

AttentionMask with_dropout(AttentionMask mask) {
  mask.dropout = 0.3;
  mask.position = kPosition;
  return mask;
}

// A mask of blocks in which the second block of queries sees nothing.
AttentionMask blocks(int64_t queries, int64_t keys, int64_t size) {
  Array mask({(queries + size - 1) / size, (keys + size - 1) / size});
  for (size_t i = 0; i < mask.values.size(); ++i) {
    const Shape at = reference::index_of(static_cast<int64_t>(i), mask.shape);
    mask.values[i] = at[0] != 1 && (at[0] * 3 + at[1] * 5) % 4 != 1 ? 1 : 0;
  }
  return {.block_mask = mask, .block_size = size};
}

std::vector<Problem> problems_of_one_mask() {
  std::vector<Problem> list;
  for (bool causal : {false, true}) {
    const AttentionMask mask{.causal = causal};
    const char* text = causal ? "causal" : "all";
    for (int64_t size : {1, 8, 32, 64, 80}) list.push_back({text, kBatch, 65, 65, size, mask});
    for (int64_t length : {1, 5, 64, 130}) list.push_back({text, kBatch, length, length, 8, mask});
    for (const auto& [queries, keys] : {std::pair<int64_t, int64_t>{5, 65}, {1, 130}, {130, 64}, {65, 5}}) {
      list.push_back({text, kBatch, queries, keys, 8, mask});
    }
    list.push_back({text, kBatch, 0, 5, 8, mask});
    list.push_back({text, kBatch, 5, 0, 8, mask});
    list.push_back({text, kBatch, 300, 300, 8, mask});
    list.push_back({std::string(text) + " dropout", kBatch, 65, 65, 8, with_dropout(mask)});
    list.push_back({std::string(text) + " dropout", kBatch, 130, 133, 8, with_dropout(mask)});
    const AttentionMask lengths{.causal = causal, .key_lengths = {0, 40}};
    list.push_back({std::string(text) + " key_lengths", kBatch, 65, 65, 8, lengths});
    list.push_back({std::string(text) + " key_lengths dropout", kBatch, 65, 65, 8, with_dropout(lengths)});
    list.push_back(
        {std::string(text) + " key_lengths", 3, 5, 140, 8, {.causal = causal, .key_lengths = {140, 1, 129}}});
    for (const std::vector<int64_t>& offsets :
         {std::vector<int64_t>{0, 5, 5, 70, 200}, {0, 200}, {0, 0, 200, 200}, {0, 1, 200}}) {
      const AttentionMask packed{.causal = causal, .query_offsets = offsets};
      list.push_back({std::string(text) + " query_offsets", 1, 200, 200, 8, packed});
      if (offsets.size() < 5) continue;
      list.push_back({std::string(text) + " query_offsets dropout", 1, 200, 200, 8, with_dropout(packed)});
    }
    for (int64_t block : {1, 16, 7, 100}) {
      AttentionMask part = blocks(130, 150, block);
      part.causal = causal;
      list.push_back({fmt::format("{} blocks of {}", text, block), kBatch, 130, 150, 8, part});
      if (block != 7) continue;
      list.push_back(
          {fmt::format("{} blocks of {} dropout", text, block), kBatch, 130, 150, 8, with_dropout(part)});
    }
  }
  list.push_back({"scale 0.7", kBatch, 33, 33, 8, {.scale = 0.7}});
  return list;
}

// Ones and zeros without a pattern, of pairs or blocks.
Array scattered(const Shape& shape) {
  Array mask(shape);
  for (size_t i = 0; i < mask.values.size(); ++i) mask.values[i] = i * i % 7 > 2 ? 1 : 0;
  return mask;
}

// To be added to scores: multiples of 1/4, and -infinity.
Array added(const Shape& shape) {
  Array mask(shape);
  for (size_t i = 0; i < mask.values.size(); ++i) {
    mask.values[i] =
        i * i % 11 == 5 ? -std::numeric_limits<double>::infinity() : static_cast<double>(i * i % 13) / 4 - 2;
  }
  return mask;
}

// Ragged targets over ragged sources: a sequence without queries, one without keys, one with fewer keys than
// queries.
const std::vector<int64_t> kQueryOffsets = {0, 5, 5, 70, 74, 80}, kKeyOffsets = {0, 130, 140, 160, 160, 201};

std::vector<Problem> ragged_problems() {
  std::vector<Problem> list;
  const auto push = [&](const std::string& name, const AttentionMask& mask) {
    list.push_back({name, 1, 80, 201, 8, mask});
  };
  for (bool causal : {false, true}) {
    AttentionMask mask{.causal = causal, .query_offsets = kQueryOffsets, .key_offsets = kKeyOffsets};
    const std::string text = causal ? "ragged causal" : "ragged";
    push(text, mask);
    push(text + " dropout", with_dropout(mask));
    if (causal) {
      mask.causal_offsets = {125, 0, -30, 7, 300};
      push(text + " causal_offsets", mask);
    }
    mask.key_lengths = {129, 0, 11, 0, 41};
    push(text + " key_lengths", mask);
    mask.block_size = 10;
    mask.block_mask = scattered({7, 14});
    push(text + " key_lengths blocks", mask);
    mask.block_mask = scattered({5, 7, 13});
    push(text + " key_lengths blocks of each sequence", mask);
  }
  return list;
}

std::vector<Problem> pair_problems() {
  std::vector<Problem> list;
  for (const Shape& shape : {Shape{kBatch, kHeads, 7, 130}, Shape{kBatch, 1, 7, 130}, Shape{kHeads, 1, 130},
                             Shape{7, 1}, Shape{1, 1, 1, 130}}) {
    const std::string text = "pairs of " + shape.to_string();
    list.push_back({text, kBatch, 7, 130, 8, {.pair_mask = scattered(shape)}});
    list.push_back({text + " added", kBatch, 7, 130, 8, {.pair_mask = added(shape), .adds_pair_mask = true}});
  }
  list.push_back({"pairs dropout", kBatch, 7, 130, 8, with_dropout({.pair_mask = scattered({7, 130})})});
  AttentionMask mask{.scale = 0.3};
  mask.pair_mask = added({7, 130});
  mask.adds_pair_mask = true;
  list.push_back({"pairs added scale 0.3", kBatch, 7, 130, 8, mask});
  return list;
}

std::vector<Problem> combined_problems() {
  std::vector<Problem> list;
  const AttentionMask offsets{.causal = true, .causal_offsets = {124, -3}};
  list.push_back({"causal_offsets", kBatch, 5, 140, 8, offsets});
  const AttentionMask of_batch{.block_mask = scattered({kBatch, 5, 10}), .block_size = 13};
  list.push_back({"blocks of each batch entry", kBatch, 65, 130, 8, of_batch});
  Array diagonal({2, 2});
  diagonal.values = {1, 0, 0, 1};
  list.push_back(
      {"whole tiles without a pair", 1, 260, 260, 8, {.block_mask = diagonal, .block_size = 130}, 1, 1});
  list.push_back({"grouped heads", kBatch, 17, 130, 8, {}, 6, 2});
  list.push_back({"one head of keys", kBatch, 100, 17, 8, with_dropout({.causal = true}), 3, 1});
  AttentionMask all{.causal = true,
                    .key_lengths = {129, 4, 16, 0, 41},
                    .query_offsets = kQueryOffsets,
                    .key_offsets = kKeyOffsets};
  all.block_size = 3;
  all.block_mask = scattered({5, 22, 44});
  all.pair_mask = scattered({4, 80, 201});
  list.push_back({"everything", 1, 80, 201, 8, with_dropout(all), 4, 2});
  all.pair_mask = added({4, 80, 201});
  all.adds_pair_mask = true;
  list.push_back({"everything, pairs added", 1, 80, 201, 8, with_dropout(all), 4, 2});
  return list;
}

std::vector<Problem> problems() {
  std::vector<Problem> list = problems_of_one_mask();
  for (Problem& problem : list)
    problem.layouts = {Layout::dense, Layout::offset, Layout::stepped, Layout::transposed};
  for (auto more : {ragged_problems, pair_problems, combined_problems}) {
    for (Problem& problem : more()) list.push_back(std::move(problem));
  }
  return list;
}

std::string title(const std::string& function, const Problem& p) {
  return fmt::format("{} {} {}x{} heads of {}", function, p.name, p.queries, p.keys, p.size);
}

std::vector<Case> inputs_of(const Problem& p, double high) {
  const Input query{{p.batch, p.queries, p.heads, p.size}, -high, high};
  const Input key{{p.batch, p.keys, p.key_heads, p.size}, -high, high};
  return {{query, key, key, query}};
}

Row forward_row(const Problem& p, double high = 2) {
  Row row{.name = title("attention", p),
          .function = "attention",
          .dtypes = kFloating,
          .cases = inputs_of(p, high)};
  row.apply = [=](const Tensors& in, Dtype dtype) {
    const AttentionResult result = attention(in[0], in[1], in[2], options_of(p.mask, dtype, in[0].device()));
    return Tensors{result.output, result.row_max, result.row_sum};
  };
  row.reference = [=](const Arrays& in, Dtype) {
    const reference::AttentionOutput result = reference::attention(in[0], in[1], in[2], p.mask);
    return Arrays{result.output, result.row_max, result.row_sum};
  };
  row.layouts = p.layouts;
  row.optional_inputs = {3};  // there for the gradient
  return row;
}

// Units of 2^-24 by which the saved output is rounded: up to half a unit in the last place of bfloat16.
double output_units(Dtype dtype) {
  return dtype == Dtype::bfloat16 ? 0x1p16 : 0;
}

Row gradient_row(const Problem& p, double high = 2) {
  Row row = forward_row(p, high);
  row.name = title("attention_gradient", p);
  row.function = "attention_gradient";
  row.apply = [=](const Tensors& in, Dtype dtype) {
    const AttentionOptions options = options_of(p.mask, dtype, in[0].device());
    AttentionResult saved;  // where an input is undefined, the gradient is the one to say so
    if (in[0].defined() && in[1].defined() && in[2].defined()) {
      saved = attention(in[0], in[1], in[2], options);
    }
    const AttentionGradient result = attention_gradient(in[3], in[0], in[1], in[2], saved, options);
    return Tensors{result.query, result.key, result.value};
  };
  row.reference = [=](const Arrays& in, Dtype dtype) {
    const reference::AttentionGradients result =
        reference::attention_gradient(in[3], in[0], in[1], in[2], p.mask, output_units(dtype));
    return Arrays{result.query, result.key, result.value};
  };
  row.optional_inputs = {};
  row.refuses_other_dtypes = false;  // attention() would be the first to refuse them
  return row;
}

// One of query, key and value in a tensor [batch, rows, 3, heads, size], without a copy.
Tensor part(const Tensor& packed, int64_t which) {
  const Tensor one = slice(packed, 2, which, which + 1);
  return reshape(one, {one.size(0), one.size(1), one.size(3), one.size(4)});
}
Array part(const Array& packed, int64_t which) {
  Array one = reference::slice(packed, 2, which, which + 1);
  one.shape = {one.shape[0], one.shape[1], one.shape[3], one.shape[4]};
  return one;
}

// Inputs: query, key and value in one tensor, and the gradient of the output. The gradients are written into
// one tensor too.
Row packed_row(const Problem& p) {
  Row row{.name = title("attention and its gradient in packed tensors,", p),
          .function = "attention",
          .dtypes = kFloating,
          .cases = {{{{p.batch, p.queries, 3, kHeads, p.size}}, {{p.batch, p.queries, kHeads, p.size}}}}};
  row.apply = [=](const Tensors& in, Dtype dtype) {
    const AttentionOptions options = options_of(p.mask, dtype, in[0].device());
    const Tensor query = part(in[0], 0), key = part(in[0], 1), value = part(in[0], 2);
    const AttentionResult saved = attention(query, key, value, options);
    const Tensor packed = full(in[0].shape(), 77, dtype, in[0].device());
    const AttentionGradient into{part(packed, 0), part(packed, 1), part(packed, 2)};
    attention_gradient(in[1], query, key, value, saved, options, into);
    return Tensors{saved.output, part(packed, 0), part(packed, 1), part(packed, 2)};
  };
  row.reference = [=](const Arrays& in, Dtype dtype) {
    const Array query = part(in[0], 0), key = part(in[0], 1), value = part(in[0], 2);
    const reference::AttentionGradients gradient =
        reference::attention_gradient(in[1], query, key, value, p.mask, output_units(dtype));
    return Arrays{reference::attention(query, key, value, p.mask).output, gradient.query, gradient.key,
                  gradient.value};
  };
  row.layouts = {Layout::dense, Layout::offset};
  row.optional_inputs = {0, 1};  // the operations are handed parts of them
  return row;
}

// q, k and v [1, 6, 2, 4] with options that do not fit them.
void refuse_options(Row& row) {
  const auto call = [gradient = row.function != "attention"](const AttentionOptions& options) {
    const Tensor x = ones({1, 6, 2, 4});
    if (!gradient) {
      attention(x, x, x, options);
    } else {
      attention_gradient(x, x, x, x, attention(x, x, x, {}), options);
    }
  };
  const auto refuse = [&](const std::string& what, auto change) {
    row.refused.push_back({what, [=] {
                             AttentionOptions options;
                             change(options);
                             call(options);
                           }});
  };
  using O = AttentionOptions;
  refuse("dropout 1", [](O& o) { o.dropout = 1; });
  refuse("negative dropout", [](O& o) { o.dropout = -0.1; });
  refuse("a dropout that is no number", [](O& o) { o.dropout = std::nan(""); });
  refuse("too many key_lengths", [](O& o) { o.key_lengths = int32_tensor({3, 3}); });
  refuse("a key length past the end", [](O& o) { o.key_lengths = int32_tensor({7}); });
  refuse("a negative key length", [](O& o) { o.key_lengths = int32_tensor({-1}); });
  refuse("key_lengths of float32", [](O& o) { o.key_lengths = ones({1}); });
  refuse("a block_mask without block_size", [](O& o) { o.block_mask = ones({3, 3}, Dtype::uint8); });
  refuse("a block_mask of another shape", [](O& o) {
    o.block_mask = ones({2, 3}, Dtype::uint8);
    o.block_size = 2;
  });
  refuse("a block_mask of float32", [](O& o) {
    o.block_mask = ones({3, 3});
    o.block_size = 2;
  });
  refuse("a block_mask of another batch", [](O& o) {
    o.block_mask = ones({2, 3, 3}, Dtype::uint8);
    o.block_size = 2;
  });
  refuse("a block_mask of one axis", [](O& o) {
    o.block_mask = ones({3}, Dtype::uint8);
    o.block_size = 2;
  });
  refuse("offsets that fall", [](O& o) { o.query_offsets = int32_tensor({0, 4, 3, 6}); });
  refuse("offsets that end early", [](O& o) { o.query_offsets = int32_tensor({0, 4}); });
  refuse("offsets that begin late", [](O& o) { o.query_offsets = int32_tensor({1, 6}); });
  refuse("no offsets", [](O& o) { o.query_offsets = int32_tensor({}); });
  refuse("offsets of float32", [](O& o) { o.query_offsets = ones({2}); });
  refuse("key_offsets alone", [](O& o) { o.key_offsets = int32_tensor({0, 6}); });
  refuse("causal_offsets without causal", [](O& o) { o.causal_offsets = int32_tensor({0}); });
  refuse("too many causal_offsets", [](O& o) {
    o.causal = true;
    o.causal_offsets = int32_tensor({0, 0});
  });
  refuse("pairs of another length", [](O& o) { o.pair_mask = ones({6, 5}, Dtype::uint8); });
  refuse("pairs of five axes", [](O& o) { o.pair_mask = ones({1, 1, 2, 6, 6}, Dtype::uint8); });
  refuse("pairs of int32", [](O& o) { o.pair_mask = ones({6, 6}, Dtype::int32); });
  refuse("pairs of float64 for float32", [](O& o) { o.pair_mask = ones({6, 6}, Dtype::float64); });
  const auto refuse_ragged = [&](const std::string& what, auto change) {
    refuse(what, [change](O& o) {
      o.query_offsets = int32_tensor({0, 4, 6});
      change(o);
    });
  };
  refuse_ragged("key_offsets that fall", [](O& o) { o.key_offsets = int32_tensor({0, 7, 6}); });
  refuse_ragged("key_offsets of three sequences", [](O& o) { o.key_offsets = int32_tensor({0, 2, 4, 6}); });
  refuse_ragged("key lengths past a sequence", [](O& o) { o.key_lengths = int32_tensor({4, 3}); });
  refuse_ragged("one key length", [](O& o) { o.key_lengths = int32_tensor({4}); });
  refuse_ragged("a block_mask for shorter sequences", [](O& o) {
    o.block_mask = ones({2, 1}, Dtype::uint8);
    o.block_size = 2;
  });
}

void refuse_gradient_arguments(Row& row) {
  const auto call = [](const Tensor& g, const Tensor& x, const AttentionGradient& into = {}) {
    const Tensor good = ones({1, 6, 2, 4});
    attention_gradient(g, x, x, x, attention(good, good, good, {}), {}, into);
  };
  const Tensor good = ones({1, 6, 2, 4});
  row.refused.push_back({"g of another shape", [=] { call(ones({1, 6, 4, 2}), good); }});
  row.refused.push_back({"g of another dtype", [=] { call(ones({1, 6, 2, 4}, Dtype::float64), good); }});
  for (Dtype dtype : {Dtype::int32, Dtype::uint8}) {
    const Tensor x = ones({1, 6, 2, 4}, dtype);
    row.refused.push_back({std::string(name(dtype)), [=] { call(x, x); }});
  }
  row.refused.push_back({"a target of another shape", [=] {
                           call(good, good, {.query = ones({1, 6, 2, 5})});
                         }});
  row.refused.push_back({"a target of another dtype", [=] {
                           call(good, good, {.query = ones({1, 6, 2, 4}, Dtype::float64)});
                         }});
  row.refused.push_back({"a target without unit stride", [=] {
                           call(good, good, {.query = transpose(ones({1, 6, 4, 2}))});
                         }});
}

Row counters_row() {
  Row row{
      .name = "attention_dropout_counters", .function = "attention_dropout_counters", .dtypes = kFloating};
  row.cases = {{{{2, 5, 3, 8}}, {{2, 9, 3, 8}}}, {{{1, 1, 1, 1}}, {{1, 4, 1, 1}}}};
  row.apply = [](const Tensors& in, Dtype) {
    return Tensors{full({}, static_cast<double>(attention_dropout_counters(in[0], in[1])))};
  };
  row.reference = [](const Arrays& in, Dtype) {
    const Shape &q = in[0].shape, &k = in[1].shape;
    return Arrays{
        Array(Shape{}, static_cast<double>(q[0] * q[1] * q[2]) * std::ceil(static_cast<double>(k[1]) / 4))};
  };
  row.refused_shapes = {{{{2, 3, 4}}, {{2, 3, 4, 5}}}, {{{2, 3, 4, 5}}, {{2, 3, 4}}}};
  row.refuses_other_dtypes = false;
  return row;
}

}  // namespace

std::vector<Row> attention_rows() {
  std::vector<Row> rows;
  for (const Problem& problem : problems()) {
    rows.push_back(forward_row(problem));
    rows.push_back(gradient_row(problem));
  }
  rows[0].refused_shapes = {{{{1, 6, 2, 4}}, {{1, 6, 2, 5}}, {{1, 6, 2, 4}}, {{1}}},
                            {{{1, 6, 2, 4}}, {{1, 6, 2, 4}}, {{1, 5, 2, 4}}, {{1}}},
                            {{{1, 6, 2, 4}}, {{2, 6, 2, 4}}, {{2, 6, 2, 4}}, {{1}}},
                            {{{6, 2, 4}}, {{6, 2, 4}}, {{6, 2, 4}}, {{1}}},
                            {{{1, 6, 2, 0}}, {{1, 6, 2, 0}}, {{1, 6, 2, 0}}, {{1}}},
                            {{{1, 6, 3, 4}}, {{1, 6, 2, 4}}, {{1, 6, 2, 4}}, {{1}}},
                            {{{1, 6, 2, 4}}, {{1, 6, 0, 4}}, {{1, 6, 0, 4}}, {{1}}},
                            {{{1, 6, 2, 4}}, {{1, 6, 2, 4}}, {{1, 6, 1, 4}}, {{1}}}};
  refuse_options(rows[0]);
  refuse_options(rows[1]);
  refuse_gradient_arguments(rows[1]);
  // Scores up to several thousand: softmax becomes the choice of one key.
  rows.push_back(forward_row({"of large scores", kBatch, 65, 65, 32}, 60));
  const AttentionMask packed{.causal = true, .query_offsets = {0, 5, 5, 70, 130}};
  rows.push_back(packed_row({"all", kBatch, 65, 65, 32}));
  rows.push_back(packed_row({"query_offsets", 1, 130, 130, 8, with_dropout(packed)}));
  rows.push_back(counters_row());
  return rows;
}

}  // namespace haze::test
