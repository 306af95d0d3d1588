#include "haze/nn/settings.h"

#include <functional>
#include <limits>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/engine/cpu/machine.h"
#include "haze/engine/error.h"
#include "haze/tools/run/configuration.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/training_settings.h"

#include "error_of.h"
#include "temporary_folder.h"

using haze::Settings;
using haze::testing::error_of;

namespace {

/// Every setting of the default model.
const haze::SettingsTable& training_settings() {
  static const haze::SettingsTable table = haze::settings_table(haze::model_row("mdlm").info);
  return table;
}

void read_text(Settings& settings, const std::string& toml, const std::string& source) {
  haze::apply_configuration(haze::parse_configuration(toml, source), settings);
}

std::string error_in_file(const std::string& toml) {
  return error_of([&] {
    Settings settings(training_settings());
    read_text(settings, toml, "run.toml");
  });
}

std::string error_of_override(const std::string& assignment) {
  return error_of([&] { Settings(training_settings()).override_with(assignment); });
}

}  // namespace

TEST_CASE("settings start with the defaults of their table") {
  const Settings settings(training_settings());
  CHECK(settings.integer("transformer.layers") == 4);
  CHECK(settings.real("optimizer.learning_rate") == 1e-3);
  CHECK(settings.boolean("mdlm.antithetic"));
  CHECK(settings.text("data.format") == "e2e");
  CHECK(settings.text("data.train").empty());
}

TEST_CASE("a file overrides the defaults and --set overrides the file") {
  haze::testing::TemporaryFolder folder;
  haze::testing::write_text(folder / "run.toml",
                            "[transformer]\nlayers = 6\nhidden = 128 # wide\n[optimizer]\nlearning_rate = 1\n"
                            "[mdlm]\nantithetic = false\nschedule = 'cosine'\n");
  Settings settings(training_settings());
  haze::apply_configuration(haze::parse_configuration_file(folder / "run.toml"), settings);
  CHECK(settings.integer("transformer.hidden") == 128);
  CHECK(settings.real("optimizer.learning_rate") == 1.0);
  CHECK_FALSE(settings.boolean("mdlm.antithetic"));
  settings.override_with("transformer.layers=2");
  settings.override_with("optimizer.learning_rate = 3e-4");
  settings.override_with("data.train=some/file=name.txt");
  settings.override_with("mdlm.schedule=\"polynomial\"");
  CHECK(settings.integer("transformer.layers") == 2);
  CHECK(settings.real("optimizer.learning_rate") == 3e-4);
  CHECK(settings.text("data.train") == "some/file=name.txt");
  CHECK(settings.text("mdlm.schedule") == "polynomial");
  CHECK(settings.integer("transformer.heads") == 8);
}

TEST_CASE("an unknown key is named with file and line, and the nearest right one is suggested") {
  CHECK(error_in_file("[transformer]\nlayers = 2\nhiden = 3\n") ==
        "run.toml:3: there is no setting 'transformer.hiden'; did you mean 'transformer.hidden'?");
  CHECK(error_in_file("[train]\n\nlearning_rate = 0.1\n") ==
        "run.toml:3: there is no setting 'train.learning_rate'; did you mean 'optimizer.learning_rate'?");
  CHECK(error_in_file("[transformer]\nsteps = 3\n") ==
        "run.toml:2: there is no setting 'transformer.steps'; did you mean 'train.steps' or "
        "'sample.steps'?");
  CHECK(error_in_file("layers = 2\n") ==
        "run.toml:1: there is no setting 'layers'; did you mean 'transformer.layers'?");
  CHECK(error_in_file("transformer.layres = 2\n") ==
        "run.toml:1: there is no setting 'transformer.layres'; did you mean 'transformer.layers'?");
  CHECK(error_of_override("modle.layers=2") ==
        "--set modle.layers=2: there is no setting 'modle.layers'; did you mean 'transformer.layers'?");
}

