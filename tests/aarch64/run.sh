#!/bin/bash
# Builds Haze for AArch64 and runs its tests on an emulated processor (QEMU's user mode), so that a machine with x86-64
# is enough. The last line is "N passed, N failed"; the exit status is 0 when nothing failed.
#
#   tests/aarch64/run.sh [LAYER...]      LAYER: engine (default), autograd, nn, diffusion
#
# The full output of each program is in build/aarch64/tests/*.log. The libraries of the other architecture are not
# installed: they are unpacked into build/aarch64/sysroot.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
source tools/dependencies.sh
source tests/counting.sh

readonly time_limit=3600  # seconds for one test program

# Tests that are left out. The operation table is not among them.
readonly left_out=(
  '*for every float*'           # 61 times the sample of all floats, which takes half a minute and runs
  'categorical gets a tail*'    # minutes, most of them in the C library's logarithm
)

layers=("$@")
[ ${#layers[@]} -gt 0 ] || layers=(engine)
for layer in "${layers[@]}"; do
  case $layer in
    engine | autograd | nn | diffusion) ;;
    *) echo "usage: tests/aarch64/run.sh [engine|autograd|nn|diffusion]..." >&2; exit 2 ;;
  esac
done

# Downloads the libraries for AArch64 and unpacks them. apt gets package lists of its own, beside the machine's, so that
# neither root nor a change of the machine's architectures is needed.
unpack_libraries() {
  local build=$PWD/build/aarch64 apt=$PWD/build/aarch64/apt package
  [ -e "$build/sysroot/complete" ] && return
  echo "Unpacking ${haze_aarch64_libraries[*]}"
  rm -rf "$apt" "$build/sysroot"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$build/sysroot" || return
  local options=(-o APT::Architectures="$(dpkg --print-architecture),arm64" -o APT::Sandbox::User=
                 -o Dir::State::Lists="$apt/lists" -o Dir::Cache="$apt/cache")
  quiet_apt_get "${options[@]}" update || return
  (cd "$apt" && quiet_apt_get "${options[@]}" download "${haze_aarch64_libraries[@]}") || return
  for package in "$apt"/*.deb; do
    dpkg --extract "$package" "$build/sysroot" || return
  done
  rm -rf "$apt"
  touch "$build/sysroot/complete"
}

install_missing "${haze_packages[@]}" "${haze_aarch64_packages[@]}" || exit
if ! unpack_libraries; then
  echo "The libraries for AArch64 could not be unpacked; the reason is above."
  failed=1
  finish
fi
if ! tools/build.sh aarch64 "${layers[@]/%/_tests}"; then
  echo "The build of preset aarch64 failed."
  failed=1
  finish
fi

# Waiting threads that spin would take the cores from those that work.
export OMP_WAIT_POLICY=passive
exclude=$(IFS=,; echo "${left_out[*]}")
for layer in "${layers[@]}"; do
  program=$PWD/build/aarch64/tests/${layer}_tests
  run_program "$program" qemu-aarch64 -L /usr/aarch64-linux-gnu "$program" --duration=true --test-case-exclude="$exclude"
done
finish
