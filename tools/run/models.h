#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "haze/diffusion/model.h"

namespace haze {

/// One row of the table of models.
struct ModelRow {
  ModelInfo info;
  std::string configuration;  // a file of the repository that trains it
};

/// Every model there is: those of this repository, then those that a program added. The first is the one that
/// is trained where nothing names another.
const std::vector<ModelRow>& model_table();

/// Adds a row for this process: a model of one's own trains, samples and is evaluated like those that are
/// here. Throws Error where the name is taken.
void add_model(ModelRow row);

/// Throws Error, beginning with `where`, with the nearest name, where there is no such model.
const ModelRow& model_row(const std::string& name, const std::string& where = "");

/// Whether a setting is of section [sample]: it, and the run that it may name, is chosen for each sampling.
bool is_of_sampling(std::string_view key);

/// The settings of a run that version 1 of them saved, under today's names; `model` says whose they are. As
/// settings_from_version_1() in diffusion/.
NamedValues settings_of_version_1(NamedValues values);

/// What the model of a row can do: samples, infills, needs a source. From an untrained model on invented
/// facts, so that no table has to repeat what the code knows.
std::vector<std::string> abilities_of(const ModelRow& row);

}  // namespace haze
