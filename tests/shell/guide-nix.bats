# The guide for Nix does as it stands there: tests/shell/guides/nix.

load helpers
setup() {
	common_setup
	guide=$REPO/tests/shell/guides/nix
	demo_image DIR TAG
}
teardown() { chmod -R u+w .; } # a store is read-only

# nix_setup makes the current directory one as the guide says, and gives Nix a store of its own
# there, with a sandbox that it does not do without.
nix_setup() {
	need nix-build busybox
	local place
	for place in STORE STATE LOG CONF; do
		export "NIX_${place}_DIR=$PWD/nix/$place"
	done
	export HOME=$PWD/nix/home
	mkdir -p "$HOME" "$NIX_CONF_DIR"
	printf '%s\n' 'sandbox = true' 'sandbox-fallback = false' 'build-users-group =' 'substitute = false' >"$NIX_CONF_DIR/nix.conf"
	cp "$guide"/*.nix .
	recipe "$guide/README.md" 'mkdir tools' >script
	bash -euo pipefail script
	probe
}

# probe is a derivation that shows what a builder sees: nothing of this machine.
probe() {
	cat >probe.nix <<-'END'
		let bin = builtins.path { name = "bin"; path = ./tools; }; in
		derivation {
		  name = "probe";
		  system = builtins.currentSystem;
		  builder = "${bin}/busybox";
		  args = [ "sh" "-c" "${bin}/busybox readlink /proc/self/ns/net >$out; for f in ${toString ./.}/*; do echo $f; done >>$out" ];
		}
	END
	run --separate-stderr nix-build --no-out-link probe.nix
	[[ $status = 0 || $stderr != *namespace* ]] || skip_or_fail "Nix has no sandbox here: $stderr" || return
	assert_status 0
	[[ $(head -1 "$output") == net:* && $(head -1 "$output") != "$(readlink /proc/self/ns/net)" ]] || fail "the network of this machine: $(<"$output")"
	[ "$(tail -1 "$output")" = "$PWD/nix" ] || fail "files of the machine: $(<"$output")"
}

# run_script runs the shell lines of its standard input.
run_script() {
	cat >script
	run --separate-stderr bash -euo pipefail script
	assert_status 0
}

# same_as_in_a_shell: the outputs are those of the filters.
same_as_in_a_shell() {
	local digest n=0
	mkdir shell
	(
		cd shell || exit
		tar2tree ../image.tar.gz | tree2erofs >rootfs.erofs
		mkext4upper --size 64M --root-from rootfs.erofs -o upper
		mkdir disk
		cd disk || exit
		for digest in $(oci-fetch --list --digests "docker-archive:../../image.tar.gz"); do
			oci-fetch --layer "$digest" "docker-archive:../../image.tar.gz" | tar2tree --input layer |
				tree2erofs --quiet --layer -o "$(printf %03d $n).erofs"
			n=$((n + 1))
		done
		tree2erofs --fsmeta -o fsmeta.erofs 0*.erofs
		wrap-vmdk -o disk.vmdk fsmeta.erofs 0*.erofs
	)
	diff -r shell/disk disk
	cmp shell/rootfs.erofs rootfs.erofs
	cmp shell/upper upper
}

@test "every recipe has a test" {
	recipes_are_run "$guide/README.md"
}

@test "disks of an image, the same as in a shell and each time" {
	nix_setup
	run_script < <(recipe "$guide/README.md" '-A disk -o disk')
	same_as_in_a_shell
	run_script < <(recipe "$guide/README.md" '--check --no-out-link')
	[ "$(grep -c '^checking outputs of' <<<"$stderr")" = 3 ] || show "not three compared"
	run_script < <(recipe "$guide/README.md" '--grow upper.ext4')
	clean upper.ext4
	[ "$(stat -c %s upper.ext4)" = $((4 << 30)) ] || fail "it has not grown"

	# As dockerTools.buildImage packs an image: a directory for each layer, no time, nothing writable.
	mkdir save
	tar -xzC save -f image.tar.gz
	(
		cd save || exit
		for layer in *.tar; do
			mkdir "${layer%.tar}"
			mv "$layer" "${layer%.tar}/layer.tar"
			echo -n 1.0 >"${layer%.tar}/VERSION"
			echo '{}' >"${layer%.tar}/json"
			sed -i "s|$layer|${layer%.tar}/layer.tar|" manifest.json
		done
		echo '{}' >repositories
	)
	tar -C save --sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner --mode=a-w -cf other.tar .
	run_script < <(recipe "$guide/README.md" '--arg image')
	cmp other.erofs rootfs.erofs

	run_script < <(recipe "$guide/README.md" 'nix-collect-garbage')
	left=$(ls -A nix/STORE)
	[[ $left == .links || -z $left ]] || fail "the store has $left"
}

@test "a broken image makes nothing" {
	nix_setup
	zcat image.tar.gz | head -c 20000 >image.tar
	run --separate-stderr nix-build --arg image ./image.tar -A disk -o disk
	assert_status 100
	[[ $stderr == *'oci-fetch: /'*'-image.tar: '* ]] || show "no message of the tool"
	[ ! -e disk ] || fail "it has made a disk"
}

@test "with nixpkgs, as far as one can without it" {
	nix_setup
	cat >pkgs.nix <<-'END'
		{
		  hello = "hello";
		  dockerTools.buildLayeredImage = { name, contents, config }: ./image.tar.gz;
		  runCommand = name: env: script: derivation ({ nativeBuildInputs = [ ]; } // env // {
		    inherit name;
		    system = builtins.currentSystem;
		    builder = "${builtins.path { name = "bin"; path = ./tools; }}/busybox";
		    args = [ "sh" "-euo" "pipefail" "-c" "PATH=$nativeBuildInputs/bin; mkdir() { $builder mkdir \"$@\"; }; cp() { $builder cp \"$@\"; }; ${script}" ];
		  });
		}
	END
	run --separate-stderr nix-build with-nixpkgs.nix --arg pkgs 'import ./pkgs.nix' -A upper -o upper
	assert_status 0
	tar2tree image.tar.gz | tree2erofs >rootfs.erofs
	mkext4upper --size 64M --root-from rootfs.erofs | cmp - upper
}
