#!/bin/bash
# Builds Haze and runs every test. The last line is "N passed, N failed"; the exit status is 0 when nothing failed.
#
#   tests/run.sh [--preset release|debug|sanitize]...
#
# All presets are built first. Then as many tests run at a time as there are cores, of all presets together.
# A doctest case counts as one test, and so does each line of a script test that starts with "passed" or "failed".
# The full output of each test is kept beside the test programs, in build/<preset>/tests/*.log.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
source tools/dependencies.sh
source tests/counting.sh
shopt -s nullglob extglob

readonly time_limit=1800  # seconds for one test program, many times what it takes: other jobs may share the cores

presets=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) presets+=("${2:?"--preset takes release, debug or sanitize"}"); shift 2 ;;
    --preset=*) presets+=("${1#--preset=}"); shift ;;
    *) echo "usage: tests/run.sh [--preset release|debug|sanitize]..." >&2; exit 2 ;;
  esac
done
[ ${#presets[@]} -gt 0 ] || presets=(release)

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

# Starts the tests of one built preset, those that take longest first: the others then fill the time beside them.
start_tests() {
  local build=$PWD/build/$1 label="$1 " programs script program
  programs=("$build"/tests/@(engine|tools)_tests "$build"/tests/!(engine|tools)_tests)
  if [ ${#programs[@]} -eq 0 ]; then
    echo "The build of preset $1 made no test program."
    failed=$((failed + 1))
  fi
  # The script tests run nothing of ours that the sanitizers could look at, and a sanitized library cannot be installed.
  if [ "$1" != sanitize ]; then
    for script in tests/scripts/*_test.sh tests/install/run.sh; do start_job run_script "$script"; done
  fi
  for program in "${programs[@]}"; do start_job run_program "$program" "$program"; done
}

install_missing "${haze_packages[@]}" || exit
trap stop_jobs EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
built=()
for preset in "${presets[@]}"; do
  if tools/build.sh "$preset"; then
    built+=("$preset")
  else
    echo "The build of preset $preset failed."
    failed=$((failed + 1))
  fi
done

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1

# Tests on real data skip themselves where there is none. The programs run in another folder: an absolute path.
if [ -z "${HAZE_SHARED_DATA-}" ] && [ -d ../shared/data ]; then
  HAZE_SHARED_DATA=$(cd ../shared/data && pwd)
  export HAZE_SHARED_DATA
fi

# Waiting threads that spin would take the cores from whatever else runs on the machine.
export OMP_WAIT_POLICY=passive
for preset in ${built[@]+"${built[@]}"}; do start_tests "$preset"; done
collect_jobs
finish
