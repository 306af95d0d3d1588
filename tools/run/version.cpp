#include "haze/tools/run/version.h"

namespace haze {

std::string_view program_version() {
  return HAZE_VERSION;
}

}  // namespace haze
