#include "haze/tools/run/compare_table.h"

#include <algorithm>
#include <functional>
#include <set>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"
#include "haze/nn/nesting.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/training_settings.h"
#include "haze/tools/tasks/judge.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

namespace fs = std::filesystem;

/// A "key=value" and where it stands in the table's file.
struct Assignment {
  std::string text, where;
};

std::vector<std::string> texts_of(const std::vector<Assignment>& assignments) {
  std::vector<std::string> texts;
  for (const Assignment& assignment : assignments) texts.push_back(assignment.text);
  return texts;
}

/// A table of the TOML document with the keys that it may have.
class Section {
 public:
  /// Throws Error on a key that is not in `keys`. `name` is what errors call the section: "a row".
  Section(const toml::table& table, const std::string& source, std::string name,
          const std::vector<std::string>& keys)
      : table_(table), source_(source), name_(std::move(name)) {
    for (const auto& [key, node] : table_) {
      if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
        fail_unknown(std::string(key.str()), where(key), keys);
    }
  }

  std::string where() const { return at(table_.source().begin.line); }
  std::string where(std::string_view key) const {
    const auto found = table_.find(key);
    return found == table_.end() ? where() : where(found->first);
  }
  bool has(std::string_view key) const { return table_.contains(key); }
  const toml::node* node(std::string_view key) const { return table_.get(key); }
  std::string at(const toml::node& node) const { return at(node.source().begin.line); }

  /// The text of a key, or `otherwise` where it is missing.
  std::string text(std::string_view key, const std::string& otherwise = "") const {
    if (!has(key)) return otherwise;
    const auto value = node(key)->value_exact<std::string>();
    if (!value || trim(*value).empty()) fail("{}: '{}' takes a text", where(key), key);
    return *value;
  }

  int64_t integer(std::string_view key, int64_t otherwise, int64_t minimum, int64_t maximum) const {
    if (!has(key)) return otherwise;
    const auto value = node(key)->value_exact<int64_t>();
    if (!value || *value < minimum || *value > maximum)
      fail("{}: '{}' takes a whole number from {} to {}", where(key), key, minimum, maximum);
    return *value;
  }

  /// The elements of a list; none where the key is missing.
  std::vector<const toml::node*> list(std::string_view key, std::string_view of) const {
    std::vector<const toml::node*> elements;
    if (!has(key)) return elements;
    const toml::array* array = node(key)->as_array();
    if (!array) fail("{}: '{}' takes a list of {}", where(key), key, of);
    for (const toml::node& element : *array) elements.push_back(&element);
    return elements;
  }

  std::vector<Assignment> assignments(std::string_view key) const {
    constexpr std::string_view kOf = "assignments such as \"train.steps=300\"";
    std::vector<Assignment> assignments;
    for (const toml::node* element : list(key, kOf)) {
      const auto text = element->value_exact<std::string>();
      if (!text) fail("{}: '{}' takes a list of {}", at(*element), key, kOf);
      assignments.push_back({*text, at(*element)});
    }
    return assignments;
  }

 private:
  std::string where(const toml::key& key) const { return at(key.source().begin.line); }
  std::string at(toml::source_index line) const { return fmt::format("{}:{}", source_, line); }

  [[noreturn]] void fail_unknown(const std::string& key, const std::string& where,
                                 const std::vector<std::string>& keys) const {
    const std::string nearest = nearest_name(keys, key);
    if (!nearest.empty()) fail("{}: {} has no '{}'; did you mean '{}'?", where, name_, key, nearest);
    fail("{}: {} has no '{}'; it has {}", where, name_, key, fmt::join(keys, ", "));
  }

  const toml::table& table_;
  const std::string& source_;
  std::string name_;
};

std::vector<int64_t> read_seeds(const Section& section, const std::vector<int64_t>& otherwise) {
  if (!section.has("seeds")) return otherwise;
  constexpr std::string_view kOf = "whole numbers of at least 0";
  std::vector<int64_t> seeds;
  for (const toml::node* element : section.list("seeds", kOf)) {
    const auto seed = element->value_exact<int64_t>();
    if (!seed || *seed < 0) fail("{}: 'seeds' takes a list of {}", section.at(*element), kOf);
    if (std::find(seeds.begin(), seeds.end(), *seed) != seeds.end())
      fail("{}: the seed {} is there twice", section.at(*element), *seed);
    seeds.push_back(*seed);
  }
  if (seeds.empty()) fail("{}: 'seeds' is empty: a row has at least one run", section.where("seeds"));
  return seeds;
}

