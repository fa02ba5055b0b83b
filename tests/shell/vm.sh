#!/bin/bash
# Boots a virtual machine that mounts an EROFS image, and compares the tree that it
# sees with the expected one.
#
#     vm.sh KERNEL LIST DISK [LAYER...]
#     vm.sh --change KERNEL OUT DISK [LAYER...]
#     vm.sh --crash KERNEL OUT DISK [LAYER...]
#     vm.sh --accel KERNEL
#
# KERNEL is the directory that kernel.sh prints, LIST the output of
# "tar2tree --no-data --digest" for the image, DISK a VMDK (*.vmdk) or a raw image. Each
# LAYER is a further disk; the image is mounted with "-o device=" for each. The machine
# runs lib/reftest/guest, which lists the tree below an overlay on a second disk, one of
# mkext4upper that it grows while it is mounted, and then writes to that.
#
# With --change the machine changes the tree in every way before it lists it, in an overlay
# with redirect_dir and metacopy. The upper disk and the list become OUT/upper and OUT/list.
# With --crash the machine is killed in the end, so that the disk has a journal to replay.
#
# The last form prints the accelerator for the machine, kvm or tcg; BOOT_ACCEL passes
# it to the others. BOOT_TIMEOUT is the time limit for one machine, in seconds.
#
# Exit code 1: the machine did not boot, or saw another tree; 3: a program is missing.
set -euo pipefail

here=$(cd "${0%/*}" && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C
limit=${BOOT_TIMEOUT:-180}

for tool in qemu-system-x86_64 cpio mkext4upper dumpe2fs debugfs e2fsck; do
	command -v "$tool" >/dev/null || {
		echo "vm.sh: $tool is not installed" >&2
		exit 3
	}
done

# machine SECONDS ARGUMENT... runs a machine with its console on standard output.
machine() {
	local seconds=$1
	shift
	timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -nodefaults -no-user-config -display none -serial stdio \
		-no-reboot -machine q35 -m 512 -kernel "$kernel/vmlinuz" "$@" </dev/null
}

# accel prints kvm if a kernel boots with it, else tcg. That /dev/kvm exists is not enough.
accel() {
	if [ -w /dev/kvm ] && grep -q 'Linux version' <(
		machine 5 -accel kvm -cpu host -append 'console=ttyS0 earlyprintk=serial panic=-1' 2>/dev/null
	); then
		echo kvm
	else
		echo tcg
	fi
}

# failed TEXT prints the text and the end of the console, and exits.
failed() {
	echo "vm.sh: $1; the console's last lines:" >&2
	tail -n 15 console | sed 's/^/    /' >&2
	exit 1
}

# disk NAME FILE [OPTION] adds a disk to the machine.
disk() {
	local format=raw
	[[ $2 == *.vmdk ]] && format=vmdk
	arguments+=(-drive "if=none,id=$1,format=$format,file=${2//,/,,}${3:-}" -device "virtio-blk-pci,drive=$1,serial=$1")
}

# initramfs makes the archive of the guest program and the modules of the kernel.
initramfs() {
	mkdir -p root/dev
	(cd "$here/../.." && CGO_ENABLED=0 "${GO:-go}" build -trimpath -buildvcs=false -ldflags='-s -w' -o "$work/root/init" ./lib/reftest/guest)
	cp -r "$kernel/modules" root/modules
	(cd root && find . | sort | cpio --quiet -o -H newc) >initramfs
}

# check_upper checks that the upper file system has grown, and holds what the machine
# wrote in the form of overlayfs.
check_upper() {
	local deleted
	e2fsck -fn upper >e2fsck.log 2>&1 || failed "the upper disk is damaged: $(tail -n 3 e2fsck.log)"
	dumpe2fs -h upper 2>/dev/null | grep -qx 'Block count: *5242880' || failed "the upper disk has not grown"
	[ "$(debugfs -R 'cat /upper/guest-new' upper 2>/dev/null)" = new ] || failed "the new file is not on the upper disk"
	deleted=$(sed -n 's/^guest: wrote .*, deleted //p' console)
	debugfs -R "stat \"/upper$deleted\"" upper 2>/dev/null | grep -q 'Device major/minor number: 00:00' ||
		failed "there is no whiteout of $deleted on the upper disk"
}

# crash runs the machine until it has synced, and kills it.
crash() {
	machine "$limit" -pidfile qemu.pid "$@" &
	until grep -q '^guest: \(synced\|failed\)' console.raw; do
		kill -0 $! 2>/dev/null || break
		sleep 0.05
	done
	if grep -q '^guest: synced' console.raw; then
		kill -KILL "$(<qemu.pid)"
		wait $! || return 0 # killed, as it should be
	fi
	wait $!
}

# run_machine runs the machine with the task, and sets took.
run_machine() {
	local started=$EPOCHREALTIME status=0 cpu=host
	[ "$accel" = kvm ] || cpu=qemu64 # starts faster than max
	"${run[@]}" -accel "$accel" -cpu "$cpu" -initrd initramfs "${arguments[@]}" \
		-append "console=ttyS0 no_timer_check loglevel=4 panic=-1 ${task:+guest=$task}" >console.raw 2>&1 || status=$?
	took=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	tr -d '\r' <console.raw >console
	case $status in
	0) ;;
	124 | 137) failed "the machine was not done after $limit seconds" ;;
	*) failed "qemu ended with exit code $status" ;;
	esac
}

