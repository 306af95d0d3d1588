#!/bin/bash
# How tests/run.sh counts, in a pretended repository whose build makes test programs that print and end as told.
# Prints one line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pretended=$folder/haze
mkdir "$pretended"
unset HAZE_SHARED_DATA

# Pretends a repository with one script test that passes, whose tools/build.sh ends with status $1 and whose
# install_missing with status $2.
pretend() {
  rm -rf "${pretended:?}"/*
  mkdir -p "$pretended"/{tools,tests/scripts,tests/install,build/release/tests,build/sanitize/tests}
  echo 'echo "passed: it installs"' >"$pretended/tests/install/run.sh"
  cp tests/run.sh tests/counting.sh "$pretended/tests/"
  printf 'haze_packages=()\ninstall_missing() { return %s; }\n' "${2:-0}" >"$pretended/tools/dependencies.sh"
  printf '#!/bin/bash\nexit %s\n' "$1" >"$pretended/tools/build.sh"
  chmod +x "$pretended/tools/build.sh"
}

# Adds a test program that prints the text $2 and then runs the command $3.
add_program() {
  printf '#!/bin/bash\ncat <<END\n%s\nEND\n%s\n' "$2" "$3" >"$pretended/build/release/tests/$1"
  chmod +x "$pretended/build/release/tests/$1"
}

summary() { echo "[doctest] test cases: $(($1 + $2)) | $1 passed | $2 failed | 0 skipped"; }

any_failed=0
# expect NAME LINE STATUS [TEXT [OPTION...]]: runs the pretended tests/run.sh and prints the test's line.
expect() {
  local name=$1 line=$2 wanted_status=$3 text=${4-} output status
  output=$("$pretended/tests/run.sh" "${@:5}" 2>&1 </dev/null)
  status=$?
  if [ "$(tail -n 1 <<<"$output")" = "$line" ] && [ "$status" -eq "$wanted_status" ] && [[ $output == *"$text"* ]]; then
    echo "passed: $name"
  else
    printf 'failed: %s (status %s)\n%s\n' "$name" "$status" "$(sed 's/^/  /' <<<"$output")"
    any_failed=1
  fi
}

pretend 0
add_program engine_tests "$(summary 12 0)" "exit 0"
add_program nn_tests "$(summary 30 0)" "exit 0"
echo 'echo "passed: a"; echo "passed: b"' >"$pretended/tests/scripts/some_test.sh"
expect "the cases of all programs and the lines of all script tests are added up" "45 passed, 0 failed" 0

cp "$pretended"/build/release/tests/*_tests "$pretended/build/sanitize/tests/"
expect "the preset sanitize runs the programs and not the script tests" "42 passed, 0 failed" 0 "" --preset sanitize

pretend 0
add_program engine_tests "the sum is wrong
$(summary 11 1)" "exit 1"
expect "a failed case is counted, and its program's output shown" "12 passed, 1 failed" 1 "the sum is wrong"

pretend 0
add_program engine_tests "half way" "kill -SEGV \$\$"
add_program nn_tests "$(summary 30 0)" "exit 0"
expect "a program that crashes is one failure, and the others still run" "31 passed, 1 failed" 1 "half way"

pretend 0
add_program engine_tests "$(summary 12 0)" "exit 23"
expect "a program that passes every case and then ends with an error is one failure" "13 passed, 1 failed" 1 "status 23"

pretend 0
add_program engine_tests "$(summary 0 0)" "exit 0"
expect "a program that runs no test is one failure" "1 passed, 1 failed" 1 "ran no test"

pretend 0
expect "a build that makes no test program is one failure" "1 passed, 1 failed" 1

pretend 1
add_program engine_tests "$(summary 12 0)" "exit 0"
expect "a build that fails is one failure, and what an earlier build left does not run" "0 passed, 1 failed" 1

pretend 0
add_program engine_tests "$(summary 12 0)" "exit 0"
echo 'echo "passed: a"; echo "failed: b: too short"; exit 1' >"$pretended/tests/scripts/some_test.sh"
echo 'echo "passed: a"; exit 1' >"$pretended/tests/scripts/another_test.sh"
echo 'exit 0' >"$pretended/tests/scripts/silent_test.sh"
expect "a script test fails by a line, by its status, and by printing no line" "15 passed, 3 failed" 1 "b: too short"

# Prints a summary in which one case passes where HAZE_SHARED_DATA is $1, and fails where it is not.
tell_shared_data() {
  printf 'if [ "${HAZE_SHARED_DATA-none}" = "%s" ]; then echo "%s"; else echo "%s"; fi\n' "$1" "$(summary 1 0)" "$(summary 0 1)"
}
pretend 0
add_program tools_tests "" "$(tell_shared_data none)"
expect "without shared data, test programs are told of none" "2 passed, 0 failed" 0
mkdir -p "$folder/shared/data"
add_program tools_tests "" "$(tell_shared_data "$folder/shared/data")"
expect "shared data beside the repository are handed to test programs by their absolute path" "2 passed, 0 failed" 0
rm -r "$folder/shared"

pretend 0 1
add_program engine_tests "$(summary 12 0)" "exit 0"
expect "where packages cannot be installed, nothing runs and the status is an error" "" 1

exit $any_failed
