#include "haze/tools/run/models.h"

#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/tools/commands/commands.h"

namespace haze {
namespace {

void print_models() {
  for (const ModelRow& row : model_table()) {
    fmt::print("{}\n", row.info.name);
    fmt::print("  {}\n", row.info.paper);
    const std::vector<std::string> abilities = abilities_of(row);
    fmt::print("  learns {}{}{}\n", fmt::join(row.info.tasks, ", "), abilities.empty() ? "" : "; ",
               fmt::join(abilities, ", "));
    fmt::print("  haze train --config {}\n", row.configuration);
  }
}

void print_models_json() {
  for (const ModelRow& row : model_table()) {
    const nlohmann::ordered_json json{{"name", row.info.name},
                                      {"paper", row.info.paper},
                                      {"tasks", row.info.tasks},
                                      {"abilities", abilities_of(row)},
                                      {"configuration", row.configuration}};
    fmt::print("{}\n", json.dump());
  }
}

}  // namespace

void add_models_command(CLI::App& app, int&) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("models", "List the models that there are");
  command->add_flag("--json", *json, "one JSON object a line");
  command->callback([json] { *json ? print_models_json() : print_models(); });
}

}  // namespace haze
