# The commands of guides/boot/README.md do as they stand there, in QEMU.

load helpers
setup() {
	common_setup
	cp "$REPO"/tests/shell/guides/boot/* .
	export OCIPIPE_CACHE=$PWD/cache
}

# begin [WORD] begins script with the kernel, whose command line gets WORD too. Debian's package
# is looked up and downloaded for the long tests alone; otherwise it is made of what kernel.sh has
# kept of it.
begin() {
	need qemu-system-x86_64 busybox cpio jq dpkg-deb
	can_boot
	export ACCEL=$BOOT_ACCEL
	# A machine that is busy starves the timer of an emulated one while the kernel checks it, and
	# what the kernel says of that later would stand within the lines of programs. One that hangs
	# would outlive script, and hold the console that the test reads.
	cat >script <<-END
		qemu-system-x86_64() {
			local arguments=("\$@") i
			for i in "\${!arguments[@]}"; do
				[[ \${arguments[i]} != *console=ttyS0* ]] || arguments[i]+=' no_timer_check loglevel=1${1:+ $1}'
			done
			timeout --foreground -k 5 "\${BOOT_TIMEOUT:-460}" qemu-system-x86_64 "\${arguments[@]}"
		}
	END
	if [ "${SOAK:-}" != true ]; then
		once package make_package
		printf 'apt-cache() { echo "  Depends: linux-image-%s"; }\napt-get() { cp "%s"/linux-image-*.deb .; }\n' "$(release)" "$BATS_RUN_TMPDIR" >>script
	fi
	recipe README.md 'apt-get download' >>script
}

# release prints that of the kernel, which need not be the latest that apt knows: by the address in
# the header of its file, behind the first sector.
release() {
	tail -c +"$(($(od -An -tu2 -j 526 -N 2 "$kernel/vmlinuz") + 513))" "$kernel/vmlinuz" | head -c 64 | cut -d ' ' -f 1
}

make_package() {
	local module v tree=$BATS_RUN_TMPDIR/package
	v=$(release)
	mkdir -p "$tree/boot" "$tree/lib/modules/$v/kernel" "$tree/DEBIAN"
	cp "$kernel/vmlinuz" "$tree/boot/vmlinuz-$v"
	for module in "$kernel"/modules/*; do
		cp "$module" "$tree/lib/modules/$v/kernel/${module##*/??-}"
	done
	printf '%s\n' "Package: linux-image-$v" 'Version: 1' 'Architecture: amd64' 'Maintainer: x <x@localhost>' 'Description: kernel' >"$tree/DEBIAN/control"
	dpkg-deb --root-owner-group -Znone --build "$tree" "$BATS_RUN_TMPDIR/linux-image-${v}_1_amd64.deb" >/dev/null
	rm -r "$tree"
}

# machine runs script, with nothing to type, and puts what the console says into $output.
machine() {
	run timeout --foreground -k 5 "${BOOT_TIMEOUT:-480}" bash -euo pipefail script </dev/null
	output=$(tr -d '\r' <<<"$output")
}

# has LINE...: the console has the lines.
has() {
	local line
	for line; do
		grep -qxF -- "$line" <<<"$output" || show "not on the console: $line" || return
	done
}

# shell_image FLAG... makes the image DIR:TAG of busybox and three users, with the flags of
# oci-commit.
shell_image() {
	mkdir -p tree/bin tree/etc tree/home/app
	cp "$(command -v busybox)" tree/bin/busybox
	ln -s busybox tree/bin/sh
	printf '%s\n' root:x:0:0::/:/bin/sh app:x:1000:100::/home/app:/bin/sh >tree/etc/passwd
	printf '%s\n' root:x:0: app:x:100: video:x:44:root,app disk:x:6:app >tree/etc/group
	tar --numeric-owner --owner=1000 --group=100 --sort=name -C tree -cf tree.tar .
	oci-commit --base scratch --platform linux/amd64 --layer tree.tar "$@" --layout DIR:TAG
}

@test "every recipe has a test" {
	recipes_are_run README.md
}