TEST_CASE("an unknown key that is near no other is answered with those of its section") {
  CHECK(error_in_file("[sample]\nbeam = 3\n") ==
        "run.toml:2: there is no setting 'sample.beam'; section [sample] has sampler, steps, threshold, "
        "temperature, "
        "top_p, "
        "top_k, precision, special_tokens, count");
  CHECK(error_in_file("model = 'mdml'\n") ==
        "run.toml:1: 'model' takes " + training_settings().front().accepts() + ", not 'mdml'");
  CHECK(error_of_override("colour=3") ==
        "--set colour=3: there is no setting 'colour'; the sections are data, mdlm, transformer, "
        "optimizer, train, sample, control");
}

TEST_CASE("an unknown section is named with file and line") {
  CHECK(error_in_file("\n[optimiser]\nkind = 'sgd'\n") ==
        "run.toml:2: there is no section [optimiser]; did you mean [optimizer]?");
  CHECK(error_in_file("[network]\n") ==
        "run.toml:1: there is no section [network]; the sections are data, mdlm, transformer, "
        "optimizer, train, sample, control");
}

TEST_CASE("a value that a setting does not take is answered with what it takes") {
  CHECK(error_in_file("[transformer]\nlayers = 'four'\n") ==
        "run.toml:2: 'transformer.layers' takes an integer from 1 to 1000, not 'four'");
  CHECK(error_in_file("[transformer]\nlayers = 2.5\n") ==
        "run.toml:2: 'transformer.layers' takes an integer from 1 to 1000, not 2.5");
  CHECK(error_in_file("[transformer]\nlayers = 0\n") ==
        "run.toml:2: 'transformer.layers' takes an integer from 1 to 1000, not 0");
  CHECK(error_in_file("[transformer]\ndropout = 1.0\n") ==
        "run.toml:2: 'transformer.dropout' takes a number from 0 up to but not including 1, not 1.0");
  CHECK(error_in_file("[optimizer]\nlearning_rate = nan\n") ==
        "run.toml:2: 'optimizer.learning_rate' takes a number above 0, not nan");
  CHECK(error_in_file("[optimizer]\nlearning_rate = inf\n") ==
        "run.toml:2: 'optimizer.learning_rate' takes a number above 0, not inf");
  CHECK(error_in_file("[data]\nformat = 'csv'\n") ==
        "run.toml:2: 'data.format' takes 'e2e', 'lines', 'jsonl' or 'raw', not 'csv'");
  CHECK(error_in_file("[mdlm]\nantithetic = 1\n") ==
        "run.toml:2: 'mdlm.antithetic' takes true or false, not 1");
  CHECK(error_in_file("[data]\ntrain = ['a', 'b']\n") ==
        "run.toml:2: 'data.train' takes a text in UTF-8, not a list");
  CHECK(error_in_file("[data.train]\na = 1\n") ==
        "run.toml:1: 'data.train' takes a text in UTF-8, not a section");
  CHECK(error_in_file("[train]\nbatch_size = 1979-05-27\n") ==
        "run.toml:2: 'train.batch_size' takes an integer from 1 to 1048576, not 1979-05-27");
  CHECK(error_of_override("train.seed=-1") ==
        "--set train.seed=-1: 'train.seed' takes an integer of at least 0, not '-1'");
  CHECK(error_of_override("train.steps=10x") ==
        "--set train.steps=10x: 'train.steps' takes an integer of at least 1, not '10x'");
  CHECK(error_of_override("train.steps=") ==
        "--set train.steps=: 'train.steps' takes an integer of at least 1, not ''");
  CHECK(error_of_override("sample.top_p=0") ==
        "--set sample.top_p=0: 'sample.top_p' takes a number above 0 to 1, not '0'");
  CHECK(error_of_override("train.seed=99999999999999999999") ==
        "--set train.seed=99999999999999999999: 'train.seed' takes an integer of at least 0, not "
        "'99999999999999999999'");
}

TEST_CASE("what is no assignment, no TOML or no file is an error in one sentence") {
  CHECK(error_of_override("transformer.layers") ==
        "--set transformer.layers: a setting is given as key=value, for example model=\"mdlm\"");
  CHECK(error_in_file("[transformer]\nlayers = \n").rfind("run.toml:2: this is not TOML: ", 0) == 0);
  CHECK(error_in_file("[transformer]\nlayers = 1\nlayers = 2\n").rfind("run.toml:3: this is not TOML: ", 0) ==
        0);
  Settings settings(training_settings());
  CHECK(error_of([&] { haze::parse_configuration_file("no/such.toml"); }) ==
        "cannot read the configuration no/such.toml: No such file or directory");
  CHECK(error_of([&] { haze::parse_configuration_file("/"); }) == "/ is a folder, not a configuration file");
}

