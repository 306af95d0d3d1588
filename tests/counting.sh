# shellcheck shell=bash disable=SC2154
# For scripts that run test programs and end with "N passed, N failed"; to be sourced. They set time_limit, the seconds of
# one test program. `label`, where it is set, stands before the names of programs.
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
  # bash starts jobs with SIGINT ignored, which tests of Ctrl-C would inherit.
  env --default-signal=INT,QUIT timeout --kill-after=10 "$time_limit" "$@" >"$log" 2>&1 </dev/null &
  # bash acts on a signal while it waits for a job, but not while a command runs in the foreground.
  trap "kill $!" TERM
  wait $!
  status=$?
  trap - TERM
  [ "$status" -ne 124 ] || echo "stopped after $time_limit seconds" >>"$log"
  return $status
}

# Runs the doctest program $1 by the command that follows, in the program's folder, and counts its cases by doctest's last
# line. A program that crashed counts one failure at least, and so does one that ran no test.
run_program() {
  local program=$1 log=$1.log summary status pattern='([0-9]+) passed \| +([0-9]+) failed'
  run_logged "$log" env --chdir="$(dirname "$program")" "${@:2}" --no-colors=true
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
  report "${label-}$(basename "$program")" "$program_passed" "$program_failed" "$log"
}

# Runs the counting function $1 with its arguments beside those that run already, at most one for each core. Its lines
# and counts are kept until collect_jobs.
job_count=0
start_job() {
  [ -n "${job_folder-}" ] || job_folder=$(mktemp -d)
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  local result=$job_folder/$job_count
  job_count=$((job_count + 1))
  (
    trap - EXIT
    passed=0
    failed=0
    "$@" >"$result.lines" 2>&1
    echo "$passed $failed" >"$result.counts"
  ) &
}

# Waits for all jobs, prints their lines in the order in which they began, and adds up their counts. A job without counts
# is a failure.
collect_jobs() {
  local number job_passed job_failed
  wait
  for ((number = 0; number < job_count; ++number)); do
    cat "$job_folder/$number.lines"
    job_passed=0 job_failed=1
    [ ! -s "$job_folder/$number.counts" ] || read -r job_passed job_failed <"$job_folder/$number.counts"
    passed=$((passed + job_passed))
    failed=$((failed + job_failed))
  done
}

# For traps: ends the jobs that run and removes what they left.
stop_jobs() {
  local running
  running=$(jobs -p)
  [ -z "$running" ] || kill $running 2>/dev/null
  [ -z "${job_folder-}" ] || rm -rf "$job_folder"
}
