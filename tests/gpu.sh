#!/bin/bash
# Builds Haze for this machine's GPU, runs every test on it, and writes a report that is worth sending back. The last line
# is "N passed, N failed"; the exit status is 0 when nothing failed.
#
#   tests/gpu.sh [REPORT]        REPORT: build/gpu_report.txt (default)
#
# The ladders come first, which use every word of gpu_cuda.h, then the operation table. Where compute-sanitizer is installed,
# it watches the operation table, too.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
source tools/dependencies.sh
source tests/counting.sh

readonly time_limit=3600
export HAZE_REQUIRE_GPU=1  # a GPU that cannot be used is a failure, not a test that skips itself
readonly tests=$PWD/build/cuda/tests
report=${1:-build/gpu_report.txt}
mkdir -p "$(dirname "$report")" || exit
exec > >(tee "$report") 2>&1

heading() { printf '\n== %s ==\n' "$1"; }

# Runs the doctest cases of a program whose names match, as one job.
cases() {
  local program=$1 what=$2
  shift 2
  local label="$what: "
  # shellcheck disable=SC2034  # counting.sh reads it
  run_program "$tests/$program" "$@" "$tests/$program" --test-case="$what"
}

heading "Machine"
if ! nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.memory --format=csv; then
  echo "nvidia-smi finds no GPU."
  failed=1
  finish
fi
git describe --always --dirty
uname -sr

heading "Build"
if ! tools/build.sh cuda; then
  echo "The build failed."
  failed=1
  finish
fi
build/cuda/tools/haze --version

heading "Ladders: whether each rung is right, and its time"
for ladder in matmul convolution softmax attention sum cumulative_sum transpose index_add; do
  build/cuda/tools/haze lab "$ladder" --device cuda || failed=$((failed + 1))
done

heading "Operation table"
cases engine_tests 'operation table: a GPU*'
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    heading "Operation table under compute-sanitizer's $tool"
    cases engine_tests 'operation table: a GPU*' compute-sanitizer --tool "$tool" --error-exitcode 1
  done
fi
heading "All tests"
for program in engine autograd nn diffusion tools; do run_program "$tests/${program}_tests" "$tests/${program}_tests"; done

heading "Training"
run=$(mktemp -d)
for model in mdlm ddpm; do
  build/cuda/tools/haze train --set model="$model" --device cuda --out "$run/$model" --set train.steps=200 || failed=$((failed + 1))
done
rm -rf "$run"
heading "In total"
finish
