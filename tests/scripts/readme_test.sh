#!/bin/bash
# The README shows files and names others: are they what it says? Prints one line a test.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit

source tests/scripts/check.sh

# Prints the lines of the README between "```$1" and the next "```".
block() { awk -v begin="\`\`\`$1" '$0 == begin { inside = 1; next } $0 == "```" { inside = 0 } inside' README.md; }

shows() { diff "$2" <(block "$1"); }

# Prints the links of all chapters that lead neither to a web page nor to a file that is there.
broken_links() {
  local page target
  while IFS= read -r page; do
    while IFS= read -r target; do
      [[ $target == *://* ]] || [ -e "$(dirname "$page")/${target%%#*}" ] || echo "$page: $target"
    done < <(sed '/^ *```/,/^ *```/d' "$page" | grep -oE '\]\([^)]+' | cut -c 3-)
  done < <(find . \( -name .git -o -path ./build -o -path ./runs \) -prune -o -name '*.md' -print)
}
has_no_broken_link() {
  local broken
  broken=$(broken_links)
  [ -z "$broken" ] || { echo "$broken"; return 1; }
}

# Prints the paths in backquotes in the root's README that begin with a folder of the repository and do not exist.
missing_paths() {
  local path
  while IFS= read -r path; do
    [ -e "$path" ] || echo "$path"
  done < <(
    grep -oE '`(engine|autograd|nn|diffusion|tools|tests|bench|configs|docs)/[A-Za-z0-9_./-]*`' README.md | tr -d '`' | sort -u
  )
}
names_no_missing_path() {
  local missing
  missing=$(missing_paths)
  [ -z "$missing" ] || { echo "$missing"; return 1; }
}

# A placeholder is {{NAME}}, or a line of one word in capitals.
has_no_placeholder() { ! grep -rnE '\{\{[A-Z_]*\}\}|^[A-Z][A-Z_]{3,}$' --include='*.md' --exclude-dir=build --exclude-dir=runs .; }
has_no_merge_marker() {
  ! grep -rnE '^(<<<<<<<|>>>>>>>) ' --include='*.md' --include='*.toml' --include='*.sh' --exclude-dir=build --exclude-dir=runs .
}

check "no chapter has a placeholder left" has_no_placeholder
check "no file has a mark of a merge" has_no_merge_marker
check "the program in the README is tests/install/consumer/main.cpp" shows cpp tests/install/consumer/main.cpp
check "its CMakeLists.txt in the README is tests/install/consumer/CMakeLists.txt" \
  shows cmake tests/install/consumer/CMakeLists.txt
check "links between chapters lead to files" has_no_broken_link
check "files that the README names are there" names_no_missing_path

exit $any_failed
