package main

import (
	"fmt"
	"strings"
)

// inOneProcess names the contender whose ratios stand in a second column.
const inOneProcess = "ours, in one process"

// materializeRows are about the files that a runtime keeps for an image.
func materializeRows(mkfs string) []row {
	return []row{
		disk("disk", "archive of three gzip layers, of umoci's default level, to layer images, fsmeta and VMDK", "stack/oci", ""),
		disk("disk-npm", "the same of one layer of small npm files", "npm/oci", ""),
		disk("disk-core", "the three layers on one processor", "stack/oci", "taskset -c 0 "),
		disk("disk-npm-core", "the npm files on one processor", "npm/oci", "taskset -c 0 "),
		layers(mkfs, "layers-1", "157 MB in one gzip layer, of umoci's default level, from a layout to layer images and fsmeta", "split1/oci"),
		layers(mkfs, "layers-3", "the same in 3 layers", "split3/oci"),
		layers(mkfs, "layers-20", "the same in 20 layers", "split20/oci"),
		layers(mkfs, "layers-100", "the same in 100 layers", "split100/oci"),
		pulled("pull-3", "the 3 layers, from docker-registry on this machine", "split3/oci", mkfs),
		pulled("pull-20", "the 20 layers, from docker-registry on this machine", "split20/oci", mkfs),
		hit("hit-3", "the 3 layers, when all of it is there", "split3/oci"),
		hit("hit-40", "40 layers, when all of it is there", "split40/oci"),
		flat("flat", "Debian image of three layers to one root in ext4, when its layers are converted", "debian/oci"),
	}
}

// eachLayer makes the disk of an archive, with a pipeline for each layer.
const eachLayer = `mkdir -p $2; cd $2
	layer() { oci-fetch oci-archive:$1 --layer $2 | tar2tree --input layer --diff-id $3 | tree2erofs --layer -o $2.erofs; }
	ids=$(oci-fetch oci-archive:$1 --config | jq -r .rootfs.diff_ids[]); n=0
	for id in $ids; do layer $1 $n $id & n=$((n + 1)); done
	while [ $n -gt 0 ]; do wait -n; n=$((n - 1)); done
	tree2erofs --fsmeta [0-9]*.erofs -o fsmeta.erofs
	wrap-vmdk fsmeta.erofs [0-9]*.erofs -o disk.vmdk
`

// mkfsEach converts the layers of what skopeo can read, with mkfs.erofs for each, four at a
// time, which makes the most of two processors here. The names sort as the layers lie.
const mkfsEach = `mkdir -p $2; cd $2; skopeo copy --insecure-policy --quiet --src-tls-verify=false $1 dir:blobs
	jq -r '.layers[].digest' blobs/manifest.json | sed s/^sha256:// | nl -n rz -w 3 |
	xargs -P 4 -L 1 sh -c 'exec %[1]s --quiet --tar=f --ungzip --aufs --sort=none -E^inline_data $0.erofs blobs/$1'
	%[1]s --quiet fsmeta.erofs [0-9]*.erofs
`

const (
	// sedSeconds leaves out what msb drops, fractions of seconds and the attributes of the
	// root, and counts of links, which other writers do not know across layers.
	sedSeconds = `sed -e "s/ nlink=[0-9]*//" -e "s/\(time=[-0-9]*\)\.[0-9]*/\1/" -e "/^#/d" -e "/^\. /d"`

	// listDisk lists the tree of a descriptor's extents.
	listDisk = `cd $(dirname $(find {out} -name '*.vmdk')); set -- $(sed -n 's/^RW .* FLAT "\([^"]*\)".*/\1/p' *.vmdk)
	f=$1; shift; erofs2tree --no-data --digest $f $(printf -- '--device %s ' "$@") | ` + sedSeconds
	listScript = `cd {out}; erofs2tree --no-data --digest fsmeta.erofs $(printf -- '--device %s ' [0-9]*.erofs) | ` + sedSeconds
	listUmoci  = listRoot + "/rootfs --format=posix --xattrs --xattrs-include='*' --numeric-owner -c . | tar2tree --sort --no-data --digest | " + sedSeconds
)

// noCapability leaves out what the ext4 images of msb 0.7.2 do not have.
const noCapability = ` | sed "s/ xattr.security.capability=[^ ]*//"`

// script returns shell lines that write a program of bash to {work}/NAME.
func script(name, text string) string {
	return "cat > {work}/" + name + " <<'end'\nset -euo pipefail\n" + text + "\nend\n"
}

