package layer_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// facts are what src yields, as reftest finds them on disk.
func facts(t testing.TB, src tree.Source) (list []reftest.Fact) {
	t.Helper()
	byPath := map[string]reftest.Fact{}
	for {
		e, err := src.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		f := reftest.Fact{
			Path: e.Path, Type: e.Type.String(), Mode: reftest.Octal(e.Mode), UID: e.UID, GID: e.GID,
			Time: fmt.Sprintf("%d.%09d", e.Time.Sec, e.Time.Nsec), Size: e.Size, Link: e.Link, SameAs: e.Path,
		}
		for _, x := range e.Xattrs {
			if f.Xattrs == nil {
				f.Xattrs = reftest.Xattrs{}
			}
			f.Xattrs[x.Name] = x.Value
		}
		switch e.Type {
		case tree.Link:
			f.Size = int64(len(e.Link))
		case tree.Char, tree.Block:
			f.Dev = fmt.Sprintf("%d:%d", e.Dev.Major, e.Dev.Minor)
		case tree.File:
			h := sha256.New()
			if e.Hardlink == "" {
				if err := tree.WriteExpanded(h, e); err != nil {
					t.Fatal(err)
				}
			}
			f.Sum, f.Extents = fmt.Sprintf("%x", h.Sum(nil)), extentsText(e)
		}
		if e.Type != tree.Dir {
			f.Nlink = uint64(e.Nlink)
		}
		if e.Hardlink != "" {
			first := byPath[e.Hardlink]
			f.SameAs, f.Sum, f.Extents = e.Hardlink, first.Sum, first.Extents
		}
		byPath[e.Path] = f
		list = append(list, f)
	}
}

// extentsText are the extents of e as reftest prints them.
func extentsText(e *tree.Entry) string {
	xs := e.Extents
	if xs == nil && e.Size > 0 {
		xs = []tree.Extent{{Len: e.Size}}
	}
	var list []string
	for _, x := range xs {
		list = append(list, fmt.Sprintf("%d+%d", x.Off, x.Len))
	}
	return cmp.Or(strings.Join(list, ","), "-")
}

// unpacker puts layers, from bottom to top, into a directory that does not exist.
type unpacker func(t testing.TB, dir string, tars [][]byte) error

// unpackers are those whose result ours must equal.
func unpackers(t *testing.T) map[string]unpacker {
	t.Helper()
	reftest.NeedRoot(t)
	reftest.Need(t, "umoci")
	bin := filepath.Join(t.TempDir(), "containerd-apply")
	build := reftest.Command(t, "go", "build", "-o", bin, ".")
	build.Dir = "testdata/containerd"
	if out, err := build.CombinedOutput(); err != nil {
		reftest.Skip(t, "containerd's unpacker does not build: %v\n%s", err, out)
	}
	return map[string]unpacker{
		"containerd": func(t testing.TB, dir string, tars [][]byte) error { return containerdUnpack(t, bin, dir, tars) },
		"umoci":      umociUnpack,
	}
}

