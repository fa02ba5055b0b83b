package integrity

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ocipipe/lib/snapshot/fault"
)

// chunk is a piece of a sparse content.
type chunk struct {
	off  int64
	data []byte
}

func cycle(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// vectors were computed with two other implementations of BLAKE3, and are accepted by
// msb 0.6.14.
var vectors = []struct {
	name   string
	size   int64
	data   []chunk
	root   string
	sparse string
}{
	{"empty", 0, nil,
		"1f44fec2aa3a7a1725f0f626b0599c99526f5a1e7f2817cd50b695597bce05fa", "56ffc9cabb52975b3fa212d61cc53f5fa3b4ff87de8bd70b4ed4c156701e3931"},
	{"hello", 5, []chunk{{0, []byte("hello")}},
		"733a84a145df6c2139c33096e7584c1d8f42b0b981ec7e847b1bf6db73bec941", "44f06831b5c16ea21c5207717ab31b9ad2044bd04b906ecf95ebdbc371d38530"},
	{"a leaf of zeros", 65536, []chunk{{0, make([]byte, 65536)}},
		"1f023cb2d1eaa0a84c0c7406a94c4098191a9fe35554346bea3c527f103982df", "ecf96198f77a2a6915b13cdae4a31b1b6595aaf165c468f4dbbde948fdeb5134"},
	{"a leaf and a byte", 65537, []chunk{{0, bytes.Repeat([]byte("a"), 65537)}},
		"885b29dc98499d5944414e2efffc378e68b1415e69399321df3dfeeb39ee1783", "ad0c0defb4d3ca666c435aa4b88c1461bcad65ecfbb17e2621ec3909dad751ea"},
	{"three leaves", 196608, []chunk{{65536, bytes.Repeat([]byte{1}, 65536)}, {131072, bytes.Repeat([]byte{2}, 65536)}},
		"4bcaf55eb3c0e8a334c6eb2ee9fc3c66c4607f6b7ec63f61c7a88ee6ac70b022", "e69811aaaabdc29de23dfed7a9d874491a34ad0e702a4fdb27bfd9c32b631554"},
	{"a pattern", 200000, []chunk{{0, cycle(200000)}},
		"65a2ec50ae5da4522e0f5aea7e0960e6502a8e67780ccdb7c3d55c56fa7b101f", "7f190b615481c0624a8b91acddfeab1788173d847c3bfabccdca38c50bb34577"},
	{"64 MiB", 64 << 20, []chunk{{8 << 20, []byte("hello")}},
		"5bcec0112888e9a09336b42e4bbedd9b3efb0c5e938831d92f9804fbf7eaa70c", "e9145ae92e9a4951aea5de07a6f4d87100db2797ed85aea6907e7a92fa0b2249"},
	{"5 MiB and a byte", 5<<20 + 1, []chunk{{5 << 20, []byte("e")}},
		"5b4fd0dbda9c029c428fa5597e1f9027702108f2116d4d90ae4ec9d46ed31412", "afa433ef16750dea75026896258c76d1bb16da51028568d0cce2837900dd6d6c"},
	{"4 GiB of nothing", 4 << 30, nil,
		"6b011fea0966edab68b820596d4662b665368228caf8d1a0945a18f44a6bdeb1", "d4a1ac6f03a8ecbdc79d0fbb1f16715ba9408616a93a6044afc727ac84dec300"},
	{"4 GiB", 4 << 30, []chunk{{1024, bytes.Repeat([]byte{0x53, 0xef}, 1)}, {4<<30 - 1, []byte("Z")}},
		"edc5ad4c1125ad8832707195f334ccbca09adb90bab8d63cb5a3ea7dcd6a2ac7", ""},
	{"1 TiB", 1 << 40, []chunk{{0, []byte("x")}},
		"b72922c8ede4f63c11ffaadea1f03fca1495229d9f252aa063a56b7b7c8a4a4f", ""},
}

// sparseFile makes a file with data, and holes elsewhere.
func sparseFile(t testing.TB, size int64, data []chunk) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for _, c := range data {
		if _, err := f.WriteAt(c.data, c.off); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		f := sparseFile(t, v.size, v.data)
		if have, err := Root(t.Context(), File(f, v.size), v.size); err != nil || have != "blake3:"+v.root {
			t.Errorf("%s: %s, %v", v.name, have, err)
		}
		for _, step := range []int{1 << 20, 70000, 3} {
			if have, err := stream(NewBuilder(t.Context(), v.size), v.data, step); err != nil || have != "blake3:"+v.root {
				t.Errorf("%s: in steps of %d: %s, %v", v.name, step, have, err)
			}
		}
		if v.size < 1<<30 {
			if have, err := Root(t.Context(), Dense(f, v.size), v.size); err != nil || have != "blake3:"+v.root {
				t.Errorf("%s: dense: %s, %v", v.name, have, err)
			}
		}
		if v.sparse != "" && (v.size < 1<<30 || !testing.Short()) {
			if have, err := Compute(t.Context(), File(f, v.size), v.size, SparseSHA256); err != nil || have != "sha256:"+v.sparse {
				t.Errorf("%s: sparse: %s, %v", v.name, have, err)
			}
		}
	}
	f := sparseFile(t, 5, []chunk{{0, []byte("hello")}})
	if have, err := Compute(t.Context(), File(f, 5), 5, SHA256); err != nil || have != "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
		t.Error(have, err)
	}
}