CompareColumn read_column(const toml::node& node, const std::string& source, const std::string& where) {
  if (const auto measure = node.value_exact<std::string>(); measure && !measure->empty())
    return {*measure, *measure, {}, where};
  const toml::table* table = node.as_table();
  if (!table) fail("{}: a column is a measure's name, or {{ measure = ..., heading = ... }}", where);
  const Section column(*table, source, "a column", {"measure", "heading", "decimals"});
  const std::string measure = column.text("measure");
  if (measure.empty()) fail("{}: a column without 'measure'", where);
  CompareColumn result{measure, column.text("heading", measure), {}, where};
  if (column.has("decimals")) result.decimals = static_cast<int>(column.integer("decimals", 0, 0, 12));
  return result;
}

std::vector<CompareColumn> read_columns(const Section& section, const std::string& source) {
  std::vector<CompareColumn> columns;
  for (const toml::node* element : section.list("columns", "measures")) {
    const std::string where = section.at(*element);
    columns.push_back(read_column(*element, source, where));
    const auto is_it = [&](const CompareColumn& other) { return other.measure == columns.back().measure; };
    if (std::any_of(columns.begin(), columns.end() - 1, is_it))
      fail("{}: the column '{}' is there twice", where, columns.back().measure);
  }
  return columns;
}

/// What all rows have in common.
struct Shared {
  std::string source;
  std::vector<int64_t> seeds;
  std::vector<Assignment> assignments, evaluation_assignments;
  std::string data;
};

CompareEvaluation read_evaluation(const toml::table& document, Shared& shared) {
  CompareEvaluation evaluation;
  const toml::node* node = document.get("evaluation");
  if (!node) return evaluation;
  const toml::table* table = node->as_table();
  if (!table)
    fail("{}:{}: 'evaluation' is a section: [evaluation]", shared.source, node->source().begin.line);
  const Section section(*table, shared.source, "[evaluation]",
                        {"examples", "passes", "samples", "seed", "data", "set"});
  constexpr int64_t kMost = int64_t{1} << 40;
  evaluation.examples = section.integer("examples", evaluation.examples, 0, kMost);
  evaluation.passes = static_cast<int>(section.integer("passes", evaluation.passes, kFewestPasses, 100000));
  if (section.has("samples")) evaluation.samples = section.integer("samples", 0, 0, kMost);
  evaluation.seed = static_cast<uint64_t>(section.integer("seed", 1, 0, kMost));
  shared.data = section.text("data");
  if (!shared.data.empty() && !fs::is_regular_file(shared.data))
    fail("{}: there is no file {}", section.where("data"), shared.data);
  shared.evaluation_assignments = section.assignments("set");
  return evaluation;
}

/// Runs an action on assignments, whose error names the one at fault, where it is one, by its line.
void with_lines(const std::vector<Assignment>& assignments, const std::string& where,
                const std::function<void(const std::vector<std::string>&)>& action) {
  constexpr std::string_view kOption = "--set ";
  try {
    action(texts_of(assignments));
  } catch (const Error& error) {
    const std::string sentence = error.what();
    for (const Assignment& assignment : assignments) {
      if (sentence.starts_with(fmt::format("{}{}", kOption, assignment.text)))
        fail("{}: {}", assignment.where, sentence.substr(kOption.size()));
    }
    fail("{}: {}", where, sentence);
  }
}

void check_files(const Settings& settings, const std::string& where) {
  for (const char* key : {"data.train", "data.valid", "data.test"}) {
    if (!settings.has(key) || settings.text(key).empty()) continue;
    if (!fs::is_regular_file(settings.text(key)))
      fail("{}: {}: there is no file {}", where, key, settings.text(key));
  }
}

Settings training_settings(const Section& section, const std::string& row,
                           const std::vector<Assignment>& assignments) {
  std::optional<fs::path> configuration;
  if (section.has("config")) configuration = section.text("config");
  std::optional<Settings> settings;
  // The file by itself first: what is wrong in it is no fault of an assignment.
  with_lines({}, section.where("config"), [&](const auto&) { settings_from(configuration, {}); });
  for (const Assignment& assignment : assignments) {
    if (trim(std::string_view(assignment.text).substr(0, assignment.text.find('='))) == "train.seed")
      fail("{}: train.seed is not set here: the seeds of a row are its 'seeds'", assignment.where);
  }
  with_lines(assignments, section.where(),
             [&](const std::vector<std::string>& texts) { settings = settings_from(configuration, texts); });
  with_lines({}, fmt::format("{}: row '{}'", section.where(), row),
             [&](const auto&) { resolve_training_settings(*settings); });
  check_files(*settings, fmt::format("{}: row '{}'", section.where(), row));
  return *settings;
}

std::string read_name(const Section& section) {
  const std::string name = section.text("name");
  if (name.empty()) fail("{}: a row without 'name'", section.where());
  const bool has_control =
      std::any_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (has_control || name.size() > 100)
    fail("{}: a row's name is one line of at most 100 bytes", section.where("name"));
  return name;
}

