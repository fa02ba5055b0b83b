package read_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"ocipipe/lib/erofs"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// target is a compressed file of an image that is to be damaged.
type target struct {
	b        []byte // the image
	bs       int64
	head     z.Header
	at, size int64 // of the header and the index
	clusters []z.Extent
	r        *rand.Rand
}

func newTarget(t *testing.T, b []byte, path string, seed int64) *target {
	t.Helper()
	img := open(t, b)
	e, err := img.Lookup(path)
	if err != nil {
		t.Fatal(err)
	}
	c := e.Content.(*read.Content)
	head, ok := c.Header()
	if !ok {
		t.Fatalf("%s is not compressed", path)
	}
	g := &target{b: bytes.Clone(b), bs: int64(img.BlockSize()), head: head, r: rand.New(rand.NewSource(seed))}
	g.at, g.size, _ = c.IndexPlace()
	for x, err := range c.Clusters() {
		if err != nil {
			t.Fatal(err)
		}
		g.clusters = append(g.clusters, x)
	}
	return g
}

// cluster chooses a cluster, preferably a compressed one.
func (g *target) cluster() z.Extent {
	x := g.clusters[g.r.Intn(len(g.clusters))]
	if i := slices.IndexFunc(g.clusters, func(x z.Extent) bool { return x.Algorithm != z.Raw }); x.Algorithm == z.Raw && i >= 0 {
		return g.clusters[i]
	}
	return x
}

// record chooses a record of encoded extents, and the length of each.
func (g *target) record() (b []byte, size int64) {
	size = g.head.Advise.RecordSize()
	end := g.at + g.size
	return g.b[end-size*int64(1+g.r.Intn(len(g.clusters))):], size
}

// entry changes an entry of a compact index by fn, which gets its kind and the rest. The entries
// in packs of 32 bytes have 14 bits.
func (g *target) entry(fn func(kind, low uint32) (uint32, uint32)) {
	at := g.at + z.HeaderSize
	small := min((32-at%32)%32, g.size-z.HeaderSize) // bytes of the packs before the large ones
	rest := g.size - z.HeaderSize - small
	pack, width := g.b[at+8*g.r.Int63n(max(small/8, 1)):], 16
	if large := rest / 32; large > 0 && g.r.Intn(3) > 0 {
		pack, width = g.b[at+small+32*g.r.Int63n(large):], 14
	}
	n := 2
	if width == 14 {
		n = 16
	}
	bit := width * g.r.Intn(n)
	word := binary.LittleEndian.Uint32(pack[bit/8:])
	mask := uint32(1<<width-1) << (bit % 8)
	v := word & mask >> (bit % 8)
	kind, low := fn(v>>12, v&0xfff)
	v = kind&3<<12 | low&0xfff
	binary.LittleEndian.PutUint32(pack[bit/8:], word&^mask|v<<(bit%8)&mask)
}

// word changes the first word of a record, which says how a cluster is stored.
func (g *target) word(fn func(v uint32) uint32) {
	b, _ := g.record()
	binary.LittleEndian.PutUint32(b, fn(binary.LittleEndian.Uint32(b)))
}

