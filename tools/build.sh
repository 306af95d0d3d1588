#!/bin/bash
# Installs what is missing, configures and builds.
#
#   tools/build.sh [PRESET [TARGET...]]      PRESET: release (default), debug, sanitize, bench, static, cuda
#
# At most one compiler a core runs at a time, and fewer where memory is short; CMAKE_BUILD_PARALLEL_LEVEL, when set,
# decides instead. ccache is used where it is installed.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
source tools/dependencies.sh

# Prints how many KiB of memory may still be taken: the machine's, or the container's where that is less.
available_kib() {
  local machine limit used
  machine=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo 2>/dev/null)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null)
  used=$(cat /sys/fs/cgroup/memory.current 2>/dev/null)
  if [[ $limit =~ ^[0-9]+$ && $used =~ ^[0-9]+$ ]]; then
    limit=$(((limit - used) / 1024))
    [ "$limit" -lt "${machine:-$limit}" ] && machine=$limit
  fi
  echo "${machine:-0}"
}

# Prints how many compilers may run at a time, one of which takes up to 1.5 GiB under the sanitizers.
build_jobs() {
  local by_memory=$(($(available_kib) / 1572864)) cores
  cores=$(nproc)
  [ "$by_memory" -lt 1 ] && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

preset=${1:-release}
targets=("${@:2}")
packages=("${haze_packages[@]}")
[ "$preset" != bench ] || packages+=("${haze_bench_packages[@]}")
install_missing "${packages[@]}" || exit
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
fi
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(build_jobs)}
cmake --preset "$preset" --log-level=WARNING || exit
cmake --build --preset "$preset" ${targets[@]+--target "${targets[@]}"}
