#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/tools/run/compare_table.h"

#include "error_of.h"
#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;

namespace {

CompareTable read(const TemporaryFolder& folder, const std::string& toml) {
  write_text(folder / "table.toml", toml);
  return read_compare_table(folder / "table.toml");
}

/// The error of a table, without the folder's path.
std::string refusal(const std::string& toml) {
  const TemporaryFolder folder;
  std::string sentence = error_of([&] { read(folder, toml); });
  const std::string path = folder.path().string() + "/";
  for (size_t at = sentence.find(path); at != std::string::npos; at = sentence.find(path))
    sentence.erase(at, path.size());
  return sentence;
}

/// A table of one right row, with more lines in the row.
std::string with_row(const std::string& lines) {
  return "seeds = [1]\n[[rows]]\nname = \"a\"\n" + lines;
}

}  // namespace

TEST_CASE("a table's file gives rows with resolved settings, what they share first and their own later") {
  const TemporaryFolder folder;
  write_text(folder / "small.toml", "[train]\nsteps = 7\nbatch_size = 3\nlog_every = 5\n");
  write_text(folder / "other.txt", "a text\n");
  const CompareTable table = read(folder, fmt::format(R"(
title = "Two rows"
runs = "somewhere/else"
seeds = [4, 2]
set = ["train.batch_size=4", "train.log_every=2"]
columns = ["nats_per_token", {{ measure = "perplexity", heading = "PPL", decimals = 1 }}]
[evaluation]
examples = 5
passes = 6
samples = 0
seed = 9
set = ["sample.count=3"]
[[rows]]
name = "a"
config = "{0}/small.toml"
set = ["train.log_every=1"]
[[rows]]
name = "b"
seeds = [8]
data = "{0}/other.txt"
eval_set = ["data.format=lines", "sample.count=2"]
)",
                                                      folder.path().string()));
  CHECK(table.title == "Two rows");
  CHECK(table.runs == "somewhere/else");
  CHECK(table.evaluation.examples == 5);
  CHECK(table.evaluation.passes == 6);
  CHECK(table.evaluation.samples == 0);
  CHECK(table.evaluation.seed == 9);
  REQUIRE(table.columns.size() == 2);
  CHECK(table.columns[0].heading == "nats_per_token");
  CHECK(table.columns[1].heading == "PPL");
  CHECK(table.columns[1].decimals == 1);
  REQUIRE(table.rows.size() == 2);
  const CompareRow &a = table.rows[0], &b = table.rows[1];
  CHECK(a.seeds == std::vector<int64_t>{4, 2});
  CHECK(a.training.integer("train.steps") == 7);
  CHECK(a.training.integer("train.batch_size") == 4);
  CHECK(a.training.integer("train.log_every") == 1);
  CHECK(a.training.integer("data.min_count") == 1);  // 0, resolved
  CHECK(a.evaluation.integer("sample.count") == 3);
  CHECK(a.data.empty());
  CHECK(b.seeds == std::vector<int64_t>{8});
  CHECK(b.training.integer("sample.count") == 8);
  CHECK(b.evaluation.integer("sample.count") == 2);
  CHECK(b.evaluation.text("data.format") == "lines");
  CHECK(b.training.text("data.format") == "e2e");
  CHECK(b.data == folder / "other.txt");
}

TEST_CASE("a table's title and the folder of its runs have the file's name where it gives none") {
  const TemporaryFolder folder;
  const CompareTable table = read(folder, with_row(""));
  CHECK(table.title == "table");
  CHECK(table.runs == "runs/tables/table");
  CHECK(table.columns.empty());
  CHECK(table.evaluation.passes == 8);
}

TEST_CASE("the folder of a run is named after row and seed, and is no path") {
  CHECK(run_name("small", 3) == "small-seed-3");
  CHECK(run_name("a small/../model, 2.5", 10) == "a-small-..-model--2.5-seed-10");
  CHECK(run_name("größer", 1) == "größer-seed-1");
}

TEST_CASE("keys that a table does not have are refused with line and nearest key") {
  CHECK(refusal("titel = \"x\"\n") == "table.toml:1: a table has no 'titel'; did you mean 'title'?");
  CHECK(refusal(with_row("sets = []\n")) == "table.toml:4: a row has no 'sets'; did you mean 'set'?");
  CHECK(refusal("[evaluation]\nexamplse = 3\n") ==
        "table.toml:2: [evaluation] has no 'examplse'; did you mean 'examples'?");
  CHECK(refusal("columns = [{ measure = \"x\", title = \"y\" }]\n") ==
        "table.toml:1: a column has no 'title'; it has measure, heading, decimals");
  CHECK(refusal("seeds = [1\n[[rows]]\n").starts_with("table.toml:2: this is not TOML: "));
  const TemporaryFolder folder;
  CHECK(error_of([&] { read_compare_table(folder / "none.toml"); }) ==
        (folder / "none.toml").string() + ": there is no such file");
}

