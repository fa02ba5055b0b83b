#!/bin/sh
# Makes a tree stream from nothing but files that are named: the root of a machine that runs one
# static program, for example. Usage:
#
#     scratch.sh PATH FILE [PATH FILE]... | tree2erofs > rootfs.erofs
#
# PATH is where FILE is in the tree. Directories are 0755, files 0644, or 0755 if they can be
# run; all belong to root, and have the time SOURCE_DATE_EPOCH or 0. Written from
# lib/tree/FORMAT.md alone.
set -eu
export LC_ALL=C

# escape TEXT: readers accept an escape for any byte; a slash is only for people.
escape() { printf %s "$1" | od -A n -v -t o1 | tr -d '\n' | sed 's/ /\\/g; s/\\057/\//g'; }

# fail TEXT: whoever reads the stream gets the cause too.
fail() {
	printf '\n#abort message=%s\n' "$(escape "scratch.sh: $1" | cut -b 1-1024 | sed 's/\\[0-7]\{0,2\}$//')"
	printf 'scratch.sh: %s\n' "$1" >&2
	exit 1
}

usage() {
	echo "scratch.sh: usage: scratch.sh PATH FILE [PATH FILE]..." >&2
	exit 2
}

if [ $# -eq 0 ] || [ $(($# % 2)) -ne 0 ]; then usage; fi
time=${SOURCE_DATE_EPOCH:-0}
case $time in *[!0-9]* | 0?*) usage ;; esac
copy=$(mktemp)
trap 'rm -f "$copy"' EXIT
trap 'exit 1' HUP INT PIPE TERM

records=1 bytes=0
printf '#mtree ocipipe-tree 1 data=inline\n'
printf '. type=dir mode=0755 uid=0 gid=0 time=%s.000000000\n' "$time"
while [ $# -gt 0 ]; do
	[ -f "$2" ] || fail "$2: no such file"
	mode=0644
	[ ! -x "$2" ] || mode=0755
	# The file may change meanwhile; the size must be that of what is written.
	cat <"$2" >"$copy" || fail "$2: cannot be read"
	size=$(($(wc -c <"$copy")))
	printf './%s type=file mode=%s uid=0 gid=0 time=%s.000000000 size=%s\n' "$(escape "${1#/}")" "$mode" "$time" "$size"
	if [ "$size" -gt 0 ]; then
		cat "$copy"
		echo
	fi
	records=$((records + 1)) bytes=$((bytes + size))
	shift 2
done
printf '#end records=%s bytes=%s\n' "$records" "$bytes"