TEST_CASE("a file with an error changes no setting") {
  Settings settings(training_settings());
  CHECK_THROWS_AS(read_text(settings, "[transformer]\nlayers = 9\nheads = 'x'\n", "run.toml"), haze::Error);
  CHECK(settings.integer("transformer.layers") == 4);
}

TEST_CASE("the printed configuration reads back as the same configuration") {
  Settings settings(training_settings());
  settings.override_with("optimizer.learning_rate=0.1");
  settings.override_with("optimizer.epsilon=1e-300");
  settings.override_with("optimizer.clip_norm=100");
  settings.override_with("train.seed=9007199254740993");
  settings.override_with("data.tokenizer=character");
  settings.set("data.train", std::string("a \"quoted\" \\ path\n# with \x7f\x01 and \xED\x95\x9C.txt"));
  const std::string printed = haze::print_configuration(settings);
  Settings again(training_settings());
  read_text(again, printed, "printed");
  CHECK(haze::print_configuration(again) == printed);
  for (const haze::Setting& setting : training_settings()) {
    INFO(setting.key);
    switch (setting.type) {
      case haze::SettingType::integer:
        CHECK(again.integer(setting.key) == settings.integer(setting.key));
        break;
      case haze::SettingType::real:
        CHECK(again.real(setting.key) == settings.real(setting.key));
        break;
      case haze::SettingType::boolean:
        CHECK(again.boolean(setting.key) == settings.boolean(setting.key));
        break;
      case haze::SettingType::text:
      case haze::SettingType::choice:
        CHECK(again.text(setting.key) == settings.text(setting.key));
        break;
    }
  }
}

TEST_CASE("the printed configuration explains every setting on its line") {
  Settings settings(training_settings());
  settings.override_with("transformer.layers=6");
  const std::string printed = "\n" + haze::print_configuration(settings);
  for (const haze::Setting& setting : training_settings()) {
    INFO(setting.key);
    CHECK_FALSE(setting.explanation.empty());
    const std::string section(setting.section());
    const auto begin = section.empty() ? 0 : printed.find("[" + section + "]");
    const auto line = printed.find("\n" + std::string(setting.name()) + " = ", begin);
    REQUIRE(line != std::string::npos);
    const auto explanation = printed.find("# " + setting.explanation, line);
    REQUIRE(explanation != std::string::npos);
    CHECK(explanation < printed.find('\n', line + 1));
  }
  CHECK(printed.find("layers = 6 ") != std::string::npos);
  CHECK(printed.find("transformer blocks (default: 4)") != std::string::npos);
  CHECK(printed.find(": e2e | lines | jsonl | raw\n") != std::string::npos);
}

TEST_CASE("a text that is not UTF-8 is refused, as TOML could not hold it") {
  CHECK(error_of_override("data.train=\xFF").find("takes a text in UTF-8") != std::string::npos);
}

TEST_CASE("asking for a setting by a wrong name or type is an error") {
  const Settings settings(training_settings());
  CHECK(error_of([&] { settings.integer("model.layer"); }) ==
        "the program: there is no setting 'model.layer'; did you mean 'transformer.layers'?");
  CHECK(error_of([&] { settings.real("transformer.layers"); }) ==
        "the setting 'transformer.layers' takes an integer from 1 to 1000 and was asked for as a number");
}

TEST_CASE("a table whose default is not accepted, or that has a key twice, is refused") {
  using haze::at_least;
  using haze::integer_setting;
  CHECK(error_of([] { Settings({integer_setting("a.b", 0, at_least(1), "x")}); }) ==
        "the table of settings: 'a.b' takes an integer of at least 1, not 0");
  CHECK(
      error_of([] {
        Settings({integer_setting("a.b", 1, at_least(1), "x"), integer_setting("a.b", 2, at_least(1), "x")});
      }) == "the table of settings has 'a.b' twice");
}

