#!/bin/bash
# The arrows between the layers: with the include path of one, a header of a layer above is not found. Takes that path
# from the compile commands of the release build. Prints one line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

commands=build/release/compile_commands.json
layers=(engine autograd nn diffusion tools)
any_failed=0
report() { # report STATUS NAME: prints the test's line.
  if [ "$1" -eq 0 ]; then
    echo "passed: $2"
  else
    echo "failed: $2"
    any_failed=1
  fi
}

# The include path with which a layer's first source is compiled.
include_path() {
  grep '"command"' "$commands" | grep -- "-c $PWD/$1/" | head -n 1 | grep -oE -- '-(I|isystem )[^ "]+' | tr '\n' ' '
}

first_header() { find "$1" -name '*.h' | sort | head -n 1; }

# compiles LAYER HEADER: whether a source that includes nothing else compiles; leaves $messages behind.
compiles() {
  # The flags are words of their own.
  # shellcheck disable=SC2046
  messages=$(echo "#include \"haze/$2\"" |
             LC_ALL=C "${CXX:-g++}" -std=c++20 -fopenmp -fsyntax-only $(include_path "$1") -x c++ - 2>&1)
}

if [ ! -f "$commands" ]; then
  echo "failed: there are no compile commands; tools/build.sh release writes them"
  exit 1
fi
for layer in "${layers[@]}"; do
  above=0
  for other in "${layers[@]}"; do
    header=$(first_header "$other")
    if [ "$above" -eq 0 ]; then
      compiles "$layer" "$header"
      report $? "$layer may include $other"
    else
      ! compiles "$layer" "$header" && [[ $messages == *"haze/$header: No such file"* ]]
      report $? "an include of $other in $layer does not compile"
    fi
    [ "$other" = "$layer" ] && above=1
  done
done
exit $any_failed