// disk returns a row about an archive, whose contenders start with the words prefix.
func disk(name, work, input, prefix string) row {
	r := row{
		name: name, work: work, input: input, list: listDisk,
		prepare: "oci-fetch oci:{in}:image -o {work}/image.tar\n" + script("ours", eachLayer) +
			script("msb", "mkdir -p $2; MSB_HOME=$2 exec msb load --quiet --input $1 --tag image:latest"),
		contenders: []contender{
			{name: "ours", line: prefix + "bash {work}/ours {work}/image.tar {out}"},
			{name: inOneProcess, line: prefix + "oci-materialize --cache {out} oci-archive:{work}/image.tar"},
			{name: "msb load", line: prefix + "bash {work}/msb {work}/image.tar {out}", missing: needs("msb")},
		},
	}
	if prefix != "" {
		r.missing = needs(strings.Fields(prefix)[0])
	}
	return r
}

// layers returns a row about the layers of a layout.
func layers(mkfs, name, work, input string) row {
	return row{
		name: name, work: work, input: input, list: listDisk,
		prepare: script("mkfs", fmt.Sprintf(mkfsEach, mkfs)),
		contenders: []contender{
			{name: "ours", line: "oci-materialize --cache {out} oci:{in}:image"},
			{name: "skopeo, mkfs.erofs each", line: "bash {work}/mkfs oci:{in}:image {out}", list: listScript, missing: scriptMissing(mkfs)},
			{name: "umoci unpack", line: "umoci unpack --image {in}:image {out}", list: listUmoci, missing: needs("umoci")},
		},
	}
}

// pulled returns a row about an image in a registry.
func pulled(name, work, input, mkfs string) row {
	return row{
		name: name, work: work, input: input, list: listDisk, missing: dockerRegistryMissing, serve: dockerRegistry,
		prepare: "ln -s {in} {work}/layout\n" + script("mkfs", fmt.Sprintf(mkfsEach, mkfs)) +
			script("msb", "mkdir -p $2; MSB_HOME=$2 exec msb pull --quiet --insecure $1"),
		contenders: []contender{
			{name: "ours", line: "oci-materialize --cache {out} {host}/r:v1"},
			{name: "skopeo, mkfs.erofs each", line: "bash {work}/mkfs docker://{host}/r:v1 {out}", list: listScript, missing: scriptMissing(mkfs)},
			{name: "msb pull", line: "bash {work}/msb {host}/r:v1 {out}", missing: needs("msb")},
		},
	}
}

// hit returns a row about an image that is in the cache. The run that warms up puts it there.
func hit(name, work, input string) row {
	listCache := func(dir string) string { return strings.ReplaceAll(listDisk, "{out}", dir) }
	return row{
		name: name, work: work, input: input, list: listCache("{work}/cache"), missing: dockerRegistryMissing, serve: dockerRegistry,
		prepare: "ln -s {in} {work}/layout\n" + script("msb", "mkdir -p $2; MSB_HOME=$2 exec msb pull --quiet --insecure $1"),
		contenders: []contender{
			{name: "ours", line: "oci-materialize --cache {work}/cache {host}/r:v1"},
			{name: "msb pull", line: "bash {work}/msb {host}/r:v1 {work}/msb.cache", list: listCache("{work}/msb.cache"), missing: needs("msb")},
		},
	}
}

// flat returns a row about one ext4 image, made anew from converted layers.
func flat(name, work, input string) row {
	return row{
		name: name, work: work, input: input, list: listMounted + " | " + sedSeconds + noCapability, sparse: true,
		missing: func() string {
			if why := dockerRegistryMissing(); why != "" {
				return why
			}
			return notRoot()
		},
		serve: dockerRegistry,
		prepare: "ln -s {in} {work}/layout\n" +
			script("ours", "rm -rf {work}/cache/rootfs; ln $(oci-materialize --cache {work}/cache --target flat --format ext4 --print flat $1) $2") +
			script("msb", "export MSB_HOME={work}/msb.cache; mkdir -p $MSB_HOME; rm -rf $MSB_HOME/cache/flat\n"+
				"msb pull --quiet --insecure --materialize flat $1; ln $MSB_HOME/cache/flat/blobs/*.raw $2"),
		contenders: []contender{
			{name: "ours", line: "bash {work}/ours {host}/r:v1 {out}"},
			{name: "ours, by a pipeline", line: "tar2tree {in} | tree2ext4"},
			{name: "msb pull", line: "bash {work}/msb {host}/r:v1 {out}", missing: needs("msb")},
		},
	}
}

// isOurs reports whether a contender is one of our tools.
func isOurs(name string) bool { return strings.HasPrefix(name, "ours") }

func scriptMissing(mkfs string) func() string {
	return func() string {
		if why := needs("skopeo")(); why != "" {
			return "skopeo: " + why
		}
		return tarMissing(mkfs)
	}
}
