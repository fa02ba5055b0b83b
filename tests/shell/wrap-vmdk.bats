# wrap-vmdk: the formats, their names, --check, failures.

load helpers
setup() { common_setup; }

# extents makes fsmeta, l1.erofs and layers/l2.erofs, of which the first is an
# EROFS image, and all, their concatenation. They differ everywhere.
extents() {
	small_layer layer.tar
	tar2tree --input layer layer.tar | tree2erofs >fsmeta
	rm layer.tar
	mkdir layers
	seq 1 20000 | head -c 65536 >l1.erofs
	seq 90000 -1 1 | head -c 200704 >layers/l2.erofs
	cat fsmeta l1.erofs layers/l2.erofs >all
}

# piped gives all through a pipe.
piped() { cat all; }

# to_raw DISK FILE: what qemu-img reads.
to_raw() {
	need qemu-img
	qemu-img check -q -f vmdk "$1" && qemu-img convert -f vmdk -O raw "$1" "$2"
}

@test "a descriptor, which qemu-img reads as the concatenation" {
	extents
	run --separate-stderr wrap-vmdk -o disk.vmdk fsmeta l1.erofs layers/l2.erofs
	assert_ok
	assert_output ''
	[ "$(grep -c '^RW ' disk.vmdk)" = 3 ] || fail "$(<disk.vmdk)"
	grep -qx 'RW 392 FLAT "layers/l2.erofs" 0' disk.vmdk || fail "$(<disk.vmdk)"
	grep -qx 'createType="twoGbMaxExtentFlat"' disk.vmdk || fail "$(<disk.vmdk)"
	to_raw disk.vmdk raw
	cmp raw all
	run --separate-stderr wrap-vmdk --check disk.vmdk
	assert_ok
	assert_output ''
	assert_no_debris fsmeta l1.erofs layers all disk.vmdk raw
}

@test "names are relative to where the descriptor is" {
	extents
	mkdir -p out/deep
	ln -s out/deep link
	wrap-vmdk -o link/disk.vmdk fsmeta layers/l2.erofs
	grep -q '"../../fsmeta"' out/deep/disk.vmdk || fail "$(<out/deep/disk.vmdk)"
	wrap-vmdk fsmeta layers/l2.erofs >link/redirected.vmdk
	cmp out/deep/disk.vmdk link/redirected.vmdk
	wrap-vmdk --check link/disk.vmdk
	wrap-vmdk fsmeta layers/l2.erofs | grep -q '"layers/l2.erofs"'
	wrap-vmdk -o - fsmeta layers/l2.erofs | grep -q '"layers/l2.erofs"'
	cd out
	wrap-vmdk --absolute "$PWD/../layers/l2.erofs" | grep -qF "\"$(cd ../layers && pwd -P)/l2.erofs\""
}

@test "names that not every reader takes" {
	extents
	cp l1.erofs 'a b'
	cp l1.erofs 'a"b'
	cp l1.erofs $'a\nRW 1 FLAT "x" 0'
	run --separate-stderr wrap-vmdk -o out 'a b'
	assert_error wrap-vmdk 1 "\"a b\": not every reader takes ' ' in a name"
	[[ $stderr == *'hint: use --force'* ]] || show "no hint"
	run --separate-stderr wrap-vmdk --force -o out 'a b'
	assert_ok
	to_raw out raw
	cmp raw l1.erofs
	rm out raw
	run --separate-stderr wrap-vmdk --force -o out 'a"b'
	assert_error wrap-vmdk 1 'cannot express quotes'
	run --separate-stderr wrap-vmdk --force -o out a$'\n'*
	assert_error wrap-vmdk 1 'cannot express quotes and line ends'
	assert_no_debris fsmeta l1.erofs layers all 'a b' 'a"b' a$'\n'*
}

@test "a file that is named twice is there once" {
	extents
	ln l1.erofs hard
	ln -s ../l1.erofs layers/soft
	wrap-vmdk --format raw fsmeta l1.erofs hard layers/l2.erofs layers/soft fsmeta | cmp - all
	[ "$(wrap-vmdk l1.erofs hard ./l1.erofs | grep '^RW')" = 'RW 128 FLAT "l1.erofs" 0' ] || fail "another line"
	wrap-vmdk l1.erofs | grep -qx 'createType="monolithicFlat"'
}

