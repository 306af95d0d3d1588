#!/bin/bash
# Installs what is missing, builds the haze program, trains a small masked diffusion model on the built-in corpus and
# writes sentences with it. Everything it makes is in build/release and runs/quickstart.
#
#   tools/quickstart.sh [--help]
#
# A run that is there already is kept: one that was broken off goes on, and a finished one only writes. Remove
# runs/quickstart to train anew.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Prints the comment at the top of this file.
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' tools/quickstart.sh; }

case ${1-} in
  "") ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    echo "tools/quickstart.sh: there is no option '$1'; see tools/quickstart.sh --help" >&2
    exit 2
    ;;
esac

heading() { printf '\n== %s ==\n' "$1"; }
haze=build/release/tools/haze
run=runs/quickstart

heading "Building"
tools/build.sh release haze

if [ -e "$run/latest" ]; then
  heading "Going on with $run, which is there already; remove it to train anew"
  "$haze" train --resume --out "$run"
else
  heading "Training (configs/quickstart.toml)"
  "$haze" train --config configs/quickstart.toml --out "$run"
fi

heading "A sentence appearing out of masks, step by step"
"$haze" sample "$run" --trace --count 1 --seed 1

# Writes ten samples, then how many of them differ and how many the grammar accepts.
write_samples() {
  local samples
  samples=$("$haze" sample "$run" --count 10 --seed 1 "$@")
  printf '%s\n\n%s different ones; ' "$samples" "$(sort -u <<<"$samples" | wc -l)"
  "$haze" data check <<<"$samples" | tail -n 1
}

heading "Ten samples at temperature 0.3, top-p 0.6: likely sentences"
write_samples --temperature 0.3 --top-p 0.6

heading "Ten samples at temperature 1: as varied as the texts that it has learnt from"
write_samples --temperature 1 --top-p 1

heading "Filling the gaps of a sentence"
"$haze" infill "$run" "The _ is a _ _ near the _ ." --seed 1

heading "Bits per token on unseen sentences"
"$haze" eval "$run"

printf '\ntools/install.sh puts haze on the PATH; README.md says how to train on your own text.\n'
