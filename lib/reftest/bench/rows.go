package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// row is one kind of work.
type row struct {
	name, work string
	input      string // NAME/FILE, where images.sh makes NAME; "" for no input
	prepare    string // shell line that makes the directory {work} from the input once
	list       string // shell line that lists what a contender wrote
	sparse     bool   // only allocated blocks of the output count
	missing    func() string
	serve      func(work string) (host string, stop func(), err error) // starts a registry, {host}
	contenders []contender                                             // ours first
}

// contender is one way to do the work: a pipeline in which {in}, {out}, {work}, {host} and
// {diff-id}, the digest of the plain layer, are replaced. If the line has neither {in} nor
// {work}, the input is its standard input. If it has no {out}, the output is its standard
// output.
type contender struct {
	name    string
	line    string
	list    string        // in place of the row's
	missing func() string // why it cannot run; "" if it can
}

// Shell lines that list an image, and a directory. Other writers of archives do not know
// which files are hard links, so the link count is left out.
const (
	listImage = `erofs2tree --no-data --digest {out} | sed "s/ nlink=[0-9]*//"`
	listDir   = listRoot + "/rootfs" + listRest
	listRoot  = `tar -C {out}`
	listRest  = ` --format=posix --xattrs --xattrs-include="*" --numeric-owner -c . |
		tar2tree --sort --no-data --digest | sed "s/ nlink=[0-9]*//"`
)

func rows() []row {
	mkfs := mkfsErofs()
	missing := func() string { return tarMissing(mkfs) }
	erofs := func(name, work, input, flag string) row {
		return row{name: name, work: work, input: input, list: listImage, contenders: []contender{
			{name: "ours", line: "tar2tree --diff-id {diff-id} | tree2erofs"},
			{name: "ours, not verified", line: "tar2tree | tree2erofs"},
			{name: "mkfs.erofs, default", line: mkfs + " --quiet --tar=f" + flag + " {out} {in}", missing: missing},
			{name: "mkfs.erofs, best flags", line: mkfs + " --quiet --tar=f" + flag + " --sort=none -E^inline_data {out} {in}", missing: missing},
		}}
	}
	gzip := erofs("gzip", "layer of Debian packages, gzip at level 6, to EROFS", "debs/layer.tar.gz", " --ungzip")
	npm := erofs("npm", "layer of small npm files, plain, to EROFS", "npm/layer.tar", "")
	npm.contenders = append(npm.contenders, goErofs())
	many := erofs("directory", "50,000 files in one directory, plain, to EROFS", "onedir/layer.tar", "")
	many.contenders = append(many.contenders, goErofs())
	return append([]row{
		gzip,
		erofs("packages", "the same layer, plain, to EROFS", "debs/layer.tar", ""),
		erofs("large", "620 MB in large files, plain, to EROFS", "large/layer.tar", ""),
		npm,
		erofs("npm-gzip", "the same layer, gzip at level 6, to EROFS", "npm/layer.tar.gz", " --ungzip"),
		zstd(mkfs),
		cores(),
		many,
		{
			name: "image", work: "Debian image of three gzip layers, of umoci's default level, to one root", input: "debian/oci", list: listImage,
			contenders: []contender{
				{name: "ours", line: "oci-fetch oci:{in}:image | tar2tree | tree2erofs"},
				{name: "ours, from the layout", line: "tar2tree {in} | tree2erofs"},
				{name: "umoci unpack", line: "umoci unpack --image {in}:image {out}", list: listDir, missing: needs("umoci")},
			},
		}, {
			name: "archive", work: "Debian image from a layout to an archive", input: "debian/oci",
			list: "oci-fetch oci-archive:{out} --list --digests",
			contenders: []contender{
				{name: "ours", line: "oci-fetch oci:{in}:image"},
				{name: "skopeo copy", line: "skopeo copy --quiet oci:{in}:image oci-archive:{out}:image", missing: needs("skopeo")},
			},
		}, {
			name: "back", work: "EROFS to tar, and a stream of it", input: "npm/layer.tar", list: "tar2tree --sort --no-data --digest < {out}",
			contenders: []contender{{name: "ours", line: "tar2tree | tree2erofs | erofs2tree - | tree2tar"}},
		},
		fsmeta(mkfs, "fsmeta3", 3),
		fsmeta(mkfs, "fsmeta10", 10),
		{
			name: "extract", work: "layer of small npm files, EROFS to a stream", input: "npm/layer.tar",
			prepare: "tar2tree {in} | tree2erofs > {work}/image.erofs",
			list:    `tree2erofs {out} | erofs2tree - --no-data --digest`,
			contenders: []contender{
				{name: "ours", line: "erofs2tree {work}/image.erofs"},
				{name: "fsck.erofs --extract", line: "fsck.erofs --extract={out} {work}/image.erofs", list: listRoot + listRest, missing: needs("fsck.erofs")},
			},
		}, {
			name: "stream", work: "EROFS image to a stream-optimized VMDK, deflate at level 6", input: "npm/layer.tar",
			prepare: "tar2tree {in} | tree2erofs > {work}/image.erofs",
			list:    `qemu-img convert -f vmdk -O raw {out} {out}.raw && sha256sum < {out}.raw; rm -f {out}.raw`,
			contenders: []contender{
				{name: "ours", line: "wrap-vmdk --format stream {work}/image.erofs"},
				{name: "qemu-img convert", line: "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized {work}/image.erofs {out}", missing: needs("qemu-img")},
			},
		},
	}, slices.Concat(compressedRows(mkfs), materializeRows(mkfs), ext4Rows(), fetchRows(), pushRows(), commitRows())...)
}

