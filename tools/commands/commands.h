#pragma once

#include <CLI/CLI.hpp>

#include "haze/engine/device.h"

/// The commands of `haze`. Each adds its options to the program and runs when it is chosen; `status` is the
/// program's exit status, 0 unless a command sets it. Errors are thrown as Error.
namespace haze {

void add_train_command(CLI::App& app, int& status);
void add_sample_command(CLI::App& app, int& status);
void add_infill_command(CLI::App& app, int& status);
void add_control_command(CLI::App& app, int& status);
void add_info_command(CLI::App& app, int& status);
void add_tag_command(CLI::App& app, int& status);
void add_eval_command(CLI::App& app, int& status);
void add_data_command(CLI::App& app, int& status);
/// haze data show
void add_data_show_command(CLI::App& data);
/// haze data controls
void add_data_controls_command(CLI::App& data);
void add_models_command(CLI::App& app, int& status);
void add_compare_command(CLI::App& app, int& status);
void add_lecture_command(CLI::App& app, int& status);
void add_lab_command(CLI::App& app, int& status);
void add_bench_command(CLI::App& app, int& status);

/// Adds --threads, which takes effect at once.
void add_threads_option(CLI::App& command);
/// Adds --device to a command whose model can lie on any device that this build has.
void add_device_option(CLI::App& command, Device& device);

}  // namespace haze
