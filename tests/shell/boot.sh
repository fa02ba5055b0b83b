#!/bin/bash
# boot.sh [IMAGE [FORM...]]: turns an image into disks and boots a virtual machine
# with each, on Debian's kernels. The tree that a machine sees must be the one that
# tar2tree merges, and the machine must be able to write over it. IMAGE is any
# reference that oci-fetch takes. Without it, boot.sh uses the small image that the
# repository makes itself, and then one of Debian (images.sh).
#
# Exit code 1: a boot failed; 3: something that boots need is missing.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "${0%/*}" && pwd)
repo=$(cd "$here/../.." && pwd)
PATH=$repo/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin

# form, kernel, what the machine gets
table='
flat    default flat image, raw
vmdk    default flat image, in a VMDK
stream  default flat image, in a stream-optimized VMDK
devices default fsmeta and layers, a disk each, -o device=
layered default fsmeta --device-table=no and layers, in one VMDK
table   newer   fsmeta and layers, in one VMDK
lz4     default flat image in LZ4, raw
zstd    newer   flat image in zstd, raw
lz4layers  default fsmeta --device-table=no and layers in LZ4, in one VMDK
lz4devices default fsmeta and layers in LZ4, a disk each, -o device=
zlayers newer   fsmeta and layers in zstd, in one VMDK
change  default flat image, and the way back: changes become an image
crash   default fsmeta and layers, a disk each, and the way back after a crash
'
forms=(flat vmdk stream devices layered table lz4 zstd lz4layers lz4devices zlayers change crash)

# find_kernels finds the kernels, and the accelerator of the machines, once.
find_kernels() {
	kernel[default]=$("$here/kernel.sh" default) || exit
	BOOT_ACCEL=${BOOT_ACCEL:-$("$here/vm.sh" --accel "${kernel[default]}")} || exit
	export BOOT_ACCEL
	kernel[newer]=$("$here/kernel.sh" newer) || {
		[ $? = 3 ] || exit 1
		echo "boot: no kernel of 6.10 or later, so fsmeta with its device table is not booted in one VMDK, nor an image in zstd"
	}
}

# make_disks makes from image.tar the disks of all forms, and the list of the tree.
make_disks() {
	local digest i=0
	tar2tree --no-data --digest -o list image.tar
	tar2tree image.tar | tree2erofs -o flat
	tar2tree image.tar | tree2erofs --quiet -z lz4 -o lz4
	tar2tree image.tar | tree2erofs --quiet -z zstd -o zstd
	wrap-vmdk -o flat.vmdk flat
	wrap-vmdk --format stream -o stream.vmdk flat
	layers=()
	for digest in $(oci-fetch --list --digests oci-archive:image.tar); do
		layers+=("layer$i")
		oci-fetch --layer "$digest" oci-archive:image.tar | tar2tree --input layer -o layer.tree
		tree2erofs --quiet --layer -o "layer$i" layer.tree
		tree2erofs --quiet --layer -z lz4 -o "lz4layer$i" layer.tree
		tree2erofs --quiet --layer -z zstd -o "zlayer$i" layer.tree
		i=$((i + 1))
	done
	tree2erofs --fsmeta -o fsmeta "${layers[@]}"
	tree2erofs --fsmeta --device-table=no -o plain "${layers[@]}"
	tree2erofs --fsmeta -o lz4fsmeta "${layers[@]/#/lz4}"
	tree2erofs --fsmeta --device-table=no -o lz4plain "${layers[@]/#/lz4}"
	tree2erofs --fsmeta --quiet -o zfsmeta "${layers[@]/#/z}"
	wrap-vmdk -o table.vmdk fsmeta "${layers[@]}"
	wrap-vmdk -o layered.vmdk plain "${layers[@]}"
	wrap-vmdk -o lz4layers.vmdk lz4plain "${layers[@]/#/lz4}"
	wrap-vmdk -o zlayers.vmdk zfsmeta "${layers[@]/#/z}"
}

# boot FORM boots a machine, in the directory of the disks.
boot() {
	local k what disks
	read -r _ k what <<<"$(grep "^$1 " <<<"$table")"
	case $1 in
	flat | lz4 | zstd) disks=("$1") ;;
	change) disks=(flat) ;;
	devices | crash) disks=(fsmeta "${layers[@]}") ;;
	lz4devices) disks=(lz4fsmeta "${layers[@]/#/lz4}") ;;
	vmdk) disks=(flat.vmdk) ;;
	*) disks=("$1.vmdk") ;;
	esac
	[ -n "${kernel[$k]:-}" ] || return 3
	printf '%s\n    ' "$what"
	case $1 in
	change | crash) way_back "$1" "${kernel[$k]}" "${disks[@]}" ;;
	*) "$here/vm.sh" "${kernel[$k]}" list "${disks[@]}" ;;
	esac
}

# way_back TASK KERNEL DISK... lets a machine change the tree, and makes an image of its upper
# disk, which must have what the machine saw.
way_back() {
	local task=$1 lower=(--lower "$3") layer
	for layer in "${@:4}"; do
		lower+=(--device "$layer")
	done
	mkdir "$task"
	"$here/vm.sh" "--$task" "$2" "$task" "${@:3}" || return 1
	ext42tree --upper "${lower[@]}" "$task/upper" 2>"$task/log" | tree2tar --oci -z gzip 2>>"$task/log" |
		oci-commit --quiet --base oci-archive:image.tar --layer - -o "$task/new.tar" 2>>"$task/log" || {
		sed 's/^/    /' "$task/log" >&2
		return 1
	}
	tar2tree --no-data --digest "$task/new.tar" | grep -v '^#' >"$task/have"
	grep -v ' type=socket ' "$task/list" | cmp -s - "$task/have" || {
		echo "boot: the image is not what the machine saw:" >&2
		diff <(grep -v ' type=socket ' "$task/list") "$task/have" | sed -n '1,10s/^/    /p' >&2
		return 1
	}
	printf '    %d names, as in the machine, which had %d socket more\n' "$(wc -l <"$task/have")" "$(grep -c ' type=socket ' "$task/list")"
	rm -r "$task"
}

# image REF boots the image in each form.
image() {
	local form
	mkdir "$work/disks"
	oci-fetch -o "$work/disks/image.tar" "$1" # before cd: the reference may be relative
	cd "$work/disks"
	make_disks
	printf 'boot: %s: %d names in %d layers, flat image of %d bytes, fsmeta of %d\n' "$1" \
		"$(grep -vc '^#' list)" "${#layers[@]}" "$(stat -c %s flat)" "$(stat -c %s fsmeta)"
	for form in "${forms[@]}"; do
		boot "$form" || failed=$((failed == 1 ? 1 : $?)) # 3 only if no boot has failed
	done
	cd "$repo"
	rm -rf "$work/disks"
}

if [ $# -gt 1 ]; then
	forms=("${@:2}")
	for form in "${forms[@]}"; do
		grep -q "^$form " <<<"$table" || {
			echo "boot: no form $form" >&2
			exit 2
		}
	done
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
declare -A kernel=()
find_kernels
if [ -n "${1:-}" ]; then
	image "$1"
else
	mkdir "$work/demo"
	(cd "$repo" && "${GO:-go}" run ./lib/reftest/demoimage "$work/demo")
	image "oci:$work/demo:demo"
	if debian=$("$here/images.sh" debian); then
		image "oci:$debian/oci:image"
	else
		echo "boot: the image of Debian cannot be made here, so it is not booted"
	fi
fi
exit "$failed"