@test "a shell on an ext4 root, without an initramfs" {
	begin
	shell_image --cmd /none
	recipe README.md 'tree2ext4' >>script
	mkfifo keys
	(
		exec >keys
		until grep -q '[~/] # ' console 2>/dev/null; do sleep 0.1; done
		echo 'echo I am $(busybox id -un) on $(busybox ls -d /dev/nvme0n1); busybox poweroff -f'
	) 3>&- &
	run bash -euo pipefail -c 'timeout --foreground -k 5 480 bash -euo pipefail script <keys >console'
	kill $! 2>/dev/null || true
	output=$(tr -d '\r' <console)
	assert_status 0
	has 'I am root on /dev/nvme0n1'
}

@test "an image FROM scratch, on a root that is read-only, and on a writable one" {
	begin
	{
		recipe README.md '--base scratch'
		recipe README.md 'initramfs.sh kernel'
		recipe README.md '--copy-dir vm:/etc/oci --full'
		recipe README.md 'mkext4upper --size 1G -o'
	} >>script
	machine
	assert_status 0
	has 'argv ["/hello"]' 'env  ["HOME=/" "A=1" "TERM=linux" "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]' \
		'cwd  "/" <nil>' 'uid  1000 gid 50 groups [] <nil>' 'pid 1 is start' 'init: /hello: exit status 3'
	[ "$(grep -E '^(argv|env|cwd|uid|pid|init)' <<<"$output" | sort | uniq -c | awk '{ print $1 }' | paste -sd ' ')" = '2 2 2 2 2 2' ] || show "not the same twice"
	clean upper.ext4
	ext42tree --upper upper.ext4 -o written
	! grep '^\./' written || fail "init and start have written something themselves"
}

# program says who it is, leaves orphans for the first process, and writes. Once they have ended
# and that has waited for them, the program is its only child.
program='for i in 1 2 3; do (busybox sleep 0.1 &); done
children() { busybox cat /proc/[0-9]*/stat 2>/dev/null | busybox grep -c ") . 1 "; }
n=0; while [ "$n" -lt 300 ] && [ "$(children)" != 1 ]; do n=$((n + 1)); busybox sleep 0.1; done; echo "children: $(children)"
echo "zombies: $(busybox cat /proc/[0-9]*/stat | busybox grep -c ") Z ")"
busybox id; busybox pwd; busybox env; : >new && echo written
[ -t 0 ] && : >/dev/shm/new && busybox ls /dev/pts/ptmx >/dev/stdout; exit 7'

# said checks what program has said, on the root app.
said() {
	has 'children: 1' 'zombies: 0' 'uid=1000(app) gid=100(app) groups=6(disk),44(video),100(app)' /home/app 'HOME=/home/app' \
		"NOTE=it's \$(touch ran)" PATH=/bin /dev/pts/ptmx 'init: /bin/sh: exit status 7'
}

