#!/bin/bash
# The operation table on every level of instructions that the processor has, chosen by HAZE_CPU. Prints one line a test.
#
#   tests/scripts/instruction_sets_test.sh BUILD_FOLDER
set -u
build=${1:?"takes the build folder"}

levels=(avx512 avx2 baseline)
[ "$(uname -m)" = x86_64 ] || levels=(baseline)

source "$(dirname "${BASH_SOURCE[0]}")/check.sh"

version() { HAZE_CPU=$1 "$build/tools/haze" --version; }
lacks() { [[ $(version "$1" 2>&1) == "haze: HAZE_CPU: this processor lacks $1;"* ]]; }

says() { [[ $(version "$1") == *"($1)" ]]; }
tests() {
  local output
  output=$(HAZE_CPU=$1 "$build/tests/engine_tests" --no-colors=true --test-case="$2" 2>&1) &&
    grep -qE 'test cases: +[1-9][0-9]* \| +[1-9]' <<<"$output" || { echo "$output"; return 1; }
}
refuses() {
  local output all=${levels[*]/%/,}
  all=${all%,}
  output=$(version "$1" 2>&1)
  [ $? -eq 1 ] && [ "$output" = "haze: HAZE_CPU: there is no level '$1'; it takes $all" ] ||
    { echo "$output"; return 1; }
}

for level in "${levels[@]}"; do
  if lacks "$level"; then
    check "HAZE_CPU=$level is refused on a processor that lacks it" lacks "$level"
    continue
  fi
  check "haze --version says that it runs on $level" says "$level"
  check "the operation table is the reference's on $level" tests "$level" 'operation table*,instruction set*,attention*,exponentials of rows*'
  check "the machine's limits are measured on $level" tests "$level" 'limits by themselves*'
done
check "a level that there is not is refused with those that there are" refuses avx1024

exit $any_failed
