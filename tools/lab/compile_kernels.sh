#!/bin/bash
# Compiles the ladders with nvcc for sm_90 and prints what ptxas says of each kernel: registers of a thread, bytes of
# static shared memory, bytes of spill stores and loads, name. Takes some seconds a file. No GPU is needed.
#
#   tools/lab/compile_kernels.sh > tools/lab/compiled_kernels.txt
#   tools/lab/compile_kernels.sh FILE.cu...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nvcc=${NVCC:-$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)}
command -v "$nvcc" >/dev/null || { echo "compile_kernels.sh: there is no nvcc; NVCC=PATH names it" >&2; exit 1; }
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(engine/cuda/ladder/*_ladder.cu)
include=$(mktemp -d)
trap 'rm -rf "$include"' EXIT
mkdir "$include/haze"
ln -s "$PWD/engine" "$include/haze/engine"
echo "# By tools/lab/compile_kernels.sh: nvcc $("$nvcc" --version | sed -n 's/.*release .*, V//p'), sm_90."
echo "# registers of a thread, bytes of static shared memory, of spill stores, of spill loads; kernel"
for file in "${files[@]}"; do
  "$nvcc" -std=c++20 -x cu -arch=sm_90 --expt-relaxed-constexpr -DFMT_USE_CONSTEXPR=1 -O2 -Xptxas -v -I "$include" \
    -cubin "$file" -o "$include/kernels.cubin" 2>&1 ||
    { echo "compile_kernels.sh: nvcc does not compile $file" >&2; exit 1; }
done | awk '
  /Compiling entry function/ { split($0, part, "\x27"); name = part[2] }
  /spill stores/ { stores = $5; loads = $9 }
  /Used [0-9]+ registers/ && name {
    shared = 0
    for (i = 1; i < NF; ++i) if ($i == "bytes" && $(i + 1) ~ /^smem/) shared = $(i - 1)
    match($0, /Used [0-9]+/)
    print substr($0, RSTART + 5, RLENGTH - 5), shared, stores, loads, name
    name = ""
  }' | c++filt | sed -e 's/haze::gpu:://g' -e 's/(anonymous namespace):://g' -e 's/void //g' -e 's/>(.*$/>/' \
  -e 's/^\([^<(]*\)(.*$/\1/' | sort -k 5
