#include "haze/tools/run/output_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "error_of.h"
#include "program.h"
#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;
namespace fs = std::filesystem;

namespace {

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

std::ptrdiff_t files_in(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

TEST_CASE("an output file replaces a regular one, whose mode it keeps") {
  const TemporaryFolder folder;
  write_output_file(folder / "new.svg", "first");
  CHECK(read_text(folder / "new.svg") == "first");
  for (const mode_t mode : {0600, 0640, 0444}) {
    REQUIRE(::chmod((folder / "new.svg").c_str(), mode) == 0);
    write_output_file(folder / "new.svg", "second");
    CHECK(read_text(folder / "new.svg") == "second");
    CHECK(mode_of(folder / "new.svg") == mode);
  }
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("an output file is written through symbolic links, also to what does not exist yet") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "there");
  write_text(folder / "there/target", "old");
  fs::create_symlink("there/target", folder / "first");
  fs::create_symlink("first", folder / "second");
  fs::create_symlink("there/new", folder / "dangling");
  write_output_file(folder / "second", "new");
  write_output_file(folder / "dangling", "made");
  CHECK(fs::is_symlink(folder / "second"));
  CHECK(read_text(folder / "there/target") == "new");
  CHECK(fs::is_symlink(folder / "dangling"));
  CHECK(read_text(folder / "there/new") == "made");
  fs::create_symlink("loop", folder / "loop");
  CHECK(error_of([&] { write_output_file(folder / "loop", "x"); }) ==
        "cannot write " + (folder / "loop").string() + ": Too many levels of symbolic links");
}

TEST_CASE("a FIFO and a device are written into and stay what they are") {
  const TemporaryFolder folder;
  const fs::path fifo = folder / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  write_output_file(fifo, "through");
  char buffer[16];
  const ssize_t bytes = ::read(reader, buffer, sizeof buffer);
  ::close(reader);
  REQUIRE(bytes == 7);
  CHECK(std::string(buffer, 7) == "through");
  CHECK(fs::is_fifo(fifo));
  write_output_file("/dev/null", "away");
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(error_of([&] { write_output_file("/dev/full", "x"); }) ==
        "cannot write /dev/full: No space left on device");
  CHECK(error_of([&] { write_output_file(folder.path(), "x"); }) ==
        "cannot write " + folder.path().string() + ": Is a directory");
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a picture written to the standard output of a program comes with what else is printed there") {
  const TemporaryFolder folder;
  const std::string out = in_script({(folder / "out").string()});
  const std::string command = "\"$HAZE\" lab transpose --size 64 --rung tiled --svg /dev/stdout";
  const ProgramResult piped = run_script(command + " | cat");
  INFO(piped.error);
  REQUIRE(piped.status == 0);
  CHECK(piped.output.find("</svg>") != std::string::npos);
  REQUIRE(run_script(command + " > " + out).status == 0);
  CHECK(read_text(folder / "out") == piped.output);
}
