#!/bin/bash
# tools/dependencies.sh against a pretended machine: a PATH that holds nothing but stubs of dpkg-query, apt-get and id,
# and the few real commands that the script uses. Prints one line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

machine=$(mktemp -d)
trap 'rm -rf "$machine"' EXIT
mkdir "$machine/bin"
for command in mktemp cat rm; do
  ln -s "$(command -v "$command")" "$machine/bin/"
done

stub() { printf '#!%s\n%s\n' "$BASH" "$2" >"$machine/bin/$1"; chmod +x "$machine/bin/$1"; }

# Pretends a machine: its user's id, the packages installed, and those of which only the configuration is left.
pretend() {
  : >"$machine/apt_calls"
  stub id "echo $1"
  stub dpkg-query "case ' $2 ' in *\" \${@: -1} \"*) printf installed; exit; esac
                   case ' $3 ' in *\" \${@: -1} \"*) printf config-files; exit; esac
                   echo no packages found >&2; exit 1"
  stub apt-get "echo \"\$*\" >>$machine/apt_calls"
}

# Asks for the given packages on the pretended machine; leaves $status, $output and $apt_calls behind.
ask_for() {
  output=$(PATH=$machine/bin "$BASH" -c 'source tools/dependencies.sh; install_missing "$@"' _ "$@" 2>&1)
  status=$?
  apt_calls=$(cat "$machine/apt_calls")
}

any_failed=0
# check NAME CONDITION...: prints the test's line; the condition is a command.
check() {
  local name=$1
  shift
  if "$@"; then
    echo "passed: $name"
  else
    echo "failed: $name (status $status, output \"$output\", apt-get calls \"$apt_calls\")"
    any_failed=1
  fi
}

needs_nothing() { [ "$status" -eq 0 ] && [ -z "$output" ] && [ -z "$apt_calls" ]; }
pretend 1000 "g++ cmake" ""
ask_for g++ cmake
check "where nothing is missing, no root is needed and apt-get is not called" needs_nothing

names_the_line() {
  [ "$status" -ne 0 ] && [ -z "$apt_calls" ] &&
    [ "$(grep -c 'apt-get install' <<<"$output")" -eq 1 ] &&
    grep -qx '  apt-get install --no-install-recommends g++ ninja-build' <<<"$output"
}
pretend 1000 "cmake" ""
ask_for g++ cmake ninja-build
check "without root, the one line to run names what is missing and nothing else, and the status is an error" \
      names_the_line

counts_as_missing() { [ "$status" -ne 0 ] && grep -qx '  apt-get install --no-install-recommends cmake' <<<"$output"; }
pretend 1000 "g++" "cmake"
ask_for g++ cmake
check "a removed package whose configuration files are left is missing" counts_as_missing

installs() {
  [ "$status" -eq 0 ] && [ "$(wc -l <<<"$apt_calls")" -eq 2 ] &&
    [[ $(sed -n 1p <<<"$apt_calls") == *" update" ]] &&
    [[ $(sed -n 2p <<<"$apt_calls") == *" -y "*" install --no-install-recommends g++ ninja-build" ]]
}
pretend 0 "cmake" ""
ask_for g++ cmake ninja-build
check "root installs what is missing and nothing else, after an update" installs

shows_why() {
  [ "$status" -ne 0 ] && [[ $output == *"E: Unable to locate package g++"* ]] &&
    [[ $output == *"apt-get could not install g++"* ]]
}
pretend 0 "" ""
stub apt-get 'case "$*" in *install*) echo "E: Unable to locate package g++"; exit 100; esac'
ask_for g++
check "when apt-get fails, its message is shown and the status is an error" shows_why

names_the_need() {
  [ "$status" -ne 0 ] && [ -z "$apt_calls" ] && [ "$(wc -l <<<"$output")" -eq 1 ] && [[ $output == *"g++ cmake."* ]]
}
pretend 0 "" ""
rm "$machine/bin/dpkg-query"
ask_for g++ cmake
check "a system without Debian packages gets one sentence that names what is needed" names_the_need

exit $any_failed
