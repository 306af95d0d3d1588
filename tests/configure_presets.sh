#!/bin/bash
# Installs the packages of each preset and configures it, which finds every library without compiling anything. The last
# line is "N passed, N failed"; the exit status is 0 when nothing failed.
#
#   tests/configure_presets.sh
#
# The answer is worth most where nothing else is installed:
#   tests/fresh_debian.sh /tmp/fresh tests/configure_presets.sh
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# In this order, so that no package that only bench needs is there before it. tests/aarch64/run.sh prepares its preset.
readonly presets=(release debug sanitize static bench)

passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for preset in "${presets[@]}"; do
  # The target help builds nothing.
  if tools/build.sh "$preset" help >"$log" 2>&1; then
    echo "passed: preset $preset configures"
    passed=$((passed + 1))
  else
    cat "$log"
    echo "failed: preset $preset does not configure"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