TEST_CASE("values of the wrong kind are refused with their line") {
  CHECK(refusal("title = 3\n") == "table.toml:1: 'title' takes a text");
  CHECK(refusal("runs = \"\"\n") == "table.toml:1: 'runs' takes a text");
  CHECK(refusal("seeds = 1\n") == "table.toml:1: 'seeds' takes a list of whole numbers of at least 0");
  CHECK(refusal("seeds = [1,\n-2]\n") == "table.toml:2: 'seeds' takes a list of whole numbers of at least 0");
  CHECK(refusal("seeds = [1, 1]\n") == "table.toml:1: the seed 1 is there twice");
  CHECK(refusal("seeds = []\n") == "table.toml:1: 'seeds' is empty: a row has at least one run");
  CHECK(refusal("columns = [3]\n") ==
        "table.toml:1: a column is a measure's name, or { measure = ..., heading = ... }");
  CHECK(refusal("columns = [{ heading = \"x\" }]\n") == "table.toml:1: a column without 'measure'");
  CHECK(refusal("columns = [\"x\",\n\"x\"]\n") == "table.toml:2: the column 'x' is there twice");
  CHECK(refusal("evaluation = 3\n") == "table.toml:1: 'evaluation' is a section: [evaluation]");
  CHECK(refusal("[evaluation]\npasses = 1\n") ==
        "table.toml:2: 'passes' takes a whole number from 5 to 100000");
  CHECK(refusal(with_row("set = [3]\n")) ==
        "table.toml:4: 'set' takes a list of assignments such as \"train.steps=300\"");
}

TEST_CASE("rows that are missing, without a name or without seeds are refused") {
  CHECK(refusal("seeds = [1]\n") == "table.toml: the table has no [[rows]]");
  CHECK(refusal("rows = [3]\n") == "table.toml:1: a row is a section [[rows]]");
  CHECK(refusal("seeds = [1]\n[[rows]]\nset = []\n") == "table.toml:2: a row without 'name'");
  CHECK(refusal("[[rows]]\nname = \"a\"\n") ==
        "table.toml:1: the row 'a' has no 'seeds', and neither has the table");
  CHECK(refusal(with_row("[[rows]]\nname = \"a\"\n")) ==
        "table.toml:5: the runs of the rows 'a' and 'a' would be in the same folders; rename one");
  CHECK(refusal("seeds = [1]\n[[rows]]\nname = \"a b\"\n[[rows]]\nname = \"a/b\"\n") ==
        "table.toml:5: the runs of the rows 'a b' and 'a/b' would be in the same folders; rename one");
  CHECK(refusal("seeds = [1]\n[[rows]]\nname = \"a\\nb\"\n") ==
        "table.toml:3: a row's name is one line of at most 100 bytes");
}

TEST_CASE("settings that are wrong are refused with the line of the assignment or of the row") {
  CHECK(refusal(with_row("set = [\"train.steps=5\",\n\"train.stesp=5\"]\n")) ==
        "table.toml:5: train.stesp=5: there is no setting 'train.stesp'; did you mean 'train.steps'?");
  CHECK(refusal(with_row("set = [\"train.steps=0\"]\n")) ==
        "table.toml:4: train.steps=0: 'train.steps' takes an integer of at least 1, not '0'");
  CHECK(refusal("set = [\"train.steps=0\"]\n" + with_row("")) ==
        "table.toml:1: train.steps=0: 'train.steps' takes an integer of at least 1, not '0'");
  CHECK(refusal(with_row("set = [\"train.seed=5\"]\n")) ==
        "table.toml:4: train.seed is not set here: the seeds of a row are its 'seeds'");
  CHECK(refusal(with_row("set = [\"data.format=lines\"]\n")) ==
        "table.toml:2: row 'a': data.format lines is for files of one's own; the built-in corpus is e2e");
  CHECK(refusal(with_row("set = [\"model=nothing-like-it\"]\n"))
            .starts_with("table.toml:4: model=nothing-like-it: there is no model 'nothing-like-it'"));
}

TEST_CASE("files that are missing are refused before anything is trained") {
  CHECK(refusal(with_row("config = \"none.toml\"\n")) ==
        "table.toml:4: cannot read the configuration none.toml: No such file or directory");
  CHECK(refusal(with_row("data = \"none.txt\"\n")) == "table.toml:4: there is no file none.txt");
  CHECK(refusal("[evaluation]\ndata = \"none.txt\"\n") == "table.toml:2: there is no file none.txt");
  CHECK(refusal(with_row("set = [\"data.train=none.txt\", \"data.valid=none.txt\"]\n")) ==
        "table.toml:2: row 'a': data.train: there is no file none.txt");
  const TemporaryFolder folder;
  write_text(folder / "wrong.toml", "[train]\nstpes = 3\n");
  CHECK(error_of([&] {
          read(folder, with_row(fmt::format("config = \"{}\"\n", (folder / "wrong.toml").string())));
        }) ==
        fmt::format("{0}/table.toml:4: {0}/wrong.toml:2: there is no setting 'train.stpes'; did you mean "
                    "'train.steps'?",
                    folder.path().string()));
}

TEST_CASE("an evaluation sets how to sample and how its own file is read, and nothing else") {
  CHECK(
      refusal(with_row("eval_set = [\"train.steps=5\"]\n")) ==
      "table.toml:4: train.steps=5: a trained model is what it is: of the file of 'data', an evaluation can "
      "change data.format, data.too_long and data.max_line_bytes, and of the model the settings of [sample]");
  CHECK(refusal(with_row("eval_set = [\"data.format=lines\"]\n")) ==
        "table.toml:4: data.format=lines says how to read the file of 'data', and there is none");
  CHECK(refusal("[evaluation]\nset = [\"sample.count=0\"]\n" +
                std::string("[[rows]]\nname = \"a\"\nseeds = [1]\n")) ==
        "table.toml:2: sample.count=0: 'sample.count' takes an integer of at least 1, not '0'");
}