// Damages of what is stored, and of how a compact index and encoded extents list it. None of
// them changes where an extent begins in a list of records: Linux 6.18 does not come back from
// some of those.
var (
	storedDamages = map[string]func(g *target){
		"cut": func(g *target) {
			x := g.cluster()
			n := []int64{1, 8, g.bs / 2, g.bs, x.Size / 2}[g.r.Intn(5)]
			clear(g.b[x.Pos+max(x.Size-n, 0) : x.Pos+x.Size])
		},
		"begin": func(g *target) {
			x := g.cluster()
			first := x.Pos
			for g.b[first] == 0 {
				first++
			}
			g.b[first+g.r.Int63n(4)] ^= 1 << g.r.Intn(8)
		},
		"byte": func(g *target) {
			x := g.cluster()
			g.b[x.Pos+g.r.Int63n(x.Size)] = byte(g.r.Int())
		},
		"exchange": func(g *target) {
			x := g.cluster()
			half := x.Size / 2
			p := g.b[x.Pos:][:2*half]
			copy(p, append(bytes.Clone(p[half:]), p[:half]...))
		},
	}
	compactDamages = map[string]func(g *target){
		"offset one more": func(g *target) { g.entry(func(kind, low uint32) (uint32, uint32) { return kind, low + 1 }) },
		"offset one less": func(g *target) { g.entry(func(kind, low uint32) (uint32, uint32) { return kind, low - 1 }) },
		"kind": func(g *target) {
			g.entry(func(kind, low uint32) (uint32, uint32) { return kind + 1 + uint32(g.r.Intn(3)), low })
		},
		"any entry": func(g *target) {
			g.entry(func(kind, low uint32) (uint32, uint32) { return g.r.Uint32(), g.r.Uint32() })
		},
		"address": func(g *target) { // of the last pack, which is a small one
			p := g.b[g.at+g.size-4:]
			binary.LittleEndian.PutUint32(p, binary.LittleEndian.Uint32(p)+uint32(g.r.Intn(3))-1)
		},
		"algorithm": func(g *target) { g.b[g.at+6] ^= 1 << g.r.Intn(3) },
		"advise":    func(g *target) { g.b[g.at+4] ^= 1 << g.r.Intn(6) },
	}
	encodedDamages = map[string]func(g *target){
		"size one more":          func(g *target) { g.word(func(v uint32) uint32 { return v + 1 }) },
		"size one less":          func(g *target) { g.word(func(v uint32) uint32 { return v - 1 }) },
		"partial":                func(g *target) { g.word(func(v uint32) uint32 { return v ^ 1<<27 }) },
		"algorithm":              func(g *target) { g.word(func(v uint32) uint32 { return v ^ 1<<(28+g.r.Intn(4)) }) },
		"any size":               func(g *target) { g.word(func(v uint32) uint32 { return v ^ 1<<g.r.Intn(21) }) },
		"no size":                func(g *target) { g.word(func(v uint32) uint32 { return v &^ (1<<21 - 1) }) },
		"partial, size one less": func(g *target) { g.word(func(v uint32) uint32 { return (v | 1<<27) - 1 }) },
		"address": func(g *target) {
			b, size := g.record()
			if size == 4 { // one address for all of them, before the first
				b = g.b[g.at+g.size-size*int64(len(g.clusters))-8:]
			} else {
				b = b[4:]
			}
			b[g.r.Intn(2)] ^= 1 << g.r.Intn(8)
		},
	}
)

// numbers is n bytes that compress to about half.
func numbers(n int) data {
	r := rand.New(rand.NewSource(3))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.Uint32()>>r.Intn(28)&^0xff00)
	}
	return b.Bytes()[:n]
}

// What we write ourselves, damaged in one way after the other: as TestInteropDamage.
func TestInteropDamageOfOurs(t *testing.T) {
	reftest.NeedRoot(t)
	count := damageCount(t)
	text := numbers(300 << 10)
	es := []tree.Entry{dir("."), file("other", text[100000:]), file("text", text), file("mixed", slices.Concat(text[:90000], pattern(3, 50000), text[:7001]))}
	var all judgement
	for _, m := range []erofs.Method{{Algorithm: z.LZ4}, {Algorithm: z.LZ4, Level: 9}, {Algorithm: z.Zstd}, {Algorithm: z.Deflate}} {
		for _, c := range []erofs.Compression{{PCluster: 4096}, {PCluster: 64 << 10}, {PCluster: 4096, Encoded: true}, {PCluster: 64 << 10, Encoded: true}} {
			c.Method = m
			b := build(t, erofs.Options{Compression: &c, BlockSize: 4096}, es...)
			dropChecksum(b)
			kinds := []map[string]func(g *target){storedDamages, compactDamages}
			if c.Encoded {
				kinds[1] = encodedDamages
			}
			for i := range count {
				damages := kinds[i%2]
				names := slices.Sorted(maps.Keys(damages))
				seed := int64(i) + c.PCluster + int64(m.Level)
				r := rand.New(rand.NewSource(seed))
				name, path := names[r.Intn(len(names))], []string{"text", "mixed"}[r.Intn(2)]
				t.Run(fmt.Sprintf("%s-%d, %d, encoded=%v: %d: %s of %s", m.Algorithm, m.Level, c.PCluster, c.Encoded, i, name, path), func(t *testing.T) {
					g := newTarget(t, b, path, seed)
					damages[name](g)
					all.judge(t, g.b, "text", "mixed", "other")
				})
			}
		}
	}
	all.needAll(t)
}