@test "a stream from extents, a file and pipes is the same, and qemu-img reads it" {
	extents
	run --separate-stderr wrap-vmdk --format stream -o disk.vmdk fsmeta l1.erofs layers/l2.erofs
	assert_ok
	assert_output ''
	to_raw disk.vmdk raw
	cmp raw all
	wrap-vmdk --check disk.vmdk
	size=$(stat -c %s all)
	wrap-vmdk --format stream all | cmp - disk.vmdk
	wrap-vmdk --format stream <all | cmp - disk.vmdk
	piped | wrap-vmdk --format stream | cmp - disk.vmdk
	piped | wrap-vmdk --format stream - | cmp - disk.vmdk
	piped | wrap-vmdk --format stream --size "$size" | cmp - disk.vmdk
	{ echo first; piped; } | { read -r _; wrap-vmdk --format stream; } | cmp - disk.vmdk
	{ echo first; piped; } >longer
	{ read -r _; wrap-vmdk --format stream; } <longer | cmp - disk.vmdk
	assert_no_debris fsmeta l1.erofs layers all disk.vmdk raw longer
}

@test "the same bytes under other circumstances" {
	extents
	mkdir other
	for format in flat stream raw gpt; do
		wrap-vmdk --format $format -o out fsmeta l1.erofs
		(
			umask 077
			TZ=Asia/Tokyo TMPDIR=other GOMAXPROCS=1 SOURCE_DATE_EPOCH=1 wrap-vmdk --format $format fsmeta l1.erofs | cmp - out
		)
		if [ $format = stream ]; then
			for jobs in 1 2 7; do wrap-vmdk --format stream -j $jobs fsmeta l1.erofs | cmp - out; done
		fi
	done
}

@test "raw and gpt keep holes" {
	extents
	truncate -s 100M hole
	cat all hole all >want
	cp all again
	run --separate-stderr wrap-vmdk --format raw -o raw all hole again
	assert_ok
	cmp raw want
	[ "$(du -k raw | cut -f1)" -lt 2000 ] || fail "$(du -k raw)"
	wrap-vmdk --format raw all hole again | cmp - want
	wrap-vmdk --format raw all hole again >redirected
	[ "$(du -k redirected | cut -f1)" -lt 2000 ] || fail "$(du -k redirected)"
	wrap-vmdk --format gpt all hole again >gpt.disk
	tail -c +1048577 gpt.disk | head -c "$(stat -c %s want)" | cmp - want
	[ "$(du -k gpt.disk | cut -f1)" -lt 4000 ] || fail "$(du -k gpt.disk)"
	wrap-vmdk --format gpt all hole again | cmp - gpt.disk
	piped | wrap-vmdk --format gpt >piped.disk
	wrap-vmdk --format gpt all | cmp - piped.disk
}

@test "the kernel mounts a disk of each format" {
	need_root
	need losetup blkid
	extents
	mkdir at
	for format in raw gpt stream flat; do
		wrap-vmdk --format $format -o disk fsmeta l1.erofs
		wrap-vmdk --check disk
		offset=0
		case $format in
		gpt) offset=1048576 ;;
		stream | flat) to_raw disk raw && mv raw disk ;;
		esac
		mount -t erofs -o "ro,loop,offset=$offset" disk at || skip_or_fail "no loop devices or EROFS here"
		[ "$(cat at/etc/hostname)" = vm1 ] || fail "$format: another content"
		umount at
	done
}

