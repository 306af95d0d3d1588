#!/bin/bash
# Builds Haze and runs every test. The last line is "N passed, N failed"; the exit status is 0 when nothing failed.
#
#   tests/run.sh [--preset release|debug|sanitize]
#
# A doctest case counts as one test, and so does each line of a script test that starts with "passed" or "failed".
# The full output of each test is kept beside the test programs, in build/<preset>/tests/*.log.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
source tools/dependencies.sh
source tests/counting.sh

readonly time_limit=900  # seconds for one test program; all of them together take a fraction of it

preset=release
case "${1-}" in
  --preset) preset=${2:?"--preset takes release, debug or sanitize"} ;;
  --preset=*) preset=${1#--preset=} ;;
  "") ;;
  *) echo "usage: tests/run.sh [--preset release|debug|sanitize]" >&2; exit 2 ;;
esac

# Runs one script test with the build folder as its argument and counts its lines.
run_script() {
  local script=$1 log status script_passed script_failed
  log=$build/tests/$(echo "${script#tests/}" | tr / _).log
  run_logged "$log" bash "$script" "$build"
  status=$?
  script_passed=$(grep -ac '^passed' "$log")
  script_failed=$(grep -ac '^failed' "$log")
  if { [ "$status" -ne 0 ] && [ "$script_failed" -eq 0 ]; } || [ $((script_passed + script_failed)) -eq 0 ]; then
    echo "$script ended with status $status after $script_passed tests" >>"$log"
    script_failed=$((script_failed + 1))
  fi
  report "$script" "$script_passed" "$script_failed" "$log"
}

install_missing "${haze_packages[@]}" || exit
build=$PWD/build/$preset
if ! tools/build.sh "$preset"; then
  echo "The build of preset $preset failed."
  failed=1
  finish
fi

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1

# Tests on real data skip themselves where there is none. The programs run in another folder: an absolute path.
if [ -z "${HAZE_SHARED_DATA-}" ] && [ -d ../shared/data ]; then
  HAZE_SHARED_DATA=$(cd ../shared/data && pwd)
  export HAZE_SHARED_DATA
fi

shopt -s nullglob
# Waiting threads that spin would take the cores from whatever else runs on the machine.
export OMP_WAIT_POLICY=passive
programs=("$build"/tests/*_tests)
if [ ${#programs[@]} -eq 0 ]; then
  echo "The build made no test program."
  failed=1
fi
for program in "${programs[@]}"; do
  run_program "$program" "$program"
done
# The script tests run nothing of ours that the sanitizers could look at, and a sanitized library cannot be installed.
if [ "$preset" != sanitize ]; then
  for script in tests/scripts/*_test.sh tests/install/run.sh; do
    run_script "$script"
  done
fi
finish
