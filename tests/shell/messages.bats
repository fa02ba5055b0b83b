# What a user reads who gave a tool the wrong kind of input: what it is, and what reads it.

load helpers
setup() {
	common_setup
	small_layer layer.tar
}

# kinds makes a file or a directory of each kind.
kinds() {
	mkdir directory
	: >empty
	seq 100 >text
	echo '{"a": 1}' >object.json
	printf '#!/bin/sh\n' >script
	printf '%%PDF-1.4\n\342\343' >document.pdf
	printf '<!DOCTYPE html>\n' >page.html
	head -c 4096 /dev/zero | tr '\0' '\1' >junk
	printf 'QFI\373' | cat - junk >disk.qcow2
	tar2tree layer.tar >tree
	gzip -c tree >tree.gz
	gzip -c layer.tar >layer.tar.gz
	tree2erofs tree >image.erofs
	tree2ext4 tree >image.ext4
	wrap-vmdk --format stream image.erofs >disk.vmdk
	wrap-vmdk --format gpt image.erofs >disk.gpt
}

# says COMMAND... reads lines of FILE|MESSAGE|HINT: that is what the command, with the file at
# its end, prints and no more.
says() {
	local file text hint want
	while IFS='|' read -r file text hint; do
		run --separate-stderr "$@" "$file" </dev/null # not the lines
		want="$1: $file: $text"
		[ -z "$hint" ] || want+=$'\n'"$1: hint: $hint"
		assert_status 1 || return
		[ "$stderr" = "$want" ] || show "$* $file should say: $want" || return
	done
}

@test "a wrong kind of input is named, and what reads it" {
	kinds
	says tree2erofs -o out <<-'END'
		directory|is a directory|tar -C DIR -c . | tar2tree makes a tree stream of a directory, tar2tree DIR of an OCI layout
		empty|the input is empty
		text|is text, not a tree stream
		document.pdf|is a PDF document, not a tree stream
		page.html|is HTML or XML, not a tree stream|it may be what a server answered in place of a file
		layer.tar|is a tar archive, not a tree stream|tar2tree FILE makes a tree stream of it
		layer.tar.gz|is compressed with gzip, not a tree stream|tar2tree makes a tree stream of layers and images, compressed or not; gzip -dc FILE unpacks it
		image.erofs|is an EROFS image, not a tree stream|erofs2tree FILE makes a tree stream of it
		image.ext4|is an ext4 file system, not a tree stream|ext42tree FILE makes a tree stream of it
		junk|not a valid tree stream: first line is not "#mtree ocipipe-tree 1 data=inline"|tar2tree makes a tree stream of layers and images, erofs2tree of EROFS images
	END
	says tar2tree -o out <<-'END'
		directory|not an OCI image layout: it has no index.json|tar -C DIR -c . | tar2tree makes a tree stream of a directory
		empty|the input is empty
		object.json|is JSON, not a tar archive
		tree|is a tree stream, not a tar archive|tree2tar makes a tar archive of it
		tree.gz|is a tree stream, not a tar archive|tree2tar makes a tar archive of it
		image.erofs|is an EROFS image, not a tar archive|erofs2tree FILE makes a tree stream of it
		image.ext4|is an ext4 file system, not a tar archive|ext42tree FILE makes a tree stream of it
		disk.gpt|is a disk with partitions (GPT), not a tar archive|losetup -P shows each of its partitions as a device
		junk|corrupt layer: byte 0 of the tar: header checksum does not match
	END
	says erofs2tree -o out <<-'END'
		directory|is a directory|tar -C DIR -c . | tar2tree makes a tree stream of a directory, tar2tree DIR of an OCI layout
		empty|the input is empty
		tree|is a tree stream, not an EROFS image|tree2erofs makes an EROFS image of it
		tree.gz|is compressed with gzip, not an EROFS image|gzip -dc FILE unpacks it
		disk.vmdk|is a VMDK disk, not an EROFS image|qemu-img convert -O raw FILE NEW makes a raw disk of it
		junk|byte 1024: no EROFS superblock here: corrupt EROFS image
	END
	says ext42tree -o out <<-'END'
		directory|is a directory, not a file or a block device
		image.erofs|is an EROFS image, not an ext4 file system|erofs2tree FILE makes a tree stream of it
		disk.qcow2|is a QCOW2 disk, not an ext4 file system|qemu-img convert -O raw FILE NEW makes a raw disk of it
	END
	says erofs-patch --mkdir /a -o out --lower <<-'END'
		layer.tar|is a tar archive, not an EROFS or ext4 image or a tree stream|tar2tree FILE makes a tree stream of it
		script|is a script, not an EROFS or ext4 image or a tree stream
	END
	says erofs-patch --lower image.erofs -o out <<-'END'
		image.erofs|is an EROFS image, not a list of patches
		tree.gz|is compressed with gzip, not a list of patches|gzip -dc FILE unpacks it
	END
	says wrap-vmdk -o out <<-'END'
		directory|is a directory
		object.json|is JSON, not a raw disk
		disk.vmdk|is a VMDK disk, not a raw disk|qemu-img convert -O raw FILE NEW makes a raw disk of it
	END
	says oci-commit --base scratch --platform linux/amd64 -o out --layer <<-'END'
		empty|the input is empty
		tree|is a tree stream, not a tar archive|tree2tar --oci makes a layer of it
		image.erofs|is an EROFS image, not a tar archive|erofs2tree FILE | tree2tar --oci makes a layer of it
		image.ext4|is an ext4 file system, not a tar archive|ext42tree --upper FILE | tree2tar --oci makes a layer of it
	END
	says snapshot-pack verify <<-'END'
		text|is text, not an archive of a snapshot
		image.erofs|is an EROFS image, not an archive of a snapshot
	END
	says snapshot-pack create -o out --from <<-'END'
		layer.tar|is a file, not the directory of a snapshot|snapshot-pack unpack makes directories of an archive
	END
	[ ! -e out ] || fail "out was made"
}

@test "an image in a file is named once, whatever is wrong with it" {
	kinds
	for line in 'oci-fetch -o out' 'oci-materialize --cache cache -o out' 'oci-commit -o out --layer layer.tar --base'; do
		for c in 'empty|the input is empty' 'tree.gz|is a tree stream, not an image archive' 'layer.tar|not an image archive: neither index.json nor manifest.json in it' 'directory|not an OCI image layout: it has no index.json'; do
			# shellcheck disable=SC2086 # words
			run --separate-stderr $line "oci-archive:${c%%|*}"
			assert_status 1
			[ "${stderr%%$'\n'*}" = "${line%% *}: ${c%%|*}: ${c#*|}" ] || show "not named once"
		done
	done
}

@test "an empty argument is not standard input" {
	for tool in tar2tree tree2erofs tree2tar tree2ext4 ext42tree erofs2tree oci-fetch; do
		run --separate-stderr "$tool" '' </dev/null
		assert_error "$tool" 2 'argument is empty: '
	done
}
