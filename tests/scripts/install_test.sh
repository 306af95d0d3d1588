#!/bin/bash
# What tools/install.sh installs, keeps and says, in a pretended repository. Prints one line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/repository/tools" "$folder/bin" "$folder/home" "$folder/caller"
cp tools/install.sh "$folder/repository/tools/"
readonly bin=$folder/home/.local/bin

# A program that prints $1, and that carries a text of haze itself.
program() { printf '#!/bin/bash\n# HAZE_CPU: this processor lacks\necho %s\n' "$1"; }
# The build makes one that says which preset and target it is.
cat >"$folder/repository/tools/build.sh" <<'END'
#!/bin/bash
file=build/release/tools/haze
[ "$1" != static ] || file=build/static/static/haze
mkdir -p "$(dirname $file)"
printf '#!/bin/bash\n# HAZE_CPU: this processor lacks\necho %s\n' "$*" >$file
chmod +x $file
END
chmod +x "$folder/repository/tools/build.sh"
# The test may run as root, whose folder is the machine's own.
printf '#!/bin/bash\necho 1000\n' >"$folder/bin/id"
chmod +x "$folder/bin/id"

any_failed=0
# expect NAME STATUS TEXT CONDITION [OPTION...]: the status, a text that is printed, and a command that then succeeds.
expect() {
  local name=$1 status=$2 text=$3 condition=$4 output got
  output=$(cd "$folder/caller" && PATH="$folder/bin:${more_path-}$PATH" HOME="${home-$folder/home}" \
    "$folder/repository/tools/install.sh" "${@:5}" 2>&1 </dev/null)
  got=$?
  if [ "$got" -eq "$status" ] && [[ $output == *"$text"* ]] && eval "$condition"; then
    echo "passed: $name"
  else
    printf 'failed: %s (status %s)\n%s\n' "$name" "$got" "$(sed 's/^/  /' <<<"$output")"
    any_failed=1
  fi
}
says() { [ "$("$1" 2>&1)" = "$2" ]; }

expect "--help explains the options and installs nothing" 0 "--prefix DIR" '[ ! -e "$bin" ]' --help
expect "an option that there is not is refused" 2 "there is no option '--user'" '[ ! -e "$bin" ]' --user
expect "a prefix without a folder is refused" 2 "--prefix takes a folder" '[ ! -e "$bin" ]' --prefix
expect "an option is no folder" 2 "--prefix takes a folder" '[ ! -e "$bin" ]' --prefix --static
home=
expect "without HOME, --help explains the options too" 0 "--prefix DIR" '[ ! -e "$bin" ]' --help
expect "without HOME, a folder is asked for in a sentence" 2 "HOME, --prefix DIR is needed" '[ ! -e "$bin" ]'
unset home
expect "what was never built is built and installed for the user alone" 0 "Installed $bin/haze" \
  'says "$bin/haze" "release haze"'
expect "where the folder is not on the PATH, the line that puts it there is printed" 0 "export PATH=\"$bin:\$PATH\"" \
  '[ -x "$bin/haze" ]'
more_path=$bin:
expect "where it is on the PATH, no such line is printed" 0 "Installed" '[[ $output != *export* ]]'
ln -s home "$folder/linked"
home=$folder/linked more_path=$folder/linked/.local/bin:
expect "where HOME is a link and the PATH goes through it, no such line either" 0 "Installed $folder/linked/.local/bin/haze" \
  '[[ $output != *export* && $output != *first* ]]'
more_path=$bin:
expect "where HOME is a link and the PATH has the folder itself, nor" 0 "Installed $folder/linked/.local/bin/haze" \
  '[[ $output != *export* && $output != *first* ]]'
unset home
program earlier >"$folder/bin/haze"
chmod +x "$folder/bin/haze"
expect "a haze that the PATH finds first is named" 0 "the PATH finds $folder/bin/haze first" true
more_path=
rm "$folder/bin/haze"

program "of today" >"$folder/repository/build/release/tools/haze"
expect "an earlier haze is replaced, and what was built is not built again" 0 "Installed" 'says "$bin/haze" "of today"'
expect "--static takes the program of that preset" 0 "Installed" 'says "$bin/haze" "static haze_static"' --static

printf '#!/bin/bash\necho foreign\n' >"$bin/haze"
chmod +x "$bin/haze"
expect "another program of that name is kept" 1 "--force replaces it" 'says "$bin/haze" foreign'
expect "--force replaces it" 0 "Installed" 'says "$bin/haze" "of today"' --force
rm "$bin/haze"
ln -s nowhere "$bin/haze"
expect "a link that leads nowhere is kept" 1 "is there already" '[ "$(readlink "$bin/haze")" = nowhere ]'
rm "$bin/haze"
mkdir "$bin/haze"
expect "a folder of that name is kept, even with --force" 1 "is a folder" '[ -d "$bin/haze" ]' --force
expect "--prefix names another folder" 0 "Installed $folder/other/bin/haze" 'says "$folder/other/bin/haze" "of today"' \
  --prefix "$folder/other"
expect "a relative prefix is one of the folder that the user is in" 0 "Installed $folder/caller/near/bin/haze" \
  'says "$folder/caller/near/bin/haze" "of today" && [ ! -e "$folder/repository/near" ]' --prefix near
home=
expect "with a prefix, HOME is not needed" 0 "Installed $folder/caller/far/bin/haze" true --prefix=../caller/far
expect "a folder may begin with -" 0 "Installed $folder/caller/-x/bin/haze" true --prefix=-x
unset home
expect "a prefix that is a file is refused in a sentence" 1 "cannot be written to" true --prefix "$folder/bin/id"
left=$(find "$bin" "$folder/other" -name '*.new.*')
if [ -z "$left" ]; then
  echo "passed: no temporary file is left"
else
  echo "failed: no temporary file is left ($left)"
  any_failed=1
fi
exit "$any_failed"
