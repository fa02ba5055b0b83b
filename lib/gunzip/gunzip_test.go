package gunzip

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"

	"ocipipe/lib/reftest"
)

// samples are inputs that between them use every kind of block and code.
func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 300_000)
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	few := make([]byte, 700_000)
	for i := range few {
		few[i] = "abcdefgh"[rng.IntN(8)]
	}
	var words bytes.Buffer
	for words.Len() < 900_000 {
		fmt.Fprintf(&words, "%d %s\n", rng.IntN(5000), strings.Repeat("xyz", rng.IntN(9)))
	}
	skewed := make([]byte, 400_000) // long codes
	for i := range skewed {
		skewed[i] = byte(rng.ExpFloat64() * 12)
	}
	far := append(bytes.Clone(random[:windowSize]), random[:windowSize]...)
	return map[string][]byte{
		"empty": nil, "one byte": {7}, "zeros": make([]byte, 3*outLimit), "random": random,
		"few letters": few, "words": words.Bytes(), "skewed": skewed, "farthest distance": far,
		"runs of two": bytes.Repeat([]byte("ab"), 100_000), "runs of three": bytes.Repeat([]byte("abc"), 100_000),
		"runs of seven": bytes.Repeat([]byte("abcdefg"), 50_000),
	}
}

func compress(t testing.TB, data []byte, level int) []byte {
	var b bytes.Buffer
	z, err := stdgzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(data)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	reftest.OneThread(t)
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6} {
			z := compress(t, data, level)
			for how, r := range map[string]io.Reader{
				"whole":       bytes.NewReader(z),
				"half reads":  iotest.HalfReader(bytes.NewReader(z)),
				"data at EOF": iotest.DataErrReader(bytes.NewReader(z)),
			} {
				got, err := io.ReadAll(NewReader(r))
				if err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, level %d, %s: %d bytes, %v; want %d", name, level, how, len(got), err, len(data))
				}
			}
			var w bytes.Buffer
			if n, err := NewReader(bytes.NewReader(z)).WriteTo(&w); err != nil || n != int64(len(data)) || !bytes.Equal(w.Bytes(), data) {
				t.Errorf("%s, level %d: WriteTo: %d bytes, %v", name, level, n, err)
			}
		}
	}
}

// Matches of all short distances, which overlap, and of all lengths.
func TestDistances(t *testing.T) {
	random := samples()["random"]
	for distance := 1; distance <= 40; distance++ {
		var data []byte
		for length := 3; length <= 300; length++ {
			period := random[length*distance:][:distance]
			data = append(append(data, bytes.Repeat(period, length/distance+2)[:distance+length]...), random[length])
		}
		got, err := io.ReadAll(NewReader(bytes.NewReader(compress(t, data, 9))))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("distance %d: %d bytes, %v; want %d", distance, len(got), err, len(data))
		}
	}
}

// Each index of a table begins with the code that its entry says, and no other.
func TestBuild(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		lens := randomCode(rng, 20+rng.IntN(maxLitCodes-20))
		var table [litSize]entry
		if !build(table[:], litBits, lens, litEntries[:]) {
			t.Fatalf("%d: refused", lens)
		}
		for sym, huff := range canonical(lens) {
			n := uint(lens[sym])
			for range 20 {
				b := uint64(bits.Reverse16(huff)>>(16-n)) | rng.Uint64()<<n
				e := table[b&(1<<litBits-1)]
				if e.is(isSubtable) {
					e = table[e.second(b, litBits)]
				}
				if !stands(e, sym, n, b) {
					t.Fatalf("%d: %b, of symbol %d with %d bits, is %x", lens, b, sym, n, e)
				}
			}
		}
	}
}

// stands reports whether e is right for the symbol, whose code has n bits, at the start of b.
func stands(e entry, sym int, n uint, b uint64) bool {
	switch {
	case sym < 256:
		return e >= isLiteral && int(byte(e>>16)) == sym && e.drop() == n && e.codeLen() == n
	case sym == 256:
		return e.is(isEnd) && e.total() == n
	}
	extra := uint(lengthExtra[sym-257])
	want := uint(lengthBase[sym-257]) + uint(b>>n&(1<<extra-1))
	if e&isOther == 0 && (uint(e>>16) != want || e.middle() != n+extra) {
		return false
	}
	return e < isLiteral && !e.is(isEnd) && !e.is(isBad) && e.length(b) == want && e.total() == n+extra && e.drop() == 0
}

// randomCode returns the lengths of a complete code of n symbols, among others without one.
func randomCode(rng *rand.Rand, n int) []uint8 {
	leaves := []uint8{1, 1}
	for len(leaves) < n*3/4 {
		if i := rng.IntN(len(leaves)); leaves[i] < maxCodeLen {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		} else if rng.IntN(100) == 0 {
			break
		}
	}
	lens := make([]uint8, n)
	for i, at := range rng.Perm(n)[:len(leaves)] {
		lens[at] = leaves[i]
	}
	return lens
}

