#include "haze/bench/peer_process.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

/// Starts a program whose standard input and output are `socket`.
pid_t start(const std::vector<std::string>& command, int socket) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO);
  pid_t process = -1;
  const int error = posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail("cannot start {}: {}", command.front(), std::strerror(error));
  return process;
}

[[noreturn]] void fail_as_ended(const std::string& script) {
  fail("bench/peers/{} has ended: see its message above; bench/peers/requirements.txt names what it needs",
       script);
}

}  // namespace

PeerProcess::PeerProcess(const std::string& python, const std::string& script,
                         std::vector<std::string> arguments)
    : script_(script) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    fail("cannot make a socket: {}", std::strerror(errno));
  socket_ = ends[0];
  std::vector<std::string> command{python, std::string(HAZE_BENCH_PEERS) + "/" + script};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.emplace_back("--on-request");
  try {
    process_ = start(command, ends[1]);
    close(std::exchange(ends[1], -1));
    read_line();
  } catch (...) {
    if (ends[1] >= 0) close(ends[1]);
    close(socket_);
    if (process_ > 0) waitpid(process_, nullptr, 0);
    throw;
  }
}

PeerProcess::~PeerProcess() {
  // The end of its input is the end of its work.
  close(socket_);
  waitpid(process_, nullptr, 0);
}

nlohmann::json PeerProcess::measure() {
  const char request = '\n';
  // Without MSG_NOSIGNAL, a peer that has ended would end us.
  if (send(socket_, &request, 1, MSG_NOSIGNAL) != 1) fail_as_ended(script_);
  return read_line();
}

nlohmann::json PeerProcess::read_line() {
  size_t end = 0;
  while ((end = received_.find('\n')) == std::string::npos) {
    std::array<char, 4096> buffer{};
    const ssize_t count = recv(socket_, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail_as_ended(script_);
    received_.append(buffer.data(), static_cast<size_t>(count));
  }
  const std::string line = received_.substr(0, end);
  received_.erase(0, end + 1);
  try {
    return nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception&) {
    fail("{} printed no JSON: {}", script_, line);
  }
}

}  // namespace haze
