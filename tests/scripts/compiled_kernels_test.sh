#!/bin/bash
# The table of tools/lab is what nvcc says of the ladders' kernels today, and none of them spills registers. Without nvcc, or
# with another version of it, which may give other numbers, only the table's own form is tested.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

readonly table=tools/lab/compiled_kernels.txt
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}

# The kernels that a line says nothing useful of: no four numbers and a name, or spills.
bad=$(grep -v '^#' "$table" | grep -Ev '^[0-9]+ [0-9]+ 0 0 [^ ]' || true)
if [ -z "$bad" ] && grep -q '^# By .*nvcc [0-9.]*, sm_90' "$table"; then
  echo "passed: the table of compiled kernels has its form, and no kernel spills"
else
  echo "failed: lines of $table:" "$bad"
fi

version=$("$nvcc" --version 2>/dev/null | sed -n 's/.*release .*, V//p')
if [ -z "$version" ]; then
  echo "there is no nvcc here: the table is not compared with what it says"
elif ! grep -q "nvcc $version," "$table"; then
  echo "nvcc here is $version, and the table is of another: not compared"
elif difference=$(tools/lab/compile_kernels.sh | diff "$table" -); then
  echo "passed: the table of compiled kernels is what nvcc $version says"
else
  printf 'failed: %s is not what nvcc %s says; make it again by tools/lab/compile_kernels.sh\n%s\n' "$table" "$version" \
    "$difference"
fi