// canonical returns the code of each symbol that has one (RFC 1951, 3.2.2).
func canonical(lens []uint8) map[int]uint16 {
	codes := map[int]uint16{}
	next := uint16(0)
	for n := uint8(1); n <= maxCodeLen; n++ {
		next <<= 1
		for sym, l := range lens {
			if l == n {
				codes[sym] = next
				next++
			}
		}
	}
	return codes
}

// ReadChunk into several buffers in turn, as a reader ahead uses it.
func TestReadChunk(t *testing.T) {
	for name, data := range samples() {
		z := NewReader(bytes.NewReader(append(compress(t, data, 6), compress(t, data, 1)...)))
		mem := [3][]byte{}
		for i := range mem {
			mem[i] = make([]byte, z.ChunkSize())
		}
		var got []byte
		for i := 0; ; i++ {
			b, err := z.ReadChunk(mem[i%3])
			got = append(got, b...)
			clear(mem[(i+1)%3]) // what is two calls old is ours
			if err == io.EOF {
				break
			}
			if err != nil || len(b) == 0 {
				t.Fatalf("%s: %d bytes, %v", name, len(b), err)
			}
		}
		if !bytes.Equal(got, append(bytes.Clone(data), data...)) {
			t.Errorf("%s: %d bytes of %d", name, len(got), 2*len(data))
		}
	}
}

// Any size of reads, below and above, gives the same bytes.
func TestReadSizes(t *testing.T) {
	data := samples()["words"][:60_000]
	z := compress(t, data, 6)
	for _, below := range []int{1, 2, 7, 8, 15, 16, 17, 1000} {
		for _, above := range []int{1, 3, 4096, 1 << 20} {
			r := NewReader(&chunked{bytes.NewReader(z), below})
			var got []byte
			buf := make([]byte, above)
			var err error
			for err == nil {
				var n int
				n, err = r.Read(buf)
				got = append(got, buf[:n]...)
			}
			if err != io.EOF || !bytes.Equal(got, data) {
				t.Fatalf("reads of %d below, %d above: %d bytes, %v", below, above, len(got), err)
			}
		}
	}
}

type chunked struct {
	r io.Reader
	n int
}

func (c *chunked) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestMembers(t *testing.T) {
	reftest.OneThread(t)
	var z, want []byte
	words := samples()["words"]
	for i := range 2000 { // more than a buffer of output in all
		part := words[i*100 : i*100+i%300]
		z = append(z, compress(t, part, 1+i%9)...)
		want = append(want, part...)
	}
	got, err := io.ReadAll(NewReader(bytes.NewReader(z)))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	// A member sees nothing of the one before.
	var b bytes.Buffer
	w, _ := flate.NewWriterDict(&b, 9, []byte("hello, hello, hello"))
	w.Write([]byte("hello, hello"))
	w.Close()
	stolen := append(compress(t, []byte("hello, hello, hello"), 9), "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"...)
	if _, err := io.ReadAll(NewReader(bytes.NewReader(append(stolen, b.Bytes()...)))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("distance into the member before: %v", err)
	}
}

func TestHeaderFields(t *testing.T) {
	var b bytes.Buffer
	z := stdgzip.NewWriter(&b)
	z.Name, z.Comment, z.Extra = "name", "comment", bytes.Repeat([]byte("x"), 60_000)
	z.Write([]byte("data"))
	z.Close()
	got, err := io.ReadAll(NewReader(&b))
	if err != nil || string(got) != "data" {
		t.Fatalf("%q, %v", got, err)
	}
	// With a checksum of the header, right and wrong (RFC 1952, 2.3.1.2).
	body := compress(t, []byte("data"), 6)[10:]
	head := "\x1f\x8b\x08\x02\x00\x00\x00\x00\x00\xff"
	for sum, ok := range map[string]bool{"\x9d\x1a": false, headerSum(head): true} {
		_, err := io.ReadAll(NewReader(io.MultiReader(strings.NewReader(head+sum), bytes.NewReader(body))))
		if (err == nil) != ok {
			t.Errorf("header checksum %x: %v", sum, err)
		}
	}
}

// headerSum is the CRC-16 of a member's header, taken from a member without data.
func headerSum(head string) string {
	r := NewReader(strings.NewReader(head + "\x00\x00"))
	h := header{f: &r.f, crc: new(uint32)}
	h.bytes(10)
	return string([]byte{byte(*h.crc), byte(*h.crc >> 8)})
}