// fsmeta returns a row about n layers of 40,000 files in all, each layer in a directory of
// its own. go-erofs merges only layers whose data is in a separate file.
func fsmeta(mkfs, name string, n int) row {
	var images, indexes, data []string
	for i := range n {
		at := fmt.Sprintf("{work}/%02d", i)
		images = append(images, at+".erofs")
		indexes = append(indexes, at+".index "+at+".data")
		data = append(data, at+".data")
	}
	layers := strings.Join(images, " ")
	list := func(devices []string) string { // mkfs.erofs makes a root of its own
		return "erofs2tree --no-data --digest {out} --device " + strings.Join(devices, " --device ") +
			` | sed -e "s/ nlink=[0-9]*//" -e "/^#/d" -e "/^\. /d"`
	}
	return row{
		name: name, work: fmt.Sprintf("metadata of %d layers, 40,000 files in all, merged", n), input: "onedir/layer.tar",
		prepare: fmt.Sprintf(`go build -o {work}/goerofs ./lib/reftest/bench/goerofs; for i in $(seq -f %%02g 0 %d); do
			go run ./lib/reftest/bigtar layer $((10#$i)) %d > {work}/tar
			tar2tree < {work}/tar | tree2erofs --layer > {work}/$i.erofs
			{work}/goerofs index {work}/$i.index {work}/$i.data < {work}/tar; done`, n-1, 40_000/n),
		list: list(images),
		contenders: []contender{
			{name: "ours", line: "tree2erofs --fsmeta " + layers},
			{name: "mkfs.erofs rebuild", line: mkfs + " --quiet {out} " + layers, missing: func() string { return tarMissing(mkfs) }},
			{name: "go-erofs MetadataOnly", line: "{work}/goerofs merge {out} " + strings.Join(indexes, " "), list: list(data)},
		},
	}
}

func mkfsErofs() string { return cmp.Or(os.Getenv("MKFS_EROFS"), "mkfs.erofs") }

func needs(tool string) func() string {
	return func() string {
		if _, err := exec.LookPath(tool); err != nil {
			return "not installed"
		}
		return ""
	}
}

// tarMissing says why mkfs.erofs does not read archives, or returns "" if it does.
func tarMissing(mkfs string) string { return helpMissing(mkfs, "--tar") }

// helpMissing says that the help of mkfs.erofs does not name a word, or returns "" if it does.
func helpMissing(mkfs, word string) string {
	path, err := exec.LookPath(mkfs)
	if err != nil {
		return "not installed; MKFS_EROFS names one elsewhere"
	}
	help, _ := exec.Command(path, "--help").CombinedOutput()
	if !regexp.MustCompile(`(^|[^\w-])` + regexp.QuoteMeta(word) + `($|[^\w-])`).Match(help) {
		return fmt.Sprintf("%s knows no %s; MKFS_EROFS names another", path, word)
	}
	return ""
}

// goErofs returns a loop over the library go-erofs, built in the temporary directory.
func goErofs() contender {
	bin := filepath.Join(os.TempDir(), "ocipipe-bench-goerofs")
	return contender{name: "go-erofs loop", line: bin + " pack {out}", missing: func() string {
		if out, err := exec.Command("go", "build", "-o", bin, "ocipipe/lib/reftest/bench/goerofs").CombinedOutput(); err != nil {
			return string(out)
		}
		return ""
	}}
}

// zstd returns a row about a layer that mkfs.erofs cannot decompress itself.
func zstd(mkfs string) row {
	return row{
		name: "zstd", work: "layer of Debian packages, zstd at level 3, to EROFS", input: "debs/layer.tar", list: listImage,
		prepare: "zstd -q -3 -c {in} > {work}/layer.tar.zst",
		contenders: []contender{
			{name: "ours", line: "tar2tree --diff-id {diff-id} {work}/layer.tar.zst | tree2erofs"},
			{name: "ours, not verified", line: "tar2tree {work}/layer.tar.zst | tree2erofs"},
			{
				name: "zstd and mkfs.erofs", line: "zstd -q -dc {work}/layer.tar.zst | " + mkfs + " --quiet --tar=f --sort=none -E^inline_data {out}",
				missing: func() string { return cmp.Or(tarMissing(mkfs), needs("zstd")()) },
			},
		},
	}
}

// cores returns a row about the processors that tar2tree and tree2erofs may use, each of
// them; a number above that of the machine shows what too many goroutines cost.
func cores() row {
	r := row{name: "cores", work: "layer of Debian packages, gzip at level 6, to EROFS, by GOMAXPROCS", input: "debs/layer.tar.gz", list: listImage}
	r.contenders = []contender{{name: "ours", line: "tar2tree --diff-id {diff-id} {in} | tree2erofs"}}
	for _, n := range []int{1, 2, 4, 8} {
		r.contenders = append(r.contenders, contender{
			name: fmt.Sprintf("ours, GOMAXPROCS=%d", n),
			line: fmt.Sprintf("env GOMAXPROCS=%[1]d tar2tree --diff-id {diff-id} {in} | env GOMAXPROCS=%[1]d tree2erofs", n),
		})
	}
	return r
}