// stream gives h the data in steps.
func stream(h Hasher, data []chunk, step int) (string, error) {
	defer h.Close()
	for _, c := range data {
		for off := 0; off < len(c.data); off += step {
			if err := h.Add(c.off+int64(off), c.data[off:min(off+step, len(c.data))]); err != nil {
				return "", err
			}
		}
	}
	return h.Digest()
}

func TestZeroNodes(t *testing.T) {
	for h, want := range map[int]string{
		0:  "3f25fe2cf45f5b6ec78fcd0cfc1a5fa483007e13aa38e28b8d8ab5dabbf6d790",
		1:  "2650913ce4555a46e43b1f18be94e0a569c4fe341353e616d85c53857e054412",
		2:  "d1290bfb07a7f1e44327b24a3dd0d0c4d6c910d34fb7f58c79b57c707e90e019",
		3:  "3412b8bd39437cfe0d3beae66eede39851bd916b52363d810a05c6925c079ade",
		4:  "199b33f064513531b0c8ceb82ddbd600904cdcb52c9281a1021feb3f8d315dd0",
		16: "213c93eb326f8c41f3623f547efd3bb96b346ad843780cda137ae309e140c5a0",
	} {
		if z := zeroNodes()[h]; hex.EncodeToString(z[:]) != want {
			t.Errorf("%d: %x", h, z)
		}
	}
}

// naive is the root as the specification has it, without a short cut.
func naive(content []byte) string {
	nodes := []digest{}
	for off := 0; off == 0 || off < len(content); off += LeafSize {
		l := newLeaf()
		copy(l.data(), content[off:])
		nodes = append(nodes, l.hash())
	}
	for len(nodes)&(len(nodes)-1) != 0 {
		nodes = append(nodes, newLeaf().hash())
	}
	for len(nodes) > 1 {
		for i := range len(nodes) / 2 {
			nodes[i] = node(&nodes[2*i], &nodes[2*i+1])
		}
		nodes = nodes[:len(nodes)/2]
	}
	return rootOf(int64(len(content)), nodes[0])
}

