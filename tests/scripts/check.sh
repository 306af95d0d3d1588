# shellcheck shell=bash
# For script tests; to be sourced. They end with `exit $any_failed`.
any_failed=0

# check NAME COMMAND...: prints the test's line; where the command fails, also what it printed.
check() {
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    echo "passed: $name"
  else
    printf 'failed: %s\n%s\n' "$name" "$(sed 's/^/  /' <<<"$output")"
    any_failed=1
  fi
}
