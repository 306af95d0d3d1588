#!/bin/bash
# Installs what is missing, builds the haze program, trains a small masked diffusion model on the built-in corpus and
# writes sentences with it. Everything it makes is in build/release and runs/quickstart.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

heading() { printf '\n== %s ==\n' "$1"; }
haze=build/release/tools/haze
run=runs/quickstart

heading "Building"
tools/build.sh release haze
rm -rf "$run"

heading "Training (configs/quickstart.toml)"
"$haze" train --config configs/quickstart.toml --out "$run"

heading "A sentence appearing out of masks, step by step"
"$haze" sample "$run" --trace --count 1

heading "Finished samples"
"$haze" sample "$run" --count 10

heading "Filling the gaps of a sentence"
"$haze" infill "$run" "The _ is a _ _ near the _ ."

heading "Bits per token on unseen sentences"
"$haze" eval "$run"
