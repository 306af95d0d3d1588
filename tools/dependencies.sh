# shellcheck shell=bash disable=SC2034
# The Debian packages that Haze needs, and a function that installs those that are missing. To be sourced by bash:
#
#   source tools/dependencies.sh
#   install_missing "${haze_packages[@]}" || exit

# To build and test: compiler, build tools, and the libraries of engine, tools and tests, in this order.
haze_packages=(
  g++ cmake ninja-build
  libfmt-dev libhwy-dev libboost-context-dev
  libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libpng-dev zlib1g-dev
  doctest-dev
)

# What the preset bench needs besides: the timer, and the peers that haze is measured against. oneDNN's CMake package
# looks for OpenCL, which its Debian package only recommends.
haze_bench_packages=(libbenchmark-dev libdnnl-dev ocl-icd-opencl-dev libblis-pthread-dev)

# What tests/aarch64/run.sh needs besides: a compiler for AArch64 and an emulator, and the libraries for AArch64, which it
# unpacks but does not install.
haze_aarch64_packages=(g++-aarch64-linux-gnu qemu-user)
haze_aarch64_libraries=(libfmt-dev:arm64 libfmt9:arm64 libhwy-dev:arm64 libhwy1:arm64 libboost1.74-dev:arm64
                        libboost-context1.74-dev:arm64 libboost-context1.74.0:arm64 doctest-dev nlohmann-json3-dev)

# What .ci/run needs besides. The version is part of the name because every version formats a little differently.
haze_ci_packages=(clang-format-14)

# Prints those of the given packages that are not installed, on one line.
missing_packages() {
  local package status missing=()
  for package in "$@"; do
    status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)
    [ "$status" = installed ] || missing+=("$package")
  done
  echo "${missing[*]}"
}

# Runs apt-get without questions. Its output is shown only when it fails.
quiet_apt_get() {
  local log status
  log=$(mktemp)
  # A machine that has just started may be installing updates by itself: wait for the lock instead of failing.
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null
  status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  rm -f "$log"
  return $status
}

# Installs those of the given packages that are missing. Returns non-zero, with a sentence on stderr, if it cannot.
install_missing() {
  if ! command -v dpkg-query >/dev/null; then
    echo "This system does not use Debian packages; what these ones hold has to be installed by hand, then build" \
         "with CMake: $*." >&2
    return 1
  fi
  local missing
  read -r -a missing <<<"$(missing_packages "$@")"
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    printf 'Packages are missing. Run this as root, then start again:\n  %s\n' \
           "apt-get install --no-install-recommends ${missing[*]}" >&2
    return 1
  fi
  echo "Installing ${missing[*]}"
  quiet_apt_get update || echo "apt-get update failed; trying with the package lists that are here." >&2
  if ! quiet_apt_get install --no-install-recommends "${missing[@]}"; then
    echo "apt-get could not install ${missing[*]}; its message is above." >&2
    return 1
  fi
}