TEST_CASE("a setting that matters with several values of another is refused with the rest, by their names") {
  using namespace haze;
  const SettingsTable table = {
      choice_setting("method.kind", "left", {"left", "middle", "right"}, "which way"),
      only_with(integer_setting("method.steps", 1, at_least(1), "how many"), "method.kind",
                {"left", "right"}),
      integer_setting("method.width", 1, at_least(1), "how wide")};
  for (const char* kind : {"left", "middle", "right"}) {
    Settings settings(table);
    settings.set("method.kind", std::string(kind));
    CHECK(matters(settings, "method.steps") == (std::string(kind) != "middle"));
    CHECK(matters(settings, "method.width"));
    CHECK(
        error_of([&] { require_matters(settings, "method.steps", "--steps"); }) ==
        (std::string(kind) == "middle" ? "--steps is for kind left or right, and it is middle" : "no error"));
  }
}

TEST_CASE("edit distance counts insertions, deletions, substitutions and swaps of neighbours") {
  CHECK(haze::edit_distance("", "abc") == 3);
  CHECK(haze::edit_distance("abc", "") == 3);
  CHECK(haze::edit_distance("kitten", "sitting") == 3);
  CHECK(haze::edit_distance("layres", "layers") == 1);
  CHECK(haze::edit_distance("same", "same") == 0);
  CHECK(haze::edit_distance("ca", "abc") ==
        3);  // the optimal string alignment distance; unrestricted, it were 2
}

TEST_CASE("no setting takes an integer that would be narrowed where it is used") {
  for (const char* key :
       {"data.max_length", "data.max_line_bytes", "train.accumulate", "train.batch_size", "sample.steps"}) {
    for (const char* value : {"2147483648", "4294967298", "9223372036854775807"}) {
      const std::string assignment = fmt::format("{}={}", key, value);
      CHECK(error_of_override(assignment)
                .starts_with("--set " + assignment + ": '" + key + "' takes an integer from "));
    }
  }
  CHECK(error_of_override("sample.steps=1048576") == "no error");
}

TEST_CASE("the cut-off of words is 1 for the built-in corpus and at most 10 for files, unless one is given") {
  const auto min_count_with = [](const std::vector<std::string>& assignments) {
    Settings settings(training_settings());
    for (const std::string& assignment : assignments) settings.override_with(assignment);
    haze::resolve_training_settings(settings);
    return settings.integer("data.min_count");
  };
  CHECK(min_count_with({}) == 1);
  CHECK(min_count_with({"data.train=a.txt", "data.valid=b.txt"}) == 10);
  CHECK(min_count_with({"data.min_count=3"}) == 3);
  CHECK(min_count_with({"data.train=a.txt", "data.valid=b.txt", "data.min_count=3"}) == 3);
  // Of 310 words, w4 to w7 occur 4 to 7 times. A cut-off of 7 makes 15 of them unknown, and one of 8, 22.
  const haze::testing::TemporaryFolder folder;
  std::string lines;
  int words = 0;
  for (int count = 4; count <= 7; ++count) {
    for (int i = 0; i < count; ++i, ++words) lines += fmt::format("w{}\n", count);
  }
  for (; words < 310; ++words) lines += "the\n";
  haze::testing::write_text(folder / "texts", lines);
  const std::string train = "data.train=" + (folder / "texts").string(), valid = "data.valid=b.txt";
  CHECK(min_count_with({train, valid, "data.format=lines"}) == 7);
  CHECK(min_count_with({train, valid, "data.format=lines", "data.tokenizer=character"}) == 1);
  haze::testing::write_text(folder / "texts", "every word here is a rare one\n");
  CHECK(min_count_with({train, valid, "data.format=lines"}) == 1);
  // A rare word in every target is not outweighed by long sources of frequent words.
  std::string pairs;
  for (int i = 0; i < 300; ++i) {
    std::string source;
    for (int word = 0; word < 30; ++word) source += fmt::format(" s{}", (i + word) % 40);
    pairs += fmt::format("{{\"src\": \"{}\", \"trg\": \"x{} y\"}}\n", source, i);
  }
  haze::testing::write_text(folder / "texts", pairs);
  Settings settings =
      haze::settings_from({}, {"model=autoregressive", "data.task=pairs", "data.format=jsonl", train, valid});
  haze::resolve_training_settings(settings);
  CHECK(settings.integer("data.min_count") == 1);
}

