# shellcheck shell=bash disable=SC2154
# For scripts that run test programs and end with "N passed, N failed"; to be sourced. They set time_limit, the seconds of
# one test program.
passed=0
failed=0

finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}

# Adds a test's counts to the totals and prints its line, after its output if something in it failed.
report() {
  local name=$1 test_passed=$2 test_failed=$3 log=$4
  [ "$test_failed" -eq 0 ] || cat "$log"
  printf '%-32s %4d passed, %d failed\n' "$name" "$test_passed" "$test_failed"
  passed=$((passed + test_passed))
  failed=$((failed + test_failed))
}

# Runs a command with the time limit and no input, its output into the file $1. Returns the command's status.
run_logged() {
  local log=$1 status
  shift
  timeout --kill-after=10 "$time_limit" "$@" >"$log" 2>&1 </dev/null
  status=$?
  [ "$status" -ne 124 ] || echo "stopped after $time_limit seconds" >>"$log"
  return $status
}

# Runs the doctest program $1 by the command that follows, in the program's folder, and counts its cases by doctest's last
# line. A program that crashed counts one failure at least, and so does one that ran no test.
run_program() {
  local program=$1 log=$1.log summary status pattern='([0-9]+) passed \| +([0-9]+) failed'
  (cd "$(dirname "$program")" && run_logged "$log" "${@:2}" --no-colors=true)
  status=$?
  local program_passed=0 program_failed=0
  summary=$(grep -a '^\[doctest\] test cases:' "$log" | tail -n 1)
  if [[ $summary =~ $pattern ]]; then
    program_passed=${BASH_REMATCH[1]}
    program_failed=${BASH_REMATCH[2]}
  fi
  if [ "$status" -ne 0 ] && [ "$program_failed" -eq 0 ]; then
    echo "$(basename "$program") ended with status $status" >>"$log"
    program_failed=1
  elif [ $((program_passed + program_failed)) -eq 0 ]; then
    echo "$(basename "$program") ran no test" >>"$log"
    program_failed=1
  fi
  report "$(basename "$program")" "$program_passed" "$program_failed" "$log"
}