// A stream of LZ4 of which only the beginning is wanted may end early, but not right behind the
// length of a match that completes what is wanted.
func TestInteropPartialLZ4(t *testing.T) {
	reftest.NeedRoot(t)
	es := []tree.Entry{dir("."), file("x", bytes.Repeat([]byte("abcd"), 2048))}
	b := build(t, erofs.Options{Compression: &erofs.Compression{Method: erofs.Method{Algorithm: z.LZ4}, Encoded: true}, BlockSize: 4096}, es...)
	dropChecksum(b)
	var all judgement
	for cut := range uint32(10) {
		g := newTarget(t, b, "x", 1)
		g.word(func(v uint32) uint32 { return (v - cut) | 1<<27 })
		inode := g.b[find(t, b, "x").Off:]
		binary.LittleEndian.PutUint32(inode[8:], 8192-5) // the match ends there
		t.Run(fmt.Sprint(cut, " bytes less"), func(t *testing.T) { all.judge(t, g.b, "x") })
	}
	all.needAll(t)
}

// randomBlock is a block of LZ4 of size bytes that holds about n, or something like one.
func randomBlock(r *rand.Rand, size, n int) []byte {
	var b []byte
	more := func(v int) {
		if v >= 15 {
			b = append(b, byte(v-15))
		}
	}
	for done := 0; len(b) < size-1; {
		literals, match := r.Intn(4), r.Intn(6)
		if r.Intn(4) == 0 {
			literals = r.Intn(20)
		}
		if r.Intn(4) == 0 {
			match = r.Intn(40)
		}
		room := size - len(b) - 1
		last := literals >= room-3 || done+literals >= n-12 && r.Intn(2) == 0
		if last {
			literals = room
			if literals >= 15 {
				literals--
			}
			match = r.Intn(2) * r.Intn(16)
		}
		b = append(b, byte(min(literals, 15)<<4|min(match, 15)))
		more(literals)
		for range literals {
			b = append(b, byte('a'+r.Intn(26)))
		}
		if done += literals; last {
			break
		}
		b = append(b, byte(1+r.Intn(max(done, 1))), 0)
		more(match)
		done += match + 4
	}
	b = append(b, make([]byte, size)...)[:size]
	if r.Intn(3) == 0 {
		b[r.Intn(size)] ^= 1 << r.Intn(8)
	}
	if b[0] == 0 {
		b[0] = 0x10
	}
	return b
}

// Blocks of LZ4 near what Linux decodes, of all of which or of whose beginning a file consists.
func TestInteropBlocks(t *testing.T) {
	reftest.NeedRoot(t)
	const files = 400
	r := rand.New(rand.NewSource(11))
	es := []tree.Entry{dir(".")}
	var paths []string
	for i := range files {
		paths = append(paths, fmt.Sprint(i))
		es = append(es, file(paths[i], bytes.Repeat([]byte(fmt.Sprintf("%04d", i)), 2048)))
	}
	b := build(t, erofs.Options{Compression: &erofs.Compression{Method: erofs.Method{Algorithm: z.LZ4}, Encoded: true}, BlockSize: 4096}, es...)
	dropChecksum(b)
	for range max(1, damageCount(t)/4) {
		var all judgement
		img := bytes.Clone(b)
		for _, path := range paths {
			g := newTarget(t, b, path, 1)
			g.b = img
			x := g.clusters[0]
			size := 3 + r.Intn(int(x.Size)-3)
			n := size + r.Intn(60)
			copy(img[x.Pos:], randomBlock(r, size, n))
			partial := uint32(r.Intn(2)) << 27
			g.word(func(v uint32) uint32 { return v&^(1<<21-1) | uint32(size) | partial })
			if r.Intn(3) > 0 { // the length that makes it valid, if there is one
				n = lz4Length(img[x.Pos:][:size]) - r.Intn(2)*int(partial>>27)*r.Intn(8)
			}
			binary.LittleEndian.PutUint32(img[find(t, b, path).Off+8:], uint32(max(n, 1)))
		}
		all.judge(t, img, paths...)
		all.needAll(t)
	}
}

// lz4Length is how many bytes a block seems to hold.
func lz4Length(b []byte) (n int) {
	length := func(v int) int {
		for more := v == 15; more && len(b) > 0; b = b[1:] {
			v, more = v+int(b[0]), b[0] == 255
		}
		return v
	}
	for len(b) > 0 {
		token := int(b[0])
		b = b[1:]
		literals := length(token >> 4)
		n += literals
		if b = b[min(literals, len(b)):]; len(b) < 2 {
			return n
		}
		b = b[2:]
		n += length(token&15) + 4
	}
	return n
}