# get_list makes got of the list that the machine wrote, and sets sum.
get_list() {
	local size
	size=$(sed -nE 's/^guest: list of ([0-9]+) bytes.*/\1/p' console)
	[ -n "$size" ] || failed "the machine did not list the tree"
	sum=$(sed -nE 's/^guest: list of .* sha256 ([0-9a-f]{64})$/\1/p' console)
	head -c "$size" list >got
	[ "$(sha256sum <got)" = "$sum  -" ] || failed "the list changed on its way out of the machine"
}

if [ "${1:-}" = --accel ]; then
	kernel=$2
	accel
	exit
fi
task=
run=(machine "$limit")
case ${1:-} in
--change) task=change ;;
--crash) task=crash run=(crash) ;;
esac
[ -z "$task" ] || shift
[ $# -ge 3 ] || {
	echo "usage: vm.sh [--change|--crash] KERNEL LIST|OUT DISK [LAYER...]" >&2
	exit 2
}
kernel=$(realpath "$1")
list=$(realpath "$2")
arguments=()
disk root "$(realpath "$3")" ,readonly=on
shift 3
layer=0
for file; do
	disk "layer$layer" "$(realpath "$file")" ,readonly=on
	layer=$((layer + 1))
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

accel=${BOOT_ACCEL:-$(accel)}
initramfs
if [ -z "$task" ]; then
	grep -v '^#' "$list" >want
	room=$(($(stat -c %s want) * 2 + 1048576))
else
	room=$((256 << 20))
fi
mkext4upper --size 64M -o upper
truncate -s 20G upper # the machine makes the file system as large
truncate -s $room list
disk upper upper
disk list list
run_machine
get_list
about="Linux $(sed -n 's/^guest: Linux //p' console), $accel, $took s"
if [ -n "$task" ]; then
	grep -qxE 'guest: (done|synced)' console || failed "changing the tree failed"
	[ "$task" = change ] || grep -q needs_recovery <(dumpe2fs -h upper 2>/dev/null) || failed "the crash has left no journal"
	mv upper "$list/upper"
	mv got "$list/list"
	echo "$about: $task"
	exit
fi
if [ "$(sha256sum <want)" != "$sum  -" ]; then
	echo "vm.sh: the machine sees another tree:" >&2
	diff want got | sed -n '1,10s/^/    /p' >&2
	exit 1
fi
grep -qx 'guest: done' console || failed "writing to the overlay failed"
check_upper
echo "$about: $(wc -l <want) names, digest ${sum:0:16} in both, writes kept"
