#!/bin/bash
# Makes compressed.tar.zst: images of one tree by mkfs.erofs (1.9.3 made those that are here),
# compressed in all the ways that it has, plain.erofs, which is not compressed, and tiny ones
# of another tree. Needs
# MKFS_EROFS, python3 and zstd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src/dir" "$work/img"
cd "$work/src"
python3 - <<'PY'
import random
noise = random.Random(1).randbytes(9000)
text = "".join(f"{i}\n" for i in range(1, 8001)).encode()
def put(name, b): open(name, "wb").write(b)
put("seq", text)
put("noise", noise)
put("beginning", text[:13893] + noise[:5000])
put("mixed", noise[:6000] + text[:30000] + noise + text[5000:25000])
put("zeros", bytes(13 << 20))
put("dir/again", text + noise[:300])
for n in 0, 1, 4095, 4096, 4097, 8192, 65536, 65537:
    put(f"dir/s{n}", (text + text)[:n])
PY
ln -s seq link
image() { # NAME ARGUMENT...
	"$MKFS_EROFS" --quiet --all-root -T1700000000 -Uc1b9d5a2-f162-11cf-9ece-0020afc76f16 "${@:2}" "$work/img/$1.erofs" "$work/src"
}
image plain
image lz4-512 -zlz4 -b512
image lz4hc-4096 -zlz4hc,12
image lz4hc-65536 -zlz4hc,12 -C65536
image lz4-1048576 -zlz4 -C1048576
for z in lz4 zstd,3 deflate,6; do
	for c in 4096 65536; do
		name=${z%,*}-$c
		image "$name" -z$z -C$c
		image "$name-legacy" -z$z -C$c -Elegacy-compress
		image "$name-tails" -z$z -C$c -Eztailpacking
		image "$name-fragments" -z$z -C$c -Efragments
		image "$name-all" -z$z -C$c -Eall-fragments,dedupe,ztailpacking
		image "$name-dedupe" -z$z -C$c -Ededupe
		image "$name-48bit" -z$z -C$c -E48bit
		image "$name-48bit-fragments" -z$z -C$c -E48bit,fragments
		image "$name-input" -z$z -C$c --max-extent-bytes=32768
	done
done
# Small images, for fuzzing.
rm -r "$work/src"
mkdir "$work/src"
cd "$work/src"
seq 3000 >text
seq 300 >again
seq 40 >end
head -c 70000 /dev/zero >zeros
image tiny-lz4 -zlz4 -C16384
image tiny-lz4-full -zlz4 -Elegacy-compress,dedupe
image tiny-zstd-48bit -zzstd,3 -C16384 -E48bit
image tiny-deflate-all -zdeflate,6 -C16384 -Efragments,ztailpacking
image tiny-lz4-512 -zlz4 -b512
tar -C "$work/img" --sort=name --owner=0 --group=0 --mtime=@0 -cf - . | zstd -q -19 --long=25 -f -o "$here/compressed.tar.zst"