func containerdUnpack(t testing.TB, bin, dir string, tars [][]byte) error {
	args := []string{dir}
	for i, data := range tars {
		name := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := reftest.Command(t, bin, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func umociUnpack(t testing.TB, dir string, tars [][]byte) error {
	layout := writeLayout(t, tars)
	_, err := reftest.Try(t, "umoci", "raw", "unpack", "--image", layout+":latest", dir)
	return err
}

// writeLayout makes an OCI image layout of uncompressed layers.
func writeLayout(t testing.TB, tars [][]byte) string {
	dir := t.TempDir()
	write := func(name string, data []byte) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	type object = map[string]any
	blob := func(mediaType string, data []byte) object {
		d := digest.FromBytes(data)
		write("blobs/sha256/"+d.Encoded(), data)
		return object{"mediaType": "application/vnd.oci.image." + mediaType, "digest": d, "size": len(data)}
	}
	marshal := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var layers []object
	var ids []digest.Digest
	for _, data := range tars {
		layers = append(layers, blob("layer.v1.tar", data))
		ids = append(ids, digest.FromBytes(data))
	}
	config := blob("config.v1+json", marshal(object{
		"architecture": "amd64", "os": "linux", "rootfs": object{"type": "layers", "diff_ids": ids},
	}))
	manifest := blob("manifest.v1+json", marshal(object{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": layers,
	}))
	manifest["annotations"] = object{"org.opencontainers.image.ref.name": "latest"}
	write("index.json", marshal(object{"schemaVersion": 2, "manifests": []object{manifest}}))
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return dir
}

// mergedFacts are what our merge of the tars holds.
func mergedFacts(t testing.TB, tars [][]byte) ([]reftest.Fact, error) {
	t.Helper()
	var in []layer.Input
	for i, data := range tars {
		in = append(in, input(fmt.Sprintf("layer %d", i), data, layer.Options{}))
	}
	merged, err := layer.Merge(context.Background(), in, layer.LoadOptions{SpoolDir: t.TempDir()})
	if err != nil {
		return nil, err
	}
	src := merged.Source(tree.Flat)
	defer src.Close()
	return facts(t, src), nil
}

// forgetNow takes from both lists the times of directories that an unpacker leaves
// as they happen to be: those that no entry states, or in which something
// changed later. Everything that an item states lies in January 1970.
func forgetNow(want, got []reftest.Fact) {
	byPath := map[string]*reftest.Fact{}
	for i := range want {
		byPath[want[i].Path] = &want[i]
	}
	for i := range got {
		w := byPath[got[i].Path]
		if w != nil && got[i].Type == "dir" && len(got[i].Time) > len("1000000000.") {
			w.Time, got[i].Time = "", ""
		}
	}
}

// compareUnpacked returns how what is unpacked differs from our merge.
func compareUnpacked(t testing.TB, tars [][]byte, unpack unpacker) []string {
	t.Helper()
	want, err := mergedFacts(t, tars)
	dir := filepath.Join(t.TempDir(), "root")
	unpackErr := unpack(t, dir, tars)
	if (err != nil) != (unpackErr != nil) {
		return []string{fmt.Sprintf("error %v, ours is %v", unpackErr, err)}
	}
	if err != nil {
		return nil
	}
	got := reftest.Walk(t, dir, reftest.Look{})
	forgetNow(want, got)
	return reftest.Diff(want, got, "Extents")
}

func tars(t testing.TB, layers [][]item) (list [][]byte) {
	for _, l := range layers {
		list = append(list, tarOf(t, l))
	}
	return list
}

// peersDiffer are the cases that unpackers do not treat as we do, and why. They
// apply entries one by one, in the order of the tar, to what lies on the disk.
var peersDiffer = map[string]string{
	// Both refuse these, or ignore what is asked for.
	"P3 target that the layer deletes itself":                           "the target is gone already; design: whiteouts act on the layers below wherever they stand",
	"P7 forward link":                                                   "not waited for",
	"P7 forward link to a link":                                         "not waited for",
	"P7 forward link replaced":                                          "not waited for",
	"P7 forward link, a directory first":                                "not waited for",
	"P7 forward link of a symlink":                                      "not waited for",
	"P7 forward link to a forward link, replaced before it comes":       "not waited for",
	"P7 forward link to a forward link, the second below":               "not waited for",
	"P7 forward link to a link to a lower file":                         "not waited for",
	"P7 forward link whose target is replaced and replaced":             "not waited for",
	"P7 forward link with what it replaced":                             "not waited for",
	"P7 forward link, a file where the lower directory was":             "not waited for",
	"P7 forward link, directory of the target deleted first":            "not waited for",
	"P7 forward link, directory of the target opaque":                   "not waited for",
	"P7 forward link, target deleted first":                             "not waited for",
	"P7 forward links of two targets to one file":                       "not waited for",
	"P7 links to a forward link on both sides":                          "not waited for",
	"P7 two layers of forward links":                                    "not waited for",
	"waiting link over a directory, replaced":                           "not waited for",
	"link to itself":                                                    "the name is removed before it is linked",
	"link below its own target":                                         "a file is not made a directory",
	"P22 file becomes a directory":                                      "a file is not made a directory; docker's graph drivers did",
	"P22 over a lower file":                                             "a file is not made a directory",
	"P22 over a lower file, through an own symlink":                     "a file is not made a directory",
	"a file in a directory that a symlink leads to becomes a directory": "a file is not made a directory",
	"P9 opaque over a file":                                             "containerd: a file is not made a directory; umoci: nothing happens",
	"whiteout through a loop":                                           "too many links; there is nothing to hide",
	// In both the result depends on the order in the tar.
	"P13 opaque first":                       "the mark goes through the lower symlink that the next entry replaces (stereoscope#694)",
	"P18 directory entry last":               "the file goes through the lower symlink that the next entry replaces",
	"P11 deleted above an implied directory": "containerd: what the layer made is deleted; umoci: the lower directory inside shows again",
	// containerd alone.
	"P11 deleted last": "containerd: deletes what the layer made",
	"P11 file deleted and made in one layer, whiteout last": "containerd: deletes what the layer made",
	"whiteout through a symlink spares the layer's own":     "containerd: deletes what the layer made",
	"P12 opaque root": "containerd: attributes of the root are ignored",
	"P14 whiteout below what becomes a symlink": "containerd: attributes of the root are ignored",
	"P24 root entry":                           "containerd: attributes of the root are ignored",
	"P24 root entry above":                     "containerd: attributes of the root are ignored",
	"P27 names of the root and below":          "containerd: attributes of the root are ignored",
	"P24 root is a file":                       "containerd: the root is ignored",
	"P14 the other order":                      "containerd: makes the parent of a whiteout",
	"P14 whiteout in a deleted directory":      "containerd: makes the parent of a whiteout",
	"P14 whiteout of nothing":                  "containerd: makes the parent of a whiteout",
	"P14 whiteout below a file":                "containerd: makes the parent of a whiteout",
	"whiteout below a symlink to a file":       "containerd: makes the parent of a whiteout",
	"whiteout below a lower symlink to a file": "containerd: makes the parent of a whiteout",
	"whiteout through a deleted symlink":       "containerd: makes the parent of a whiteout",
	// umoci 0.4 alone.
	"P9 opaque of nothing": "umoci: the directory is not made",
}

func TestInteropPeerCases(t *testing.T) {
	for peer, unpack := range unpackers(t) {
		for _, c := range cases {
			aufs := strings.HasPrefix(c.name, "aufs") // they know other names, and show what is below them
			if aufs || peersDiffer[c.name] != "" {
				continue
			}
			t.Run(peer+"/"+c.name, func(t *testing.T) {
				layers := repeatAttributes(parseStack(c.stack))
				if lines := compareUnpacked(t, tars(t, layers), unpack); len(lines) > 0 {
					t.Errorf("%s\n%s", c.stack, strings.Join(lines, "\n"))
				}
			})
		}
	}
}

// TestInteropPeersRandom compares random stacks of layers as builders write them.
func TestInteropPeersRandom(t *testing.T) {
	unpackers := unpackers(t)
	compared := 0
	for seed := uint64(0); compared < soak(60); seed++ {
		layers := wellFormed((&generator{Rand: rand.New(rand.NewPCG(seed, 2))}).layers())
		if m, err := model(layers); err != nil || len(m) < 4 {
			continue
		}
		compared++
		for peer, unpack := range unpackers {
			differ := func(layers [][]item) []string {
				return compareUnpacked(t, tars(t, repeatAttributes(layers)), unpack)
			}
			if len(differ(layers)) == 0 {
				continue
			}
			layers = minimise(layers, func(l [][]item) bool { _, err := model(l); return err == nil && len(differ(l)) > 0 })
			t.Errorf("seed %d, %s:\n%s%s", seed, peer, printStack(layers), strings.Join(differ(layers), "\n"))
		}
	}
}

// TestInteropPeersLinks compares how hard links bind in every order of few entries
// over a layer, as far as unpackers take them: targets that are there in time.
func TestInteropPeersLinks(t *testing.T) {
	unpackers := unpackers(t)
	lower := parseStack("file b; file c; sym d -> b")[0]
	entries := parseStack("file b; hard a -> b; hard b -> c; hard c -> a; hard e -> d; sym d -> c; .wh.b")[0]
	compared := 0
	for _, upper := range sequencesOf(entries, 3) {
		for i := range upper {
			upper[i].id = 10 + i
		}
		layers := [][]item{lower, upper}
		if len(upper) < 3 || !inTime(layers) {
			continue
		}
		compared++
		for peer, unpack := range unpackers {
			if lines := compareUnpacked(t, tars(t, repeatAttributes(layers)), unpack); len(lines) > 0 {
				t.Errorf("%s:\n%s%s", peer, printStack(layers), strings.Join(lines, "\n"))
			}
		}
	}
	t.Logf("%d stacks", compared)
}

// inTime reports whether every link of the upper layer has its target when it comes,
// and no whiteout comes after the layer's own entry of the name.
func inTime(layers [][]item) bool {
	present, made := map[string]bool{}, map[string]bool{}
	for _, it := range layers[0] {
		present[it.name] = true
	}
	for _, it := range layers[1] {
		hidden, isMark := strings.CutPrefix(it.name, ".wh.")
		switch {
		case isMark && made[hidden], it.kind == '1' && !present[it.link]:
			return false
		case isMark:
			present[hidden] = false
		default:
			present[it.name], made[it.name] = true, true
		}
	}
	return true
}

// wellFormed leaves out of a stack what unpackers disagree about (see peersDiffer),
// and puts the entries of each layer in an order in which they agree: whiteouts,
// parents before children, links last.
func wellFormed(layers [][]item) (out [][]item) {
	for _, l := range layers {
		class := func(it item) int {
			switch {
			case strings.Contains(it.name, ".wh."):
				return 0
			case it.kind != '1':
				return 1
			}
			return 2
		}
		slices.SortStableFunc(l, func(a, b item) int {
			return cmp.Or(cmp.Compare(class(a), class(b)),
				slices.Compare(strings.Split(clean(a.name), "/"), strings.Split(clean(b.name), "/")))
		})
		l = slices.CompactFunc(l, func(a, b item) bool { return clean(a.name) == clean(b.name) })
		out = append(out, nil)
		seen := map[string]bool{} // no place twice, be it by way of a symbolic link
		for _, it := range l {
			below, err := model(out)
			if err == nil && agreed(below, it, seen) {
				out[len(out)-1] = append(out[len(out)-1], it)
			}
		}
	}
	return out
}

func clean(name string) string { return path.Clean("/" + name)[1:] }

// agreed reports whether unpackers agree what the entry does to the tree below,
// which has what came before it in its layer.
func agreed(below map[string]*inode, it item, seen map[string]bool) bool {
	name := clean(it.name)
	dir, err := follow(below, path.Dir(name))
	at := path.Join(dir, path.Base(name))
	if err != nil || name == "" || seen[at] {
		return false
	}
	seen[at] = true
	for d := dir; d != "."; d = path.Dir(d) {
		if n := below[d]; n != nil && n.typ != tree.Dir {
			return false
		}
	}
	if strings.Contains(name, ".wh.") {
		return dir == path.Dir(name) && below[dir] != nil
	}
	if it.kind == '1' {
		targetDir, err := follow(below, path.Dir(clean(it.link)))
		target := path.Join(targetDir, path.Base(it.link))
		ok := err == nil && below[target] != nil && below[target].typ != tree.Dir && target != at
		return ok && (below[at] == nil || below[at].typ != tree.Dir)
	}
	return true
}

// repeatAttributes gives hard links the attributes of their targets, as builders
// do: containerd applies those of a link.
func repeatAttributes(layers [][]item) (out [][]item) {
	for _, l := range layers {
		out = append(out, nil)
		last := len(out) - 1
		for _, it := range l {
			if below, err := model(out); err == nil && it.kind == '1' {
				dir, err := follow(below, path.Dir(clean(it.link)))
				if n := below[path.Join(dir, path.Base(it.link))]; err == nil && n != nil {
					it.id = n.id
				}
			}
			out[last] = append(out[last], it)
		}
	}
	return out
}