CompareRow read_row(const toml::table& table, const Shared& shared) {
  const Section section(table, shared.source, "a row",
                        {"name", "config", "set", "seeds", "eval_set", "data"});
  const std::string name = read_name(section);
  std::vector<Assignment> assignments = shared.assignments;
  for (Assignment& own : section.assignments("set")) assignments.push_back(std::move(own));
  const Settings training = training_settings(section, name, assignments);
  const std::string data = section.text("data", shared.data);
  if (!data.empty() && !fs::is_regular_file(data))
    fail("{}: there is no file {}", section.where("data"), data);
  std::vector<Assignment> evaluation_assignments = shared.evaluation_assignments;
  for (Assignment& own : section.assignments("eval_set")) evaluation_assignments.push_back(std::move(own));
  Settings evaluation = training;
  with_lines(evaluation_assignments, section.where(), [&](const std::vector<std::string>& texts) {
    set_for_evaluation(texts, !data.empty(), evaluation, "an evaluation", "'data'");
  });
  const std::vector<int64_t> seeds = read_seeds(section, shared.seeds);
  if (seeds.empty())
    fail("{}: the row '{}' has no 'seeds', and neither has the table", section.where(), name);
  return {name, section.where("name"), seeds, training, evaluation, data};
}

std::vector<CompareRow> read_rows(const Section& section, const Shared& shared) {
  std::vector<CompareRow> rows;
  for (const toml::node* element : section.list("rows", "sections [[rows]]")) {
    const toml::table* table = element->as_table();
    if (!table) fail("{}: a row is a section [[rows]]", section.at(*element));
    rows.push_back(read_row(*table, shared));
    for (size_t i = 0; i + 1 < rows.size(); ++i) {
      if (run_name(rows[i].name, 0) != run_name(rows.back().name, 0)) continue;
      fail("{}: the runs of the rows '{}' and '{}' would be in the same folders; rename one",
           rows.back().where, rows[i].name, rows.back().name);
    }
  }
  if (rows.empty()) fail("{}: the table has no [[rows]]", shared.source);
  return rows;
}

/// A row can stand on other runs: they are there, or an earlier row trains them.
void check_frozen_runs(const CompareTable& table) {
  std::set<fs::path> trained;
  const auto check = [&](const CompareRow& row, const std::string& key, const fs::path& run) {
    if (run.empty() || fs::is_directory(run) || trained.contains(run.lexically_normal())) return;
    fail("{}: {}: there is no run '{}', and no earlier row trains it", row.where, key, run.string());
  };
  for (const CompareRow& row : table.rows) {
    for (const std::string& key : model_row(row.training.text("model")).info.frozen) {
      const fs::path run = (is_of_sampling(key) ? row.evaluation : row.training).text(key);
      check(row, key, run);
    }
    for (const int64_t seed : row.seeds)
      trained.insert((table.runs / run_name(row.name, seed)).lexically_normal());
    // A row may be the classifier that judges the others, and itself.
    check(row, "data.judge", judge_folder(row.evaluation));
    if (row.evaluation.has("control.judge"))
      check(row, "control.judge", row.evaluation.text("control.judge"));
  }
}

}  // namespace

CompareTable read_compare_table(const fs::path& file) {
  if (!fs::is_regular_file(file)) fail("{}: there is no such file", file.string());
  const std::string contents = read_whole_file(file);
  Shared shared;
  shared.source = file.string();
  require_shallow(contents, shared.source);
  toml::table document;
  try {
    document = toml::parse(contents, shared.source);
  } catch (const toml::parse_error& error) {
    fail("{}:{}: this is not TOML: {}", shared.source, error.source().begin.line, error.description());
  }
  const Section section(document, shared.source, "a table",
                        {"title", "runs", "seeds", "set", "columns", "evaluation", "rows"});
  shared.seeds = read_seeds(section, {});
  shared.assignments = section.assignments("set");
  CompareTable table;
  const std::string name = file.stem().string();
  table.title = section.text("title", name);
  table.runs = section.text("runs", (fs::path("runs/tables") / name).string());
  table.columns = read_columns(section, shared.source);
  table.evaluation = read_evaluation(document, shared);
  table.rows = read_rows(section, shared);
  check_frozen_runs(table);
  return table;
}

CompareEvaluation evaluation_of(const CompareTable& table, int64_t training_seed) {
  CompareEvaluation evaluation = table.evaluation;
  evaluation.seed += static_cast<uint64_t>(training_seed);
  return evaluation;
}

std::string run_name(const std::string& row, int64_t seed) {
  std::string name = row;
  for (char& c : name) {
    const bool keep = static_cast<unsigned char>(c) >= 0x80 || std::isalnum(static_cast<unsigned char>(c)) ||
                      c == '_' || c == '.' || c == '-';
    if (!keep) c = '-';
  }
  return fmt::format("{}-seed-{}", name, seed);
}

}  // namespace haze
