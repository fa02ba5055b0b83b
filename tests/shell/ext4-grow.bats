# mkext4upper --grow beside others who have the disk, and cut off.

load helpers
setup() { common_setup; }
teardown() {
	unmount_all
}

# blocks IMAGE: how many it has.
blocks() { super "$1" 'Block count'; }

@test "a disk that somebody has locked" {
	need qemu-io flock
	mkext4upper --size 64M -o disk
	cp --sparse=always disk before
	for kind in --exclusive --shared; do
		run --separate-stderr flock $kind disk mkext4upper --grow disk --size 1G
		assert_error mkext4upper 1 'disk: is in use: locked by another program'
	done
	# A machine monitor: qemu's kind of lock.
	mkfifo commands
	qemu-io -f raw disk <commands >qemu.log 2>&1 3>&- &
	exec 8>commands
	echo 'read 0 512' >&8
	until grep -q 'read 512' qemu.log; do
		kill -s 0 $! || fail "$(<qemu.log)"
		sleep 0.05
	done
	run --separate-stderr mkext4upper --grow disk --size 1G
	exec 8>&-
	wait
	assert_error mkext4upper 1 'disk: is in use: locked by another program'
	cmp disk before
	run --separate-stderr mkext4upper --grow disk --size 1G
	assert_ok
	clean disk
}

@test "a disk behind a loop device" {
	need_root
	mkext4upper --size 64M -o disk
	device=$(losetup -f --show disk) || skip_or_fail "no loop device"
	run --separate-stderr mkext4upper --grow disk --size 1G
	losetup -d "$device"
	assert_error mkext4upper 1 "disk: is in use: attached to $device"
	[ "$(stat -c %s disk)" = 67108864 ] || fail "$(stat -c %s disk) bytes"
}

@test "two at once: one grows it, the other says why not" {
	mkext4upper --size 64M --bytes-per-inode 1M -o disk
	for i in 1 2 3 4; do
		mkext4upper --grow disk --size 500G 2>"$i.err" 3>&- &
	done
	wait
	clean disk
	[ "$(blocks disk)" = 131072000 ] || fail "$(blocks disk) blocks"
	[ "$(cat ./*.err | grep -cE '^mkext4upper: disk: (is in use: locked by another program|it has 536870912000 bytes already; .*)$')" = 3 ] || fail "$(cat ./*.err)"
	[ "$(cat ./*.err | grep -vc '^mkext4upper: hint: ')" = 3 ] || fail "$(cat ./*.err)"
}

@test "a signal: the disk is as it was, or has grown, and the message says which" {
	mkext4upper --size 64M --bytes-per-inode 1M -o before
	for delay in 0 0.005 0.01 0.02 0.04 0.08; do
		cp --sparse=always before disk
		: >err # also if the signal comes before the shell has opened it
		mkext4upper --grow disk --size 300G 2>err 3>&- &
		pid=$!
		sleep "$delay"
		kill -TERM $pid 2>/dev/null || true
		status=0
		wait $pid || status=$?
		clean disk
		said=$(<err)
		case $status:$said in
		'143:mkext4upper: disk: stopped; the file system is as it was' | 143:) cmp disk before ;;
		'143:mkext4upper: disk: completed before it could be stopped' | 0:) [ "$(blocks disk)" = 78643200 ] || fail "$(blocks disk) blocks" ;;
		*) fail "after $delay: $status: $said" ;;
		esac
	done
}

@test "killed: the old or the new disk, and growing again completes it" {
	need e2fsck
	mkext4upper --size 64M --bytes-per-inode 1M -o before
	rounds=6
	[ "${SOAK:-}" != true ] || rounds=200
	for ((round = 0; round < rounds; round++)); do
		cp --sparse=always before disk
		: >err # also if the signal comes before the shell has opened it
		mkext4upper --grow disk --size 300G 2>err 3>&- &
		pid=$!
		sleep "0.0$((RANDOM % 60 + 10))"
		kill -KILL $pid 2>/dev/null || true
		wait $pid || true
		cp --sparse=always disk checked
		e2fsck -fy checked >e2fsck.log 2>&1 || [ $? = 1 ] || fail "$(<e2fsck.log)"
		! grep -F '?' e2fsck.log || fail "it had to be repaired"
		case $(blocks checked) in
		16384 | 78643200) ;;
		*) fail "$(blocks checked) blocks" ;;
		esac
		run --separate-stderr mkext4upper --grow disk --size 300G
		[ "$status" = 0 ] || assert_error mkext4upper 1 'it has 322122547200 bytes already'
		clean disk
		[ "$(blocks disk)" = 78643200 ] || fail "$(blocks disk) blocks"
	done
}

@test "what refuses names what would help" {
	need mke2fs tune2fs resize2fs
	need_root
	truncate -s 200M disk
	mke2fs -q -t ext4 -b 4096 -O ^resize_inode disk
	cp --sparse=always disk before
	run --separate-stderr mkext4upper --grow disk --size 100G
	assert_error mkext4upper 1 'disk: it can grow to 8589934592 bytes at most'
	[[ $stderr == *$'\nmkext4upper: hint: resize2fs grows it further'* ]] || show "no hint"
	cmp disk before
	run --separate-stderr mkext4upper --grow disk --size 8G
	assert_ok
	clean disk
	truncate -s 20G disk
	resize2fs disk >resize2fs.log 2>&1
	clean disk
	truncate -s 200M small
	mke2fs -q -t ext4 -b 1024 small
	run --separate-stderr mkext4upper --grow small --size 300M
	assert_error mkext4upper 1 'blocks of 1024 bytes'
	mke2fs -q -F -t ext4 -b 4096 -O bigalloc small
	run --separate-stderr mkext4upper --grow small --size 300M
	assert_error mkext4upper 1 'growing with bigalloc'
}
