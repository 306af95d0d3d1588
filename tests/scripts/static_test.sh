#!/bin/bash
# The statically linked program (target haze_static) is one file that needs no other: it trains, samples and evaluates in an
# empty folder that becomes its root, beside nothing but /proc. Links the objects of a finished build again, which takes
# seconds. Prints one line a test.
#
#   tests/scripts/static_test.sh BUILD_FOLDER
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
build=${1:?"takes the build folder"}

root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT

source tests/scripts/check.sh

if ! log=$(CMAKE_BUILD_PARALLEL_LEVEL=1 cmake --build "$build" --target haze_static 2>&1); then
  printf 'failed: the static program is built\n%s\n' "$log"
  exit 1
fi
static=$build/static/haze
dynamic=$build/tools/haze

needs_no_file() {
  readelf --program-headers --dynamic "$static"
  ! readelf --program-headers --dynamic "$static" | grep -qE 'INTERP|NEEDED'
}
check "the static program names no loader and no shared library" needs_no_file

chooses_the_same_kernels() {
  local level
  for level in "" avx512 avx2 baseline avx1024; do
    diff <(HAZE_CPU=$level "$dynamic" --version 2>&1) <(HAZE_CPU=$level "$static" --version 2>&1) || return
  done
}
check "it takes the same instruction set as the usual program, by itself and for each HAZE_CPU" chooses_the_same_kernels

# Runs the static program as /haze of the new root. The mount lives in a name space of its own and ends with it.
inside() {
  unshare --mount --propagation private bash -c '
    mount -t proc proc "$1/proc" 2>/dev/null || mount --bind /proc "$1/proc" || exit
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin OMP_WAIT_POLICY=passive chroot "$1" /haze "${@:2}"' _ "$root" "$@"
}

mkdir "$root/proc"
if [ "$(id -u)" -ne 0 ] || ! unshare --mount mount -t proc proc "$root/proc" 2>/dev/null; then
  echo "An empty root takes the rights to mount and to chroot: not tested there"
  exit $any_failed
fi
cp "$static" "$root/haze"

small=(--set train.steps=5 --set train.batch_size=4 --set data.corpus_size=500 --set transformer.layers=1
       --set transformer.hidden=32 --set transformer.heads=2 --set train.evaluate_examples=20)
trains() { inside train --threads 2 --out /run "${small[@]}" && [ "$(cat "$root/run/latest")" = step-000005 ]; }
check "in an empty root it trains five steps on the built-in corpus" trains

samples() { inside sample /run --threads 1 --count 3 --seed 7; }
samples_the_same() {
  samples
  [ "$(samples | wc -l)" -eq 3 ] && diff <(samples) <("$dynamic" sample "$root/run" --threads 1 --count 3 --seed 7)
}
check "there it writes the texts that the usual program writes with the same weights" samples_the_same

evaluates() {
  inside eval /run --threads 1 --examples 20 --passes 5 --samples 2 --json | tee /dev/stderr | grep -q '"nats_per_token"'
}
check "there it evaluates the run" evaluates

refuses_the_gpu() {
  local output
  output=$(inside train --out /other --device cuda "${small[@]}" 2>&1)
  [ $? -eq 1 ] && [[ $output == "haze: device cuda: "* ]] && [ "$(wc -l <<<"$output")" -eq 1 ] && return
  echo "$output"
  return 1
}
check "it says in one sentence that there is no device cuda" refuses_the_gpu

exit $any_failed
