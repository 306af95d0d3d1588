#!/bin/bash
# Puts the haze program on the PATH: into DIR/bin. DIR is /usr/local for root and ~/.local for others.
#
#   tools/install.sh [--static] [--prefix DIR] [--force]
#
# --static takes the program without shared libraries (preset static), which runs on any Linux of the same architecture.
# Without it the program of the preset release is taken. It is built first where it has not been built yet.
# A file named haze that is not this program is kept unless --force is given.
set -eu
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Prints the comment at the top of this file.
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' tools/install.sh; }
refuse() { echo "tools/install.sh: $1" >&2; exit "${2:-1}"; }

preset=release program=build/release/tools/haze target=haze prefix="" force=""
while [ $# -gt 0 ]; do
  case $1 in
    --static) preset=static program=build/static/static/haze target=haze_static; shift ;;
    --prefix)
      case ${2-} in "" | -*) refuse "--prefix takes a folder; --prefix=DIR takes one that begins with -" 2 ;; esac
      prefix=$2
      shift 2
      ;;
    --prefix=?*) prefix=${1#--prefix=}; shift ;;
    --force) force=yes; shift ;;
    -h | --help) usage; exit 0 ;;
    *) refuse "there is no option '$1'; see tools/install.sh --help" 2 ;;
  esac
done

# Whether the file is a haze program, of whatever version. A foreign one is not run to find out.
is_ours() { [ -f "$1" ] && grep -aqF 'HAZE_CPU: this processor lacks' "$1"; }

if [ -z "$prefix" ]; then
  if [ "$(id -u)" -eq 0 ]; then
    prefix=/usr/local
  else
    [ -n "${HOME-}" ] || refuse "without the variable HOME, --prefix DIR is needed" 2
    prefix=$HOME/.local
  fi
fi
case $prefix in /*) ;; *) prefix=$called_from/$prefix ;; esac
# Links are kept as they are: a message names the folder as its user does.
prefix=$(realpath -ms -- "$prefix")
installed=$prefix/bin/haze
if [ -d "$installed" ]; then refuse "$installed is a folder"; fi
if { [ -e "$installed" ] || [ -L "$installed" ]; } && [ -z "$force" ] && ! is_ours "$installed"; then
  refuse "$installed is there already and is another program; --force replaces it, --prefix DIR takes another folder"
fi
[ -x "$program" ] || tools/build.sh "$preset" "$target"
mkdir -p "$prefix/bin" 2>/dev/null && [ -w "$prefix/bin" ] ||
  refuse "$prefix/bin cannot be written to; run this as root, or give --prefix DIR"
# A program that runs cannot be written to, but its name can be given to another file.
trap 'rm -f "$installed.new.$$"' EXIT
cp "$program" "$installed.new.$$"
chmod 755 "$installed.new.$$"
mv -f "$installed.new.$$" "$installed"
echo "Installed $installed"

# Whether a folder of the PATH is the one of the program, under this name or another.
is_on_path() {
  local folder folders
  IFS=: read -ra folders <<<"$PATH"
  for folder in "${folders[@]}"; do
    [ "$folder" -ef "$prefix/bin" ] && return
  done
  return 1
}
if ! is_on_path; then
  printf '%s is not on the PATH. This line puts it there, and in ~/.bashrc for every new shell:\n  %s\n' \
    "$prefix/bin" "export PATH=\"$prefix/bin:\$PATH\""
elif first=$(command -v haze) && [ ! "$first" -ef "$installed" ]; then
  echo "But the PATH finds $first first."
fi
