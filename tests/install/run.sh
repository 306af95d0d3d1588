#!/bin/bash
# Installs Haze into a temporary folder, moves that folder, and uses it from outside, as a stranger's project would.
#
#   tests/install/run.sh [BUILD]      BUILD: a finished build folder, build/release where none is given
#
# Prints "passed: ..." or "failed: why", one line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

build=${1:-build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

# Runs a command; if it fails, prints its output and the line "failed: $1", and ends the test.
require() {
  local why=$1
  shift
  "$@" >"$log" 2>&1 </dev/null && return
  cat "$log"
  echo "failed: $why"
  exit 1
}

# The folder is moved before it is used, which shows that nothing installed names the place it was installed to.
require "cmake --install $build" cmake --install "$build" --prefix "$scratch/installed"
mv "$scratch/installed" "$scratch/prefix"

require "the consumer did not find haze" \
  cmake -S tests/install/consumer -B "$scratch/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_PREFIX_PATH="$scratch/prefix"
require "the consumer did not build against the installed library" cmake --build "$scratch/consumer" -j 1
require "the consumer's program did not run" timeout 1200 "$scratch/consumer/consumer"
echo "passed: a separate CMake project finds, builds and runs with the installed library"

# Headers that include one which is not installed would not be noticed by a consumer that happens not to use them.
(cd "$scratch/prefix/include" && find haze -name '*.h' | sort) | sed 's/.*/#include "&"/' >"$scratch/all_headers.cpp"
require "an installed header does not compile" \
  "${CXX:-g++}" -std=c++20 -fsyntax-only -I "$scratch/prefix/include" "$scratch/all_headers.cpp"
echo "passed: every installed header compiles"

require "the installed program did not run" "$scratch/prefix/bin/haze" --version
echo "passed: the installed program runs"
