#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/types.h>

namespace haze {

/// A program of bench/peers that has prepared its work and does one repetition of it whenever it is asked.
/// Between requests it sleeps, so haze's repetitions and its own can take turns. A repetition is a line on
/// its standard input; the answer is a line of JSON on its standard output. Its errors go to ours.
class PeerProcess {
 public:
  /// Starts `python bench/peers/<script> <arguments> --on-request` and waits until it is ready, which takes
  /// as long as its imports, warming up and compiling. Throws Error where it cannot be started or ends.
  PeerProcess(const std::string& python, const std::string& script, std::vector<std::string> arguments);
  ~PeerProcess();
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  /// What one repetition gave. Throws Error where the program has ended.
  nlohmann::json measure();

 private:
  nlohmann::json read_line();

  std::string script_;
  pid_t process_ = -1;
  int socket_ = -1;
  std::string received_;
};

}  // namespace haze