TEST_CASE("a raw file is packed, is one text, and keeps all of its characters") {
  Settings settings =
      haze::settings_from({}, {"data.train=a.txt", "data.format=raw", "data.tokenizer=character"});
  haze::resolve_training_settings(settings);
  CHECK(settings.text("data.layout") == "packed");
}

TEST_CASE("the draw 'auto' is of an exact count where the loss does not depend on time, and beta else") {
  const auto draw_with = [](const std::vector<std::string>& assignments) {
    Settings settings = haze::settings_from({}, assignments);
    haze::resolve_training_settings(settings);
    return settings.text("mdlm.draw");
  };
  CHECK(draw_with({}) == "exact-count");
  CHECK(draw_with({"transformer.time=adaptive"}) == "beta");
  CHECK(draw_with({"mdlm.draw=independent"}) == "independent");
  CHECK(draw_with({"mdlm.draw=independent", "transformer.time=adaptive"}) == "independent");
  CHECK(draw_with({"mdlm.draw=exact-count", "transformer.norm=post"}) == "exact-count");
}

TEST_CASE("the precision 'auto' is bfloat16 where the processor multiplies it, and float32 else") {
  Settings settings(training_settings());
  settings.override_with("train.precision=auto");
  haze::resolve_training_settings(settings);
  CHECK(settings.text("train.precision") == (haze::multiplies_bfloat16() ? "bfloat16" : "float32"));
}

TEST_CASE("the model that is named has its own settings, and those of another are refused") {
  CHECK(haze::settings_from({}, {"model=d3pm"}).text("d3pm.schedule") == "reciprocal");
  CHECK(error_of([] {
          haze::settings_from({}, {"model=d3pm", "d3pm.schedule=polynomial"});
        }) ==
        "--set d3pm.schedule=polynomial: 'd3pm.schedule' takes 'reciprocal', 'cosine' or 'linear', not "
        "'polynomial'");
  CHECK(error_of([] {
          haze::settings_from({}, {"model=ddpm", "transformer.layers=3"});
        }) ==
        "--set transformer.layers=3: 'transformer.layers' is a setting of the model mdlm, and the model is "
        "ddpm");
  CHECK(error_of([] {
          haze::settings_from({}, {"model=ddpm", "ddpm.step=3"});
        }) == "--set ddpm.step=3: there is no setting 'ddpm.step'; did you mean 'ddpm.steps'?");
  CHECK(error_of([] { haze::settings_from({}, {"model=mdml"}); }) ==
        "--set model=mdml: there is no model 'mdml'; did you mean 'mdlm'?");
  haze::testing::TemporaryFolder folder;
  haze::testing::write_text(folder / "run.toml", "model = 'mdml'\n");
  CHECK(error_of([&] { haze::settings_from(folder / "run.toml", {}); }) ==
        (folder / "run.toml").string() + ":1: there is no model 'mdml'; did you mean 'mdlm'?");
  haze::testing::write_text(folder / "run.toml", "[model]\nlayers = 2\n[diffusion]\nsteps = 3\n");
  CHECK(error_of([&] { haze::settings_from(folder / "run.toml", {}); }) ==
        (folder / "run.toml").string() +
            ":3: [model] and [diffusion] are sections of an earlier version: the network's is [transformer] "
            "now, and that of the process has the model's name");
  haze::testing::write_text(folder / "run.toml", "model = 'ddpm'\n[mlp]\nhidden = 9\n");
  CHECK(haze::settings_from(folder / "run.toml", {}).integer("mlp.hidden") == 9);
}

