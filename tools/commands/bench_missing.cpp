#include "haze/engine/error.h"
#include "haze/tools/commands/commands.h"

namespace haze {

void add_bench_command(CLI::App& app, int&) {
  CLI::App* command = app.add_subcommand(
      "bench", "Measure haze against the machine and against peers (tools/build.sh bench builds it)");
  // Whatever is asked of it, the answer is the same.
  command->prefix_command();
  command->callback([] {
    fail(
        "this program was built without its measurements, which need peers to measure against; "
        "tools/build.sh bench builds build/bench/tools/haze with them");
  });
}

}  // namespace haze
