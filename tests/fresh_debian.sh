#!/bin/bash
# Runs one of the two commands of the README on a machine wiped clean: a minimal Debian 12 in a folder of this one.
#
#   tests/fresh_debian.sh FOLDER [COMMAND...]      COMMAND: tests/run.sh where none is given
#
# Example, as root and with the package debootstrap installed:  tests/fresh_debian.sh /tmp/fresh tools/quickstart.sh
# FOLDER must not exist or be empty, and is left as it is afterwards. What is tested is the last commit, not the
# working tree.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() { echo "$1" >&2; exit 2; }

[ $# -ge 1 ] || fail "usage: tests/fresh_debian.sh FOLDER [COMMAND...]"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
command=("${@:2}")
[ ${#command[@]} -gt 0 ] || command=(tests/run.sh)

[ "$(id -u)" -eq 0 ] || fail "tests/fresh_debian.sh has to be run as root: it makes a system and changes into it."
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
[ -z "$(ls -A "$folder")" ] || fail "$folder is not empty; a fresh machine needs an empty folder."

# The machine's own mirror of Debian 12, where it has one; otherwise debootstrap knows a public one.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Release: bookworm' 'Component: main' | head -n 1)
debootstrap --variant=minbase bookworm "$folder" ${mirror:+"$mirror"} >"$folder.log" 2>&1 ||
  fail "debootstrap failed; its output is in $folder.log"
rm "$folder.log"

# A proxy and the like: what this machine's apt needs to reach its mirror, the new one needs too.
apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$folder/etc/apt/apt.conf.d/90host" || true
cp /etc/hosts /etc/resolv.conf "$folder/etc/"

git -c safe.directory='*' clone --quiet --no-hardlinks . "$folder/root/haze"

# The mounts live in a name space of their own and go with it, so nothing is left to clean up.
unshare --mount bash -c '
  folder=$1; shift
  mount -t proc proc "$folder/proc"
  mount -t devpts devpts "$folder/dev/pts"
  exec env -i ${http_proxy+http_proxy="$http_proxy"} ${https_proxy+https_proxy="$https_proxy"} ${CI+CI="$CI"} \
    ${CMAKE_BUILD_PARALLEL_LEVEL+CMAKE_BUILD_PARALLEL_LEVEL="$CMAKE_BUILD_PARALLEL_LEVEL"} ${TERM+TERM="$TERM"} \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
    chroot "$folder" bash -c "cd /root/haze && exec \"\$@\"" _ "$@"
' _ "$folder" "${command[@]}"
