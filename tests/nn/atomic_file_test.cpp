#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"

#include "temporary_folder.h"

using haze::finished_name;
using haze::is_unfinished_name;
using haze::unfinished_name;
using haze::write_file_atomically;
using haze::nn_test::read_bytes;
using haze::nn_test::TemporaryFolder;

namespace {

std::ptrdiff_t count_files(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

}  // namespace

TEST_CASE("a file written atomically holds its contents and nothing lies beside it") {
  TemporaryFolder folder;
  const std::string contents = std::string("line\n\0zero", 10) + std::string(1 << 20, 'x');
  write_file_atomically(folder / "a.txt", "old");
  write_file_atomically(folder / "a.txt", contents);
  CHECK(read_bytes(folder / "a.txt") == contents);
  write_file_atomically(folder / "a.txt", "");
  CHECK(read_bytes(folder / "a.txt").empty());
  CHECK(count_files(folder.path()) == 1);
}

TEST_CASE("a file that cannot be written is an error that says why and leaves nothing behind") {
  TemporaryFolder folder;
  const std::string missing = (folder / "missing/a.txt").string();
  std::filesystem::create_directories(folder / "taken/inside");
  const std::string taken = (folder / "taken").string();
  write_file_atomically(folder / "file", "");
  const std::string in_file = (folder / "file/a.txt").string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {missing, "No such file or directory"},
      {"missing/a.txt", "No such file or directory"},
      {in_file, "Not a directory"},
      {taken, "Is a directory"}};
  for (const auto& [path, reason] : cases) {
    const std::string sentence =
        haze::nn_test::error_of([&file = path] { write_file_atomically(file, "x"); });
    CHECK(sentence == "cannot write " + path + ": " + reason);
  }
  CHECK(count_files(folder.path()) == 2);
}

TEST_CASE("a disk that fills up is an error that names the file, not where it was being written") {
  TemporaryFolder folder;
  rlimit before;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const rlimit small = {1000, before.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string sentence =
      haze::nn_test::error_of([&] { write_file_atomically(folder / "a.txt", std::string(2000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, SIG_DFL);
  CHECK(sentence == "cannot write " + (folder / "a.txt").string() + ": File too large");
  CHECK(count_files(folder.path()) == 0);
}

TEST_CASE("an unfinished name tells the finished one, in a folder that is unfinished too") {
  for (const std::filesystem::path path : {"a.txt", "/a.txt", "runs/step-000030", "a-1-2-b", "runs/"}) {
    CHECK(is_unfinished_name(unfinished_name(path)));
    CHECK(finished_name(unfinished_name(path)) == path);
    CHECK(finished_name(unfinished_name(path) / "model") == path / "model");
    CHECK(finished_name(path) == path);
  }
  TemporaryFolder folder;
  const std::string sentence =
      haze::nn_test::error_of([&] { haze::FileWriter(unfinished_name(folder / "step-000030") / "model"); });
  CHECK(sentence ==
        "cannot write " + (folder / "step-000030/model").string() + ": No such file or directory");
}

TEST_CASE("a process killed while it writes leaves a whole file") {
  TemporaryFolder folder;
  const std::string first(300'000, 'a'), second(300'000, 'b');
  write_file_atomically(folder / "f", first);
  for (int round = 0; round < 10; ++round) {
    int written[2];
    REQUIRE(pipe(written) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      write_file_atomically(folder / "f", second);
      if (write(written[1], "1", 1) != 1) _exit(1);
      for (;;) {
        write_file_atomically(folder / "f", first);
        write_file_atomically(folder / "f", second);
      }
    }
    // The child is under way, however long it took to start.
    close(written[1]);
    char byte;
    REQUIRE(read(written[0], &byte, 1) == 1);
    close(written[0]);
    usleep(static_cast<useconds_t>(2000 + 1777 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::string contents = read_bytes(folder / "f");
    CHECK((contents == first || contents == second));
  }
}
