#include "haze/tools/run/standard_streams.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/run/interrupt.h"

namespace haze {

void prepare_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // The lowest number that is free is this one, since those below it are open.
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", O_RDWR);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

int finish_standard_output(int status, int reason) {
  if (std::fflush(stdout) != 0 && reason == 0) reason = errno;
  if (reason == 0 && std::ferror(stdout) != 0) reason = EIO;
  if (reason == 0 || status != 0) return status;
  if (reason == EPIPE) return interrupted_status(SIGPIPE);
  std::fputs(fmt::format("haze: cannot write the output: {}\n", std::strerror(reason)).c_str(), stderr);
  return 1;
}

}  // namespace haze