TEST_CASE("settings that contradict one another are refused") {
  const auto error_with = [](const std::vector<std::string>& assignments) {
    return error_of([&] {
      Settings settings = haze::settings_from({}, assignments);
      haze::resolve_training_settings(settings);
    });
  };
  CHECK(error_with({"transformer.hidden=100"}) ==
        "transformer.hidden 100 is not a multiple of transformer.heads 8");
  CHECK(error_with({"transformer.hidden=24", "transformer.positions=rotary"}) ==
        "rotary positions need an even width of each head, and transformer.hidden 24 / transformer.heads 8 "
        "is 3");
  CHECK(error_with({"transformer.hidden=3", "transformer.heads=1", "transformer.positions=sinusoidal"}) ==
        "sinusoidal positions need an even transformer.hidden, not 3");
  CHECK(error_with({"data.valid=b.txt"}) ==
        "data.valid is for files of one's own, and data.train is missing; without both there is the built-in "
        "corpus");
  CHECK(error_with({"data.train=a.txt"}) == "no error");
  CHECK(error_with({"model=word_tagger", "data.train=a.txt"}) ==
        "data.task tagged needs data.valid, since what stands beside a text is in a file of its own");
  CHECK(error_with({"data.train=a.txt", "data.valid=b.txt", "transformer.positions=rotary"}) == "no error");
  CHECK(error_with({"data.format=lines"}) ==
        "data.format lines is for files of one's own; the built-in corpus is e2e");
  CHECK(error_with({"data.format=lines", "data.train=a.txt", "data.valid=b.txt"}) == "no error");
  CHECK(error_with({"mdlm.draw=exact-count", "transformer.time=adaptive"}) ==
        "mdlm.draw exact-count does not go with transformer.time adaptive, which needs times; beta does");
  CHECK(error_with({"model=d3pm", "sample.sampler=first-hitting"}) ==
        "--set sample.sampler=first-hitting: 'sample.sampler' takes 'ancestral' or 'confidence', not "
        "'first-hitting'");
  CHECK(error_with({"model=autoregressive", "data.task=pairs", "data.train=a", "data.format=raw"}) ==
        "data.format raw is one text: it is for data.task texts, not pairs");
  CHECK(error_with({"data.train=a", "data.format=raw"}) ==
        "data.format raw keeps line ends, which data.tokenizer word does not; word-punctuation and character "
        "do");
  CHECK(
      error_with({"data.train=a", "data.format=raw", "data.tokenizer=character", "data.too_long=skip"}) ==
      "data.too_long skip is for texts that are rows; data.layout packed, as of data.format raw, cuts texts "
      "into blocks");
  CHECK(error_with({"data.layout=packed", "data.too_long=truncate"}) ==
        "data.too_long truncate is for texts that are rows; data.layout packed cuts texts into blocks");
  CHECK(error_with({"model=autoregressive", "data.task=pairs", "data.train=a", "data.valid=b",
                    "data.format=lines"}) ==
        "data.task pairs needs sources, which data.format lines does not have; e2e and jsonl do");
  CHECK(
      error_with({"data.label=food"}) ==
      "data.task labelled and data.label go together: the one says that labels are learnt, the other which");
}

TEST_CASE("a run's configuration is read whole: another version or a missing key is refused") {
  Settings settings = haze::settings_from({}, {"transformer.layers=3"});
  haze::resolve_training_settings(settings);
  const std::string whole = haze::print_run_configuration(settings);
  const auto read = [](const std::string& toml) { return haze::read_run_configuration(toml, "config.toml"); };
  CHECK(haze::print_run_configuration(read(whole)) == whole);
  const auto without = [&](const std::string& line) {
    std::string toml = whole;
    const auto begin = toml.find("\n" + line);
    REQUIRE(begin != std::string::npos);
    return toml.erase(begin, toml.find('\n', begin + 1) - begin);
  };
  for (const char* key : {"train.accumulate", "optimizer.groups", "mdlm.draw", "sample.top_p"}) {
    const std::string name(std::string_view(key).substr(std::string_view(key).find('.') + 1));
    CHECK(error_of([&] { read(without(name + " = ")); }) ==
          fmt::format(
              "config.toml: the setting '{}' is missing, and today's default may not be what the run had",
              key));
  }
  std::string later = whole;
  const int64_t known = haze::kSettingsVersion;
  const std::string version = fmt::format("settings_version = {}", known);
  later.replace(later.find(version), version.size(), fmt::format("settings_version = {}", known + 1));
  CHECK(error_of([&] { read(later); }) ==
        fmt::format("config.toml: settings of version {} are not known here, where the version is {}",
                    known + 1, known));
  // Without a version, it is the first: a key of that version is asked for.
  CHECK(error_of([&] { read(without("settings_version = ")); }).starts_with("settings of version 1: "));
}