# started FLAG... runs start as the first process of namespaces, in tree with the configuration
# that oci-commit makes with the flags, and puts into $output what the console says.
started() {
	oci-commit --quiet --base scratch --platform linux/amd64 --layer tree.tar "$@" --layout started:TAG
	oci-fetch --quiet --vm-config tree/etc/oci oci:started:TAG >/dev/null
	rm -r started
	run timeout 480 unshare --mount --pid --net --ipc --fork sh -euc '
		[ $$ = 1 ] || exit
		mount --make-rprivate /
		mount -t tmpfs root namespaces && cp -a tree/. namespaces && cd namespaces
		mkdir -p dev proc run/init/bin run/init/upper
		mount -t proc proc proc && mount -o remount,bind,ro proc && mount -t tmpfs dev dev && mknod -m 666 dev/null c 1 3
		printf "#!/bin/sh\n" | tee run/init/bin/poweroff >run/init/bin/reboot && chmod 755 run/init/bin/*
		cp "$(command -v busybox)" ../start run/init && exec chroot . /run/init/start "" 2>../errors'
}

@test "programs, users and directories are taken as container engines take them" {
	need busybox unshare
	need_root
	mkdir namespaces
	shell_image
	unshare --mount --pid --net --ipc --fork true || skip_or_fail "no namespaces"
	printf '#!/bin/sh\necho "ls of the image, $0"; exit 5\n' >tree/bin/ls
	chmod 755 tree/bin/ls
	printf '%s\n' odd 'wrap:x:4294967296:4294967296' 'sp ace:x:1001:5:a b:/h o:' >>tree/etc/passwd
	local who='["/bin/sh", "-c", "busybox id; busybox pwd; echo $HOME; exit 7"]' user

	started --entrypoint "$who" --user 'sp ace' --workdir /home/new
	has 'uid=1001(sp ace) gid=5 groups=5' /home/new '/h o' 'init: /bin/sh: exit status 7'
	started --entrypoint "$who" --user app:video --workdir '/a  b'
	has 'uid=1000(app) gid=44(video)' '/a  b'
	started --entrypoint "$who" --user 5000:6000 --workdir /bin/sh
	has 'init: /bin/sh: exit status 126'
	# What is not the name or number of one, is nobody: not one that is equal, escaped or wraps.
	for user in 1e3 0x0 'a\160p' wrap odd '$(id)' 4294967296 app:4294967296 -1; do
		started --entrypoint "$who" --user="$user"
		has "init: $user: the image does not have that user" 'init: /bin/sh: exit status 126' || return
	done

	# A name is that of a program of the image, and an option is one to nothing here.
	for user in app 5000; do
		started --entrypoint '["ls"]' --env PATH=/none:/bin --user "$user"
		has 'ls of the image, /bin/ls' 'init: ls: exit status 5' || return
		started --entrypoint '["head"]' --env PATH=/bin --user "$user"
		has 'init: head: not found in PATH' 'init: head: exit status 127' || return
		started --entrypoint '["-S", "0", "sh", "-c", "busybox id"]' --env PATH=/bin --user "$user"
		has 'init: -S: exit status 127' || return
		started --entrypoint '["/bin/none"]' --user "$user"
		has 'init: /bin/none: exit status 127' || return
		started --entrypoint '["/etc/passwd"]' --user "$user"
		has 'init: /etc/passwd: exit status 126' || return
	done

	# The environment is the program's alone.
	started --entrypoint '["busybox", "env"]' --user 5000 --env PATH=/bin --env IFS=/ --env UID=3 --env OPTIND=x --env env=e --env name=n \
		--env dir=d --env PWD=/p --env 'X=$(echo no) `echo no`' --env $'Y=a\nb'
	has IFS=/ UID=3 OPTIND=x env=e name=n dir=d PWD=/p 'X=$(echo no) `echo no`' Y=a b HOME=/ TERM=linux 'init: busybox: exit status 0'
	[ "$(grep -c = <<<"$output")" = 12 ] || show "more than that"
}

layered() {
	begin
	shell_image --entrypoint '["/bin/sh", "-c"]' --cmd "$(jq -nc --arg p "$program" '[$p]')" --user app --workdir /home/app \
		--env PATH=/bin --env 'NOTE=it'"'"'s $(touch ran)'
	recipe README.md 'initramfs.sh kernel' >>script
	recipe README.md 'oci-materialize --target all' >>script
}

@test "layers that images share, each a disk" {
	layered
	recipe README.md 'names=({c..z})' >>script
	machine
	assert_status 0
	said
	has written
	clean upper.ext4
	ext42tree --upper upper.ext4 | grep -q '^./home/app/new .* uid=1000 gid=100 ' || fail "not on the upper disk"
}

@test "layers that images share, in one disk" {
	[ "${SOAK:-}" = true ] || skip "long"
	layered
	recipe README.md 'vmdk=$(oci-materialize' >>script
	machine
	assert_status 0
	said
	has written
	sed -i '/^vmdk=/,$d' script
	cat >>script <<-'END'
		fsmeta=$(oci-materialize --target fsmeta --device-table=no --print fsmeta oci:DIR:TAG)
		wrap-vmdk --format raw -o disk.img $fsmeta $layers
		vm -initrd initramfs -drive file=disk.img,format=raw,if=virtio,readonly=on -append 'console=ttyS0 quiet panic=-1 upper=tmpfs run=/bin/busybox'
	END
	machine
	assert_status 0
	has 'init: /bin/busybox: exit status 0'
}

@test "disks on virtio-mmio, in a machine without PCI" {
	begin "tsc_early_khz=$(awk '/^cpu MHz/ { print int($4 * 1000); exit }' /proc/cpuinfo)"
	export ACCEL=tcg # what the guide says of a machine without KVM
	shell_image --cmd '["/bin/sh", "-c", "busybox readlink -f /sys/block/vda; busybox readlink -f /sys/block/vdb; : >/new && echo written; exit 7"]'
	{
		recipe README.md 'initramfs.sh kernel'
		recipe README.md '--copy-dir vm:/etc/oci --full' | sed '/^vm /,$d'
		recipe README.md 'mkext4upper --size 1G -o' | sed '/^vm /,$d'
		recipe README.md 'MACHINE=microvm'
	} >>script
	machine
	assert_status 0
	has written 'init: /bin/sh: exit status 7'
	[ "$(grep -cE '^/sys/devices/platform/LNRO0005:[0-9]+/virtio[0-9]+/block/vd[ab]$' <<<"$output")" = 2 ] || show "not these disks"
	clean upper.ext4
	ext42tree --upper upper.ext4 | grep -q '^./new ' || fail "not on the upper disk"
	[ "${SOAK:-}" = true ] || return 0
	sed -i '/^MACHINE=/,$d' script
	recipe README.md 'oci-materialize --target all' >>script
	cat >>script <<-'END'
		MACHINE=microvm vm -initrd initramfs $(disk upper upper.ext4; disk fsmeta $fsmeta,readonly=on; disk layer $layers,readonly=on) \
			-append 'console=ttyS0 reboot=t panic=-1 quiet upper=/dev/vda disk=/dev/vdb layers=/dev/vdc'
	END
	machine
	assert_status 0
	has written 'init: /bin/sh: exit status 7'
}

@test "what init and start cannot do, they say" {
	[ "${SOAK:-}" = true ] || skip "long"
	need debugfs
	begin
	recipe README.md 'initramfs.sh kernel' >>script
	shell_image --cmd '["/bin/busybox", "grep", "-c", " /tmp ", "/proc/mounts"]'
	cat >>script <<-'END'
		boot() { vm -initrd initramfs -drive file=$1,format=raw,if=virtio,readonly=on -append "console=ttyS0 panic=-1 quiet ${2:-}" "${@:3}"; }
		disk() { erofs-patch --lower image.tree "$@" --vm-skeleton --copy-dir vm:/etc/oci --full | tree2erofs; }
		oci-fetch --vm-config vm oci:DIR:TAG | tar2tree -o image.tree
		tree2erofs -o bare.erofs image.tree
		disk --symlink etc:/tmp >root.erofs
		disk --symlink /etc:/run >link.erofs
		mkext4upper --size 64M -o full.ext4
		head -c 80M /dev/zero | tr '\0' x >fill
		debugfs -w -R 'write fill fill' full.ext4 2>/dev/null
		truncate -s 1M none
		boot none
		boot bare.erofs
		boot link.erofs
		boot root.erofs upper=/dev/vdb
		boot root.erofs upper=/dev/vdb -drive file=none,format=raw,if=virtio
		boot root.erofs upper=/dev/vdb -drive file=full.ext4,format=raw,if=virtio
	END
	machine
	assert_status 0
	has 'init: /dev/vda: no file system that this kernel mounts, with ro' 'init: the image has no /run; erofs-patch --vm-skeleton makes it' \
		"init: the image's /run is a symbolic link" 'init: /dev/vdb: no such disk' 'init: /dev/vdb: no upper disk' \
		'init: /dev/vdb: full or damaged, so the root is read-only' 'init: /bin/busybox: exit status 1'
	[ "$(grep -c '^init:' <<<"$output")" = 7 ] || show "more than that"
}

@test "an initramfs that cannot be made" {
	need busybox
	run --separate-stderr ./initramfs.sh
	assert_error usage 2 initramfs.sh
	run --separate-stderr ./initramfs.sh none
	assert_status 2
	[[ -z $output && $stderr == *none* ]] || show "not the directory"
	mkdir -p m/lib/modules/1
	BUSYBOX=/bin/bash run --separate-stderr ./initramfs.sh m/lib/modules/1
	assert_error initramfs.sh 1 '/bin/bash: not static'
	[ -z "$(ls "$TMPDIR")" ] || fail "it has left $(ls "$TMPDIR")"
}

@test "an initramfs of modules that are compressed" {
	need busybox cpio xz
	mkdir -p m/lib/modules/6.1.0/kernel
	echo module >m/lib/modules/6.1.0/kernel/erofs.ko
	xz m/lib/modules/6.1.0/kernel/erofs.ko
	echo kernel/erofs.ko.xz: >m/lib/modules/6.1.0/modules.dep
	./initramfs.sh m/lib/modules/6.1.0 | gzip -d | cpio --quiet -id
	[ "$(<lib/modules/6.1.0/kernel/erofs.ko)" = module ] || fail "not the module"
	[ "$(cat lib/modules/6.1.0/modules.dep)" = kernel/erofs.ko: ] || fail "$(cat lib/modules/6.1.0/modules.dep)"
	[ -e m/lib/modules/6.1.0/kernel/erofs.ko.xz ] || fail "the kernel's own is gone"
}

# What the definitions of Firecracker 1.17.0-dev (src/firecracker/swagger/firecracker.yaml) and
# cloud-hypervisor 54.0 (vmm/src/api/openapi/cloud-hypervisor.yaml) say of the fields that a
# guide may use. Firecracker refuses others.
facts='
def fields($required; $types): if type != "object" then "no object" else
	($required - keys | map("lacks " + .))[],
	(to_entries[] | if $types[.key] == null then "unknown " + .key
	elif (.value | type) != $types[.key] then .key + " is no " + $types[.key] else empty end) end;
def firecracker:
	fields(["boot-source", "drives"]; {"boot-source": "object", "drives": "array", "machine-config": "object"}),
	(."boot-source" | fields(["kernel_image_path"]; {kernel_image_path: "string", initrd_path: "string", boot_args: "string"})),
	(.drives[] | fields(["drive_id", "is_root_device", "is_read_only", "path_on_host"];
		{drive_id: "string", is_root_device: "boolean", is_read_only: "boolean", path_on_host: "string", partuuid: "string", cache_type: "string", io_engine: "string"})),
	(."machine-config" | fields(["mem_size_mib", "vcpu_count"]; {mem_size_mib: "number", vcpu_count: "number", smt: "boolean", track_dirty_pages: "boolean", huge_pages: "string"}));
def mode: fields(["mode"]; {mode: "string", file: "string", socket: "string"}), (.mode | select(IN("Off", "Pty", "Tty", "File", "Socket", "Null") | not) | "no mode " + .);
def hypervisor:
	fields(["payload"]; {payload: "object", disks: "array", cpus: "object", memory: "object", serial: "object", console: "object"}),
	(.payload | fields([]; {kernel: "string", initramfs: "string", cmdline: "string", firmware: "string"})),
	(.disks[] | fields(["path"]; {path: "string", readonly: "boolean", direct: "boolean", image_type: "string"})),
	(.disks[].image_type | select(IN("FixedVhd", "Qcow2", "Raw", "Vhdx", "Unknown") | not) | "no type " + .),
	(.cpus | fields(["boot_vcpus", "max_vcpus"]; {boot_vcpus: "number", max_vcpus: "number"})),
	(.memory | fields(["size"]; {size: "number", mergeable: "boolean", shared: "boolean", hugepages: "boolean"})),
	(.serial, .console | mode);'

@test "configurations of other monitors have the fields that their definitions have" {
	need jq
	run jq -r "$facts firecracker" firecracker.json
	assert_output ''
	run jq -r "$facts hypervisor" cloud-hypervisor.json
	assert_output ''
	# The checks find what is wrong.
	run jq -r "$facts"'.drives[0] |= (del(.is_root_device) | .path = "x" | .is_read_only = "yes") | firecracker' firecracker.json
	assert_output $'lacks is_root_device\nis_read_only is no boolean\nunknown path'
	run jq -r "$facts"'(.disks[0].image_type = "raw") | .serial.mode = "tty" | del(.memory.size) | hypervisor' cloud-hypervisor.json
	assert_output $'no type raw\nlacks size\nno mode tty'
}

# stub NAME makes one that writes its name and arguments to the file called.
stub() {
	printf '#!/bin/sh\necho "${0##*/} $*" >>called\n' >"stub/$1"
	chmod +x "stub/$1"
}

