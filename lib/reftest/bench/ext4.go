package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Shell lines that list a disk: the geometry of an empty one, after e2fsck has found it
// clean, and the files of another as the kernel shows them. The root and lost+found are left
// out, since not all contenders set them alike.
const (
	listEmpty = `PATH=$PATH:/usr/sbin:/sbin; e2fsck -fn {out} >&2;
		dumpe2fs -h {out} 2>/dev/null | grep -E "^(Block (count|size)|Inode count|Total journal size):"`
	listMounted = `mkdir -p {work}/mnt; mount -o ro,loop {out} {work}/mnt; trap "umount {work}/mnt" EXIT;
		tar -C {work}/mnt --exclude=./lost+found --format=posix --xattrs --xattrs-include="*" --numeric-owner -c . |
		tar2tree --sort --no-data --digest | sed -e "s/ nlink=[0-9]*//" -e "/^#/d" -e "/^\. /d"`
	unpack = `mkdir {work}/root; tar -C {work}/root --xattrs --xattrs-include="*" --numeric-owner -xpf {in}`
)

// ext4Rows are about writable disks, empty and with files.
func ext4Rows() []row {
	mke2fs := cmp.Or(os.Getenv("MKE2FS"), "mke2fs")
	missing := func() string {
		if _, err := lookSbin(mke2fs); err != nil {
			return "not installed; MKE2FS names one elsewhere"
		}
		return ""
	}
	if path, err := lookSbin(mke2fs); err == nil {
		mke2fs = path
	}
	empty := func(name, size string) row {
		return row{name: name, work: "an empty ext4 disk of " + size, list: listEmpty, sparse: true, contenders: []contender{
			{name: "ours", line: "mkext4upper --size " + size + " -o {out}"},
			{name: "mke2fs, default", line: mke2fs + " -q -F -t ext4 {out} " + size, missing: missing},
			{name: "mke2fs, best flags", line: mke2fs + " -q -F -t ext4 -E assume_storage_prezeroed=1 {out} " + size, missing: missing},
		}}
	}
	files := func(name, work, input string) row {
		rest := " {out} 2G"
		return row{
			name: name, work: work + ", plain, to ext4", input: input, prepare: unpack, list: listMounted, sparse: true, missing: notRoot,
			contenders: []contender{
				{name: "ours", line: "tar2tree --input layer | tree2ext4"},
				{name: "mke2fs -d, archive", line: mke2fs + " -q -F -t ext4 -N 200000 -d {in}" + rest, missing: func() string { return archiveMissing(mke2fs) }},
				{name: "mke2fs -d, directory", line: mke2fs + " -q -F -t ext4 -N 200000 -d {work}/root" + rest, missing: missing},
				{name: "tar2ext4", line: "tar2ext4 -i {in} -o {out}", missing: needs("tar2ext4")},
			},
		}
	}
	return []row{
		empty("empty-4G", "4G"), empty("empty-64G", "64G"), empty("empty-1T", "1T"),
		files("ext4-files", "100,000 small files, twenty in a directory", "files/layer.tar"),
		files("ext4-large", "620 MB in large files", "large/layer.tar"),
		files("ext4-directory", "50,000 files in one directory", "onedir/layer.tar"),
	}
}

// lookSbin finds a tool, also in the directories of root's tools.
func lookSbin(tool string) (string, error) {
	path, err := exec.LookPath(tool)
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if err != nil && !strings.Contains(tool, "/") {
			path, err = exec.LookPath(dir + tool)
		}
	}
	return path, err
}

// archiveMissing says why mke2fs -d does not read archives, or returns "" if it may. Whether
// mke2fs finds libarchive shows only when it runs.
func archiveMissing(mke2fs string) string {
	out, err := exec.Command(mke2fs, "-V").CombinedOutput()
	if err != nil {
		return "not installed; MKE2FS names one elsewhere"
	}
	var major, minor, patch int
	fmt.Sscanf(string(out), "mke2fs %d.%d.%d", &major, &minor, &patch)
	if major*1_000_000+minor*1000+patch < 1_047_001 {
		return fmt.Sprintf("%s %d.%d.%d reads no archives, 1.47.1 does; MKE2FS names one elsewhere", mke2fs, major, minor, patch)
	}
	return ""
}

func notRoot() string {
	if os.Geteuid() != 0 {
		return "not root, so the output cannot be mounted"
	}
	return ""
}