func TestBehindTheEnd(t *testing.T) {
	z := compress(t, []byte("data"), 6)
	for _, c := range []struct {
		name, tail, want string
	}{
		{"nothing", "", ""},
		{"zeros", strings.Repeat("\x00", 700_000), ""},
		{"garbage", "garbage", "garbage behind the end"},
		{"garbage behind zeros", "\x00\x00g", "garbage behind the end"},
		{"a cut header", "\x1f\x8b\x08", "unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := io.ReadAll(NewReader(strings.NewReader(string(z) + c.tail)))
			if string(got) != "data" {
				t.Errorf("got %q", got)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if _, err := io.ReadAll(NewReader(strings.NewReader(string(z) + "garbage"))); !strings.Contains(err.Error(), fmt.Sprintf("byte %d:", len(z))) {
		t.Errorf("%v does not say where the garbage begins: byte %d", err, len(z))
	}
}

func TestTruncated(t *testing.T) {
	z := compress(t, samples()["words"][:3000], 6)
	for n := range z {
		if _, err := io.ReadAll(NewReader(bytes.NewReader(z[:n]))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", n, len(z), err)
		}
	}
}

// A flipped bit is an error, unless it says nothing about the data, such as those
// that fill up the last byte of the deflate stream.
func TestFlipped(t *testing.T) {
	data := samples()["words"][:3000]
	z := compress(t, data, 6)
	step := 1
	if testing.Short() {
		step = 13 // the race detector makes a reader of each take long
	}
	for i := 0; i < len(z)*8; i += step {
		if i/8 >= 4 && i/8 < 10 || i/8 == 3 {
			continue // time, extra flags, system; flags may announce harmless fields
		}
		bad := bytes.Clone(z)
		bad[i/8] ^= 1 << (i % 8)
		if got, err := io.ReadAll(NewReader(bytes.NewReader(bad))); err == nil && !bytes.Equal(got, data) {
			t.Fatalf("bit %d flipped: no error, but other data", i)
		}
	}
}

func TestReadError(t *testing.T) {
	z := compress(t, samples()["random"], 6)
	broken := errors.New("broken")
	r := io.MultiReader(bytes.NewReader(z[:100_000]), iotest.ErrReader(broken))
	if _, err := io.ReadAll(NewReader(r)); err != broken {
		t.Errorf("error %v, want %v", err, broken)
	}
	for _, s := range []string{"not gzip at all", strings.Repeat("\x00", 100)} {
		if _, err := io.ReadAll(NewReader(strings.NewReader(s))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("no gzip, but %q: %v", s, err)
		}
	}
}

// decode is what another decompressor makes of z.
func decode(open func(io.Reader) (io.Reader, error), z []byte) ([]byte, error) {
	r, err := open(bytes.NewReader(z))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, 64<<20))
}

// FuzzReader compares with compress/gzip and klauspost's: the same bytes, or an
// error in all three. Two things only we accept, as GNU gzip does: zeros behind
// the last member, and names of any length.
func FuzzReader(f *testing.F) {
	for _, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			data := data[:min(len(data), 4000)]
			z := compress(f, data, level)
			if got, err := io.ReadAll(NewReader(bytes.NewReader(z))); err != nil || !bytes.Equal(got, data) {
				f.Fatalf("seed: %v", err)
			}
			f.Add(z, uint16(len(z)))
			f.Add(append(z, z...), uint16(17))
		}
	}
	f.Fuzz(func(t *testing.T, z []byte, size uint16) {
		got, err := io.ReadAll(io.LimitReader(NewReader(&chunked{bytes.NewReader(z), int(size) + 1}), 64<<20))
		std, stdErr := decode(func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) }, z)
		kp, kpErr := decode(func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }, z)
		if stdErr == nil && (err != nil || !bytes.Equal(got, std)) {
			t.Errorf("compress/gzip: %d bytes; ours: %d, %v", len(std), len(got), err)
		}
		if stdErr == io.ErrUnexpectedEOF {
			kpErr = stdErr // klauspost's takes some headers that are cut for the end
		}
		if kpErr == nil && (err != nil || !bytes.Equal(got, kp)) {
			t.Errorf("klauspost: %d bytes; ours: %d, %v", len(kp), len(got), err)
		}
		if err == nil && stdErr != nil && !bytes.HasSuffix(z, []byte{0}) && !errors.Is(stdErr, stdgzip.ErrHeader) {
			t.Errorf("ours: %d bytes; compress/gzip: %v", len(got), stdErr)
		}
	})
}

// FuzzInflate is FuzzReader for the deflate stream alone, which a fuzzer cannot
// reach past the checksum.
func FuzzInflate(f *testing.F) {
	for _, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			z := compress(f, data[:min(len(data), 4000)], level)
			f.Add(z[10 : len(z)-8])
		}
	}
	f.Fuzz(func(t *testing.T, z []byte) {
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(z)), 8<<20))
		r := NewReader(bytes.NewReader(z))
		var got []byte
		r.f.begin()
		var err error
		for err == nil && r.f.state != atEnd && len(got) < 8<<20 {
			r.f.room(r.f.out)
			from := r.f.w
			err = r.f.run()
			got = append(got, r.f.out[from:r.f.w]...)
		}
		got = got[:min(len(got), 8<<20)]
		if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("ours: %d bytes, %v; compress/flate: %d, %v", len(got), err, len(want), wantErr)
		}
	})
}