@test "other monitors are started as they say" {
	need jq
	mkdir stub
	stub firecracker
	stub cloud-hypervisor
	stub curl
	recipe README.md 'firecracker --no-api' >>script
	recipe README.md 'firecracker-api.sh firecracker.sock' >>script
	PATH=$PWD/stub:$PATH v=1 run bash -euo pipefail script
	assert_status 0
	[ "$(sed -n 1p called)" = 'firecracker --no-api --config-file firecracker.json' ] || fail "$(<called)"
	[ "$(sed -n 2p called | grep -o -- '--[a-z]*' | paste -sd ' ')" = '--kernel --initramfs --cmdline --disk --cpus --memory --serial --console' ] || fail "$(<called)"
	[ "$(sed -n 2p called | grep -oE '(path|readonly|image_type)=[a-z0-9.]*' | paste -sd ' ')" = 'path=root.erofs readonly=on image_type=raw path=upper.ext4 image_type=raw' ] || fail "$(<called)"
	# The API gets the parts of the file, drives in their order, and starts last.
	grep firecracker.sock called | sed 's/.* -d \(.*\) http:.*/\1/' | jq -s '{"machine-config": .[0], "boot-source": .[1], drives: .[2:-1]}' |
		cmp - <(jq '{"machine-config", "boot-source", drives}' firecracker.json)
	[ "$(grep firecracker.sock called | sed 's/.*localhost//' | paste -sd ' ')" = '/machine-config /boot-source /drives/root /drives/upper /actions' ] || fail "$(<called)"
	[[ $(grep /actions called) == *' -d {"action_type": "InstanceStart"} '* ]] || fail "$(<called)"
	[ "$(grep cloud-hypervisor.sock called | sed 's/.*localhost//' | paste -sd ' ')" = '/api/v1/vm.create /api/v1/vm.boot' ] || fail "$(<called)"
	# A refusal ends it.
	printf '#!/bin/sh\necho "$*" >>refused\ncase $* in *drives/root*) exit 22 ;; esac\n' >stub/curl
	PATH=$PWD/stub:$PATH run ./firecracker-api.sh s firecracker.json
	assert_status 22
	[ "$(wc -l <refused)" = 3 ] || fail "it goes on: $(<refused)"
}

@test "the guide names the modules, files and variables that there are" {
	local file name
	for file in init start initramfs.sh firecracker.json firecracker-api.sh cloud-hypervisor.json hello.go; do
		grep -q "\`$file\`" README.md || fail "README.md does not name $file" || return
	done
	[ "$(find "$REPO/tests/shell/guides/boot" -type f | wc -l)" = 8 ] || fail "a file that README.md does not name"
	for name in disk layers upper run; do
		grep -q "$name=" README.md && grep -q "^#     $name=" init || fail "not in both: $name=" || return
	done
	[ "$(sed -n 's/^modprobe -a \(.*\) 2>.*/\1/p' init)" = "$(sed -n 's/^for name in \(virtio.*\); do/\1/p' initramfs.sh)" ] || fail "init and initramfs.sh load other modules"
}