// Contents of random sizes and holes have the same root whoever computes it.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		size := r.Int64N(9 << 20)
		content := make([]byte, size)
		var data []chunk
		for off := r.Int64N(1 + size/2); off < size; {
			p := make([]byte, min(size-off, 1+r.Int64N(1<<(4+r.IntN(17)))))
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			copy(content[off:], p)
			data = append(data, chunk{off, p})
			off += int64(len(p)) + r.Int64N(1<<(1+r.IntN(21)))
		}
		want := naive(content)
		f := sparseFile(t, size, data)
		for name, src := range map[string]Source{"file": File(f, size), "dense": Dense(bytes.NewReader(content), size)} {
			if have, err := Root(t.Context(), src, size); err != nil || have != want {
				t.Fatalf("%d bytes, %d pieces: %s: %s, %v, want %s", size, len(data), name, have, err, want)
			}
		}
		if have, err := stream(NewBuilder(t.Context(), size), data, 1+r.IntN(200000)); err != nil || have != want {
			t.Fatalf("%d bytes, %d pieces: builder: %s, %v, want %s", size, len(data), have, err, want)
		}
	}
}

func TestFailures(t *testing.T) {
	if _, err := Root(t.Context(), Dense(bytes.NewReader(make([]byte, 100000)), 1<<20), 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	f := sparseFile(t, 10, nil)
	if _, err := Root(t.Context(), File(f, 1<<20), 1<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := Root(ctx, Dense(bytes.NewReader(make([]byte, 50<<20)), 50<<20), 50<<20); !errors.Is(err, why) {
		t.Error(err)
	}
	// The zeros of a hole take time too.
	for _, algorithm := range []string{SparseSHA256, SHA256} {
		h := NewHasher(ctx, algorithm, 1<<50)
		if _, err := h.Digest(); !errors.Is(err, why) {
			t.Errorf("%s: %v", algorithm, err)
		}
		if err := h.Add(1<<49, []byte("a")); !errors.Is(err, why) {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	for _, algorithm := range []string{Merkle, SHA256} {
		h := NewHasher(t.Context(), algorithm, 10)
		if err := errors.Join(h.Add(2, []byte("ab")), h.Add(4, nil)); err != nil {
			t.Error(err)
		}
		for _, c := range []chunk{{3, nil}, {11, nil}, {5, make([]byte, 6)}} {
			if h.Add(c.off, c.data) == nil {
				t.Errorf("%s: %d bytes at %d accepted", algorithm, len(c.data), c.off)
			}
		}
		h.Close()
		h.Close()
	}
}

func TestCheck(t *testing.T) {
	digits := strings.Repeat("0a", 32)
	for _, c := range []struct {
		sum Sum
		is  error
	}{
		{Sum{Algorithm: Merkle, Digest: "blake3:" + digits}, nil},
		{Sum{Algorithm: SHA256, Digest: "sha256:" + digits}, nil},
		{Sum{Algorithm: SparseSHA256, Digest: "sha256:" + digits}, nil},
		{Sum{Algorithm: Merkle, Digest: "sha256:" + digits}, fault.ErrCorrupt},
		{Sum{Algorithm: SHA256, Digest: "sha256:" + digits[2:]}, fault.ErrCorrupt},
		{Sum{Algorithm: SHA256, Digest: "sha256:" + strings.ToUpper(digits)}, fault.ErrCorrupt},
		{Sum{Algorithm: "md5", Digest: "md5:" + digits}, fault.ErrUnsupported},
	} {
		if err := c.sum.Check(); !errors.Is(err, c.is) {
			t.Errorf("%v: %v", c.sum, err)
		}
	}
}

// BenchmarkScattered hashes 1 TiB with 25,000 pages that are far from each other.
func BenchmarkScattered(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "disk"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const size, n = 1 << 40, 25000
	if err := f.Truncate(size); err != nil {
		b.Fatal(err)
	}
	page := cycle(4096)
	for i := range int64(n) {
		if _, err := f.WriteAt(page, i*(size/n)&^4095); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Root(b.Context(), File(f, size), size); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDense hashes data that is in memory.
func BenchmarkDense(b *testing.B) {
	content := cycle(256 << 20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := Root(b.Context(), Dense(bytes.NewReader(content), int64(len(content))), int64(len(content))); err != nil {
			b.Fatal(err)
		}
	}
}
