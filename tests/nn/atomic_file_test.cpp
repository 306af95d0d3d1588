#include <csignal>
#include <string>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/nn/file_io.h"

#include "temporary_folder.h"

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
  for (const std::string& path : {missing, taken}) {
    const std::string sentence = haze::nn_test::error_of([&] { write_file_atomically(path, "x"); });
    CHECK(sentence.starts_with("cannot write " + path + ": "));
  }
  CHECK(count_files(folder.path()) == 1);
}

TEST_CASE("a process killed while it writes leaves a whole file") {
  TemporaryFolder folder;
  const std::string first(300'000, 'a'), second(300'000, 'b');
  write_file_atomically(folder / "f", first);
  for (int round = 0; round < 10; ++round) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (;;) {
        write_file_atomically(folder / "f", second);
        write_file_atomically(folder / "f", first);
      }
    }
    usleep(static_cast<useconds_t>(2000 + 1777 * round));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::string contents = read_bytes(folder / "f");
    CHECK((contents == first || contents == second));
  }
}
