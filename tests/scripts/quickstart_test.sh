#!/bin/bash
# What tools/quickstart.sh does with its arguments and with a run that is there, in a pretended repository. Prints one
# line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Pretends a repository whose build makes a program that notes its arguments.
pretend() {
  rm -rf "${folder:?}"/*
  mkdir -p "$folder"/tools "$folder"/build/release/tools
  cp tools/quickstart.sh "$folder/tools/"
  printf '#!/bin/bash\necho build >>notes\n' >"$folder/tools/build.sh"
  cat >"$folder/build/release/tools/haze" <<'END'
#!/bin/bash
echo "$@" >>notes
case $1 in
  sample) printf 'text %s\n' 1 2 2 ;;
  data) echo "$(grep -c 2) of 3 texts are of the grammar"; exit 1 ;;
esac
END
  chmod +x "$folder/tools/build.sh" "$folder/build/release/tools/haze"
}

any_failed=0
# expect NAME STATUS TEXT NOTE [OPTION...]: the status, a text that is printed, and the second line of the notes.
expect() {
  local name=$1 status=$2 text=$3 note=$4 output got
  output=$("$folder/tools/quickstart.sh" "${@:5}" 2>&1 </dev/null)
  got=$?
  if [ "$got" -eq "$status" ] && [[ $output == *"$text"* ]] &&
    [ "$(sed -n 2p "$folder/notes" 2>/dev/null)" = "$note" ]; then
    echo "passed: $name"
  else
    printf 'failed: %s (status %s)\n%s\n' "$name" "$got" "$(sed 's/^/  /' <<<"$output")"
    any_failed=1
  fi
}

pretend
expect "--help explains the quickstart and builds nothing" 0 "writes sentences with it" "" --help
expect "another option is refused, and nothing is built" 2 "there is no option '--fast'" "" --fast
expect "the first quickstart trains" 0 "Training" "train --config configs/quickstart.toml --out runs/quickstart"
pretend
expect "it says how many samples differ and how many the grammar accepts" 0 \
  "2 different ones; 2 of 3 texts are of the grammar" "train --config configs/quickstart.toml --out runs/quickstart"
if grep -qx 'sample runs/quickstart --count 10 --seed 1 --temperature 0.3 --top-p 0.6' "$folder/notes" &&
  grep -qx 'sample runs/quickstart --count 10 --seed 1 --temperature 1 --top-p 1' "$folder/notes"; then
  echo "passed: it samples at the temperatures that its headings name"
else
  echo "failed: it samples at the temperatures that its headings name"
  any_failed=1
fi
pretend
mkdir -p "$folder/runs/quickstart"
echo step-000010 >"$folder/runs/quickstart/latest"
expect "a second quickstart keeps the run" 0 "remove it to train anew" "train --resume --out runs/quickstart"
[ "$(cat "$folder/runs/quickstart/latest")" = step-000010 ] || { echo "failed: the run is as it was"; any_failed=1; }
exit "$any_failed"