@test "others read the partition table" {
	need blkid partx
	extents
	wrap-vmdk --format gpt -o disk fsmeta l1.erofs
	[ "$(blkid -p -s PTTYPE -o value disk)" = gpt ] || fail "$(blkid -p disk)"
	run --separate-stderr partx --noheadings --raw --output START,SECTORS,TYPE disk
	assert_ok
	assert_output "2048 $((($(stat -c %s fsmeta) + 65536) / 512)) 0fc63daf-8483-4772-8e79-3d69d8477de4"
	need_root
	loop=$(losetup -rfP --show disk) || skip_or_fail "no loop devices here"
	name=${loop##*/}
	have=$(cat "/sys/block/$name/${name}p1/start") || have=none # a kernel may know no GPT
	losetup -d "$loop"
	[[ $have == 2048 || $have == none ]] || fail "the kernel has the partition at: $have"
}

@test "a table for device-mapper" {
	extents
	run --separate-stderr wrap-vmdk --format dm-linear fsmeta l1.erofs
	assert_status 0
	n=$(($(stat -c %s fsmeta) / 512))
	assert_output "0 $n linear $PWD/fsmeta 0"$'\n'"$n 128 linear $PWD/l1.erofs 0"
	[[ $stderr == *'l1.erofs: is a file: dmsetup wants the loop device'* ]] || show "no warning"
	run --separate-stderr wrap-vmdk --quiet --format dm-linear fsmeta
	assert_ok
}

@test "a table of block devices" {
	need_root
	need losetup dmsetup
	extents
	a=$(losetup -rf --show fsmeta) || skip_or_fail "no loop devices here"
	b=$(losetup -rf --show l1.erofs) || { losetup -d "$a"; skip_or_fail "no loop devices here"; }
	run --separate-stderr wrap-vmdk --format dm-linear "$a" "$b" "$a"
	wrap-vmdk --format raw "$a" "$b" >raw.disk || true
	mounted=untried
	if [ -e /dev/mapper/control ]; then
		mkdir at
		dmsetup create -r "ocipipe-test-$$" <<<"$output"
		mount -t erofs -o ro "/dev/mapper/ocipipe-test-$$" at && mounted=$(cat at/etc/hostname) && umount at
		dmsetup remove "ocipipe-test-$$"
	fi
	losetup -d "$a" "$b"
	assert_ok
	n=$(($(stat -c %s fsmeta) / 512))
	assert_output "0 $n linear $a 0"$'\n'"$n 128 linear $b 0"
	cat fsmeta l1.erofs | cmp - raw.disk
	[[ $mounted == untried || $mounted == vm1 ]] || fail "device-mapper shows: $mounted"
}

@test "--split" {
	truncate -s 5G big
	echo end | dd of=big bs=1 seek=5368700000 conv=notrunc status=none
	wrap-vmdk --split -o split.vmdk big
	[ "$(grep '^RW' split.vmdk)" = 'RW 4192256 FLAT "big" 0
RW 4192256 FLAT "big" 4192256
RW 2101248 FLAT "big" 8384512' ] || fail "$(<split.vmdk)"
	wrap-vmdk --check split.vmdk
	wrap-vmdk -o whole.vmdk big
	[ "$(grep '^RW' whole.vmdk)" = 'RW 10485760 FLAT "big" 0' ] || fail "$(<whole.vmdk)"
	wrap-vmdk --format stream -o stream.vmdk big
	[ "$(stat -c %s stream.vmdk)" -lt 100000 ] || fail "holes take room"
	if [ "${SOAK:-}" = true ]; then # reading 5 GiB four times
		want=$(sha256sum <big)
		for disk in split whole stream; do
			to_raw $disk.vmdk raw
			[ "$(sha256sum <raw)" = "$want" ] || fail "$disk.vmdk differs"
		done
	fi
}

@test "--check finds what changed" {
	extents
	wrap-vmdk -o disk fsmeta l1.erofs
	truncate -s -4096 l1.erofs
	run --separate-stderr wrap-vmdk --check disk
	assert_error wrap-vmdk 1 'disk: corrupt disk: ./l1.erofs: has 61440 bytes, the descriptor says 65536'
	truncate -s +4095 l1.erofs
	run --separate-stderr wrap-vmdk --check disk
	assert_error wrap-vmdk 1 'l1.erofs: size of 65535 bytes is not a multiple of 512'
	rm l1.erofs
	run --separate-stderr wrap-vmdk --check disk
	assert_error wrap-vmdk 1 'l1.erofs: open: no such file or directory'
	head -c 65536 /dev/zero >l1.erofs
	run --separate-stderr wrap-vmdk --check disk
	assert_status 0
	[[ $stderr == *'warning: disk: CID is '* ]] || show "no warning"
	assert_no_debris fsmeta l1.erofs layers all disk
}

@test "--check on truncated and hostile disks" {
	extents
	for format in stream gpt; do
		wrap-vmdk --format $format -o disk all
		size=$(stat -c %s disk)
		for n in 0 600 2000 $((size / 2)) $((size - 512)) $((size - 1)); do
			head -c $n disk >shorter
			run --separate-stderr wrap-vmdk --check shorter
			assert_error wrap-vmdk 1 'shorter: '
		done
	done
	wrap-vmdk -o disk all
	while read -r edit text; do
		sed "$edit" disk >bad
		run --separate-stderr timeout 60 wrap-vmdk --check bad
		assert_error wrap-vmdk 1 "$text"
	done <<-'END'
		s/^RW/RDONLY/ line 8: unsupported disk: RDONLY
		s/FLAT.*/ZERO/ line 8: unsupported disk: ZERO
		s/"all"/"\/dev\/zero"/ not a file or block device
		s/"all"/"."/ .: is a directory
		s/"all"/"none"/ none: open: no such file
		s/^RW.[0-9]*/&0/ the descriptor says
		s/^RW/RW.99999999999999999999/ line 8:
		s/^CID=.*/CID=x/ line 3: corrupt disk: CID
		s/^version.*// line 2:
		5,$d without createType
	END
	run --separate-stderr wrap-vmdk --check l1.erofs
	assert_error wrap-vmdk 1 'l1.erofs: is text, not a VMDK, GPT or EROFS disk'
}

@test "bad extents" {
	extents
	: >empty
	head -c 1000 all >odd
	mkfifo pipe
	head -c 4096 fsmeta >shorter
	for format in flat stream raw gpt dm-linear; do
		while read -r path text; do
			run --separate-stderr timeout 60 wrap-vmdk --format $format -o out l1.erofs "$path"
			assert_error wrap-vmdk 1 "$text"
		done <<-'END'
			none none: open: no such file or directory
			layers layers: is a directory
			empty empty: is empty
			odd odd: size of 1000 bytes is not a multiple of 512
			pipe pipe: open: not a file or block device
			/dev/null /dev/null: open: not a file or block device
			shorter is cut short at 4096
		END
	done
	rm pipe
	assert_no_debris fsmeta l1.erofs layers all empty odd shorter
}

@test "usage errors" {
	extents
	check() { # TEXT ARGUMENT...
		text=$1
		shift
		run --separate-stderr wrap-vmdk "$@" </dev/null
		assert_error wrap-vmdk 2 "$text"
	}
	check '--format=flat names its extents' -o out
	check '--format=dm-linear names its extents' --format dm-linear -
	check 'cannot be one of several' --format raw all -
	check 'is none of flat, stream' --format vdi all
	check '--split and --absolute are for' --format raw --split all
	check '--size is for' --format stream --size 512 all
	check '--size is for' --format gpt --size 512
	check '--size: 1000 is not a multiple of 512' --format stream --size 1000
	check '--level' --format stream --level 10 all
	check '--jobs' --format stream -j -1 all
	check '--check takes no extents' --check all all
	check 'all: is input and output at once' -o all fsmeta all
	check 'all: is input and output at once' --format raw -o all all
	assert_no_debris fsmeta l1.erofs layers all
}

@test "too little and too much on standard input" {
	extents
	size=$(stat -c %s all)
	echo before >out
	run --separate-stderr bash -c "head -c 70000 all | wrap-vmdk --format stream --size $size -o out"
	assert_error wrap-vmdk 1 "wrap standard input: input ends at byte 70000 of $size"
	run --separate-stderr bash -c "cat all | wrap-vmdk --format stream --size 65536 -o out"
	assert_error wrap-vmdk 1 'input goes on after byte 65536'
	run --separate-stderr bash -c 'head -c 70000 all | wrap-vmdk --format stream -o out'
	assert_error wrap-vmdk 1 'standard input: size of 70000 bytes is not a multiple of 512'
	run --separate-stderr wrap-vmdk --format gpt -o out </dev/null
	assert_error wrap-vmdk 1 'standard input: is empty'
	[ "$(<out)" = before ] || fail "out was changed"
	run --separate-stderr bash -c "head -c 70000 all | wrap-vmdk --format stream --size $size >fresh"
	assert_error wrap-vmdk 1 'input ends'
	assert_empty fresh
	assert_no_debris fsmeta l1.erofs layers all out fresh
}

@test "outputs that fail" {
	extents
	for format in flat stream raw gpt dm-linear; do
		run --separate-stderr bash -c "wrap-vmdk --quiet --format $format all >/dev/full"
		assert_error wrap-vmdk 1 'standard output: write: no space left on device'
		run --separate-stderr wrap-vmdk --quiet --format $format -o none/out all
		assert_error wrap-vmdk 1 'none'
	done
	run --separate-stderr bash -c 'ulimit -f 100; wrap-vmdk --format raw -o out all'
	assert_error wrap-vmdk 1 'file too large'
	run --separate-stderr bash -c 'cat all | wrap-vmdk --format stream --tmpdir none'
	assert_error wrap-vmdk 1 'make spool file: '
	assert_no_debris fsmeta l1.erofs layers all
}

@test "a closed pipe is quiet" {
	extents
	mkfifo pipe
	for format in flat stream raw gpt; do
		run --separate-stderr bash -c "exec 3<>pipe 4>pipe 3<&-; wrap-vmdk --format $format all >&4; echo \$?"
		assert_output 141
		[ -z "$stderr" ] || show "not quiet"
	done
}

@test "an interrupt leaves nothing" {
	echo before >out
	interrupted INT wrap-vmdk --format stream --size 1M -o out
	assert_status 130
	[[ -z $stderr && $(<out) = before ]] || show "out was changed, or it was not quiet"
	interrupted TERM wrap-vmdk --format stream
	assert_status 143
	assert_empty out
	assert_no_debris out
}

@test "binary data does not go to a terminal" {
	extents
	for format in stream raw gpt; do
		on_terminal "wrap-vmdk --format $format all"
		assert_status 2
		[[ $output == *'standard output: is a terminal'* ]] || show "another reason"
	done
	on_terminal 'wrap-vmdk all'
	assert_status 0
	[[ $output == *'RW '* ]] || show "no descriptor"
}

@test "metadata with its layers" {
	demo_image demo
	n=0
	for d in $(oci-fetch --list --digests oci:demo); do
		oci-fetch --layer "$d" oci:demo | tar2tree --input layer | tree2erofs --quiet --layer -o "l$n.erofs"
		n=$((n + 1))
	done
	tree2erofs --fsmeta -o fsmeta.erofs l?.erofs
	run --separate-stderr wrap-vmdk -o disk.vmdk fsmeta.erofs l?.erofs
	assert_ok
	run --separate-stderr wrap-vmdk --check disk.vmdk
	assert_ok
	run --separate-stderr wrap-vmdk -o out fsmeta.erofs l1.erofs l0.erofs l2.erofs
	assert_error wrap-vmdk 1 'fsmeta.erofs: device 1: corrupt disk: '
	run --separate-stderr wrap-vmdk -o out fsmeta.erofs l0.erofs l2.erofs l1.erofs # of one size
	assert_error wrap-vmdk 1 'fsmeta.erofs: device 2: corrupt disk: is the image with the UUID'
	run --separate-stderr wrap-vmdk -o out fsmeta.erofs l0.erofs l1.erofs
	assert_error wrap-vmdk 1 'names 3 devices, and 2 extents follow'
	run --separate-stderr wrap-vmdk fsmeta.erofs
	assert_ok # its layers may be other disks
	wrap-vmdk --format raw -o disk.raw fsmeta.erofs l?.erofs
	wrap-vmdk --check disk.raw
	tail -c +4097 disk.raw >>fsmeta.erofs # as cat would have made it
	cmp fsmeta.erofs disk.raw
	truncate -s -4096 disk.raw
	run --separate-stderr wrap-vmdk --check disk.raw
	assert_error wrap-vmdk 1 'disk.raw: raw disk: device 3: corrupt disk: lies from'
}
