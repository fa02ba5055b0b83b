package lz4

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"ocipipe/lib/reftest"
)

// judge decodes a block byte by byte, as the specification of the format puts it, and
// checks the rules of the end. It shares no code with the package.
func judge(src []byte) (content []byte, fault string) {
	lastMatchAt := -1
	for {
		if len(src) == 0 {
			return nil, "no token"
		}
		token := src[0]
		src = src[1:]
		length := func(n int) int {
			for more := n == 15; more; {
				if len(src) == 0 {
					return -1
				}
				n += int(src[0])
				more = src[0] == 255
				src = src[1:]
			}
			return n
		}
		literals := length(int(token >> 4))
		if literals < 0 || literals > len(src) {
			return nil, "literals are cut"
		}
		content = append(content, src[:literals]...)
		src = src[literals:]
		if len(src) == 0 {
			switch {
			case lastMatchAt >= 0 && literals < 5:
				return nil, "too few last literals"
			case lastMatchAt >= 0 && len(content)-lastMatchAt < 12:
				return nil, "last match too near to the end"
			}
			return content, ""
		}
		if len(src) < 2 {
			return nil, "no offset"
		}
		offset := int(src[0]) | int(src[1])<<8
		src = src[2:]
		if offset == 0 || offset > len(content) {
			return nil, "offset"
		}
		lastMatchAt = len(content)
		n := length(int(token & 15))
		if n < 0 {
			return nil, "length is cut"
		}
		for n += 4; n > 0; n-- {
			content = append(content, content[len(content)-offset])
		}
	}
}

// contents are inputs of all kinds, by name.
func contents() map[string][]byte {
	r := rand.New(rand.NewSource(1))
	random := make([]byte, 300000)
	r.Read(random)
	var text strings.Builder
	for text.Len() < 300000 {
		fmt.Fprintf(&text, "line %d of %x\n", text.Len(), r.Intn(1000))
	}
	mixed := slices.Concat(random[:70000], []byte(text.String())[:70000], make([]byte, 70000), random[:70000])
	return map[string][]byte{
		"random": random,
		"zeros":  make([]byte, 3<<20),
		"period": bytes.Repeat([]byte("abcde"), 40000),
		"text":   []byte(text.String()),
		"mixed":  mixed,
		"far":    slices.Concat(random[:65535], random[:65535], random[:65534], random[:65534], random[:65536], random[:65536]),
		"bits":   twoLetters(r, 30000),
	}
}

// twoLetters is content of two symbols: many short matches.
func twoLetters(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "ab"[r.Intn(2)]
	}
	return b
}

// fill fills size bytes from src and checks all that Fill promises.
func fill(t *testing.T, e *Encoder, size int, src []byte) (block []byte, taken int) {
	t.Helper()
	dst := bytes.Repeat([]byte{0xa5}, size+64)
	n, taken := e.Fill(dst[:size:size], src)
	block = dst[:n]
	if i := slices.IndexFunc(dst[size:], func(b byte) bool { return b != 0xa5 }); i >= 0 {
		t.Fatalf("wrote %d bytes behind dst", i)
	}
	content, fault := judge(block)
	if fault != "" {
		t.Fatalf("dst %d, src %d: block of %d, taken %d: %s", size, len(src), n, taken, fault)
	}
	if !bytes.Equal(content, src[:taken]) {
		t.Fatalf("dst %d, src %d: block of %d holds %d other bytes, taken %d", size, len(src), n, len(content), taken)
	}
	got := make([]byte, taken)
	if err := Decode(got, block); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("dst %d, src %d: Decode: %v", size, len(src), err)
	}
	return block, taken
}

var levels = []int{1, 2, 9, 10, 12}

func TestFill(t *testing.T) {
	reftest.OneThread(t)
	for _, level := range levels {
		e := NewEncoder(level)
		for name, src := range contents() {
			t.Run(fmt.Sprint(name, level), func(t *testing.T) {
				for _, size := range []int{1, 2, 17, 100, 4096, 16384, 65536, 1 << 20} {
					if size < 100 {
						fill(t, e, size, src)
						continue
					}
					blocks := 0
					for rest := src; len(rest) > 0 && blocks < 30; blocks++ {
						block, taken := fill(t, e, size, rest)
						if taken < len(rest) && len(block) < size-3 {
							t.Fatalf("dst %d: only %d bytes used", size, len(block))
						}
						if taken == 0 {
							t.Fatal("nothing taken")
						}
						rest = rest[taken:]
					}
				}
			})
		}
	}
}

// TestFillBorders tries all small sizes of both sides.
func TestFillBorders(t *testing.T) {
	all := contents()
	for _, level := range levels {
		e := NewEncoder(level)
		for _, src := range [][]byte{all["zeros"], all["random"], all["text"][1000:], all["bits"], bytes.Repeat([]byte("0123456789abcdefghijklmnopq"), 30)} {
			for size := 1; size < 60; size++ {
				for n := range 80 {
					_, taken := fill(t, e, size, src[:n])
					if taken < min(n, size-2) {
						t.Fatalf("dst %d, src %d: only %d taken", size, n, taken)
					}
				}
			}
			for _, size := range []int{269, 270, 271, 272, 273, 274, 300, 523, 524, 525, 526, 527, 528, 529, 530, 531} {
				for _, n := range []int{254, 255, 256, 266, 267, 268, 269, 270, 271, 272, 273, 274, 275, 300, 522, 523, 524, 525, 526, 527, 528, 529, 530, 700} {
					fill(t, e, size, src[:n])
				}
			}
		}
		zeros := all["zeros"]
		for n := range 2000 {
			fill(t, e, 30, zeros[:n])
		}
	}
	if n, taken := NewEncoder(Fast).Fill(nil, all["text"]); n != 0 || taken != 0 {
		t.Fatalf("dst without room: %d, %d", n, taken)
	}
}

// TestFillRandom tries random sizes of content that is made of copies of itself.
func TestFillRandom(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	encoders := map[int]*Encoder{}
	for _, level := range levels {
		encoders[level] = NewEncoder(level)
	}
	for range rounds {
		src := copies(r, r.Intn(5000))
		size := 1 + r.Intn(1500)
		for _, level := range levels {
			fill(t, encoders[level], size, src)
		}
	}
}

// copies is content of n bytes or some more, which has matches of all lengths.
func copies(r *rand.Rand, n int) []byte {
	var b []byte
	for len(b) < n {
		if len(b) > 0 && r.Intn(3) > 0 {
			from := r.Intn(len(b))
			for range 3 + r.Intn(1<<r.Intn(10)) {
				b = append(b, b[from])
				from++
			}
			continue
		}
		for range r.Intn(1 << r.Intn(7)) {
			b = append(b, byte(r.Intn(256)))
		}
	}
	return b
}

// TestReuse shows that what an Encoder did before changes no byte.
func TestReuse(t *testing.T) {
	reftest.OneThread(t)
	all := contents()
	for _, level := range levels {
		used := NewEncoder(level)
		for _, size := range []int{4096, 65536} {
			for _, name := range []string{"text", "mixed", "bits", "text"} {
				want, taken := fill(t, NewEncoder(level), size, all[name])
				cleared := NewEncoder(level)
				fill(t, cleared, size, all[name][1000:])
				cleared.base = 1<<32 - 1
				if got, _ := fill(t, cleared, size, all[name]); !bytes.Equal(got, want) {
					t.Fatalf("level %d, %s: other bytes where positions begin anew", level, name)
				}
				got, again := fill(t, used, size, all[name])
				if !bytes.Equal(got, want) || taken != again {
					t.Fatalf("level %d, %s: other bytes than a new Encoder", level, name)
				}
				// At the end of the positions the tables are cleared.
				used.base = 1<<32 - 1 - uint32(len(all[name])+maxOffset)
				if got, _ := fill(t, used, size, all[name]); !bytes.Equal(got, want) {
					t.Fatalf("level %d, %s: other bytes at the end of the positions", level, name)
				}
				used.base = 1<<32 - 2 - uint32(min(len(all[name]), size<<8)+maxOffset)
				if got, _ := fill(t, used, size, all[name]); !bytes.Equal(got, want) {
					t.Fatalf("level %d, %s: other bytes just before the end of the positions", level, name)
				}
			}
		}
	}
}

// TestBehind shows that Fill does not look at bytes that dst cannot hold.
func TestBehind(t *testing.T) {
	zeros := make([]byte, 200<<8)
	for _, level := range levels {
		e := NewEncoder(level)
		want, taken := fill(t, e, 200, zeros)
		got, again := fill(t, e, 200, append(slices.Clone(zeros), "and more"...))
		if !bytes.Equal(got, want) || taken != again {
			t.Errorf("level %d: %d bytes taken, with more behind %d", level, taken, again)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const digits = "0123456789abcdef"
	for _, c := range []struct {
		name  string
		block string
		size  int
		ok    bool
	}{
		{"nothing", "", 0, false},
		{"nothing for content", "", 1, false},
		{"empty", "\x00", 0, true},
		{"empty for content", "\x00", 1, false},
		{"empty with a match", "\x01", 0, false},
		{"empty and more", "\x00\x00", 0, false},
		{"literals", "\x30abc", 3, true},
		{"literals and more", "\x30abcd", 3, false},
		{"fewer literals", "\x30abc", 4, false},
		{"more literals", "\x30abc", 2, false},
		{"cut literals", "\x30ab", 3, false},
		{"last token with a match", "\x3fabc", 3, true},
		{"match", "\x10a\x01\x00\x80" + digits[:8], 13, true},
		{"match 11 before the end", "\x10a\x01\x00\x70" + digits[:7], 12, false},
		{"5 last literals", "\x13a\x01\x00\x50" + digits[:5], 13, true},
		{"4 last literals", "\x14a\x01\x00\x40" + digits[:4], 13, false},
		{"5 last literals behind a long match", "\x1fa\x01\x00\x00\x50" + digits[:5], 1 + 19 + 5, true},
		{"4 last literals behind a long match", "\x1fa\x01\x00\x00\x40" + digits[:4], 1 + 19 + 4, false},
		{"no last literals", "\x1fa\x01\x00\x00\x00", 20, false},
		{"ends with a match", "\x18a\x01\x00", 13, false},
		{"one byte too few", "\x10a\x01\x00\x80" + digits[:8], 14, false},
		{"one byte too many", "\x10a\x01\x00\x80" + digits[:8], 12, false},
		{"offset 0", "\x10a\x00\x00\x80" + digits[:8], 13, false},
		{"offset 2", "\x10a\x02\x00\x80" + digits[:8], 13, false},
		{"offset without literals", "\x00\x01\x00\x90" + digits[:9], 13, false},
		{"cut offset", "\x10a\x01", 13, false},
		{"no offset", "\x10a", 13, false},
		{"cut length of literals", "\xf0", 16, false},
		{"length of literals without end", "\xf0\xff\xff\xff", 800, false},
		{"long literals", "\xf0\x01" + digits, 16, true},
		{"cut length of a match", "\x1fa\x01\x00", 30, false},
		{"length of a match without end", "\x1fa\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 4000, false},
		{"long match", "\x1fa\x01\x00\x02\x50" + digits[:5], 1 + 21 + 5, true},
		{"longer match than content", "\x1fa\x01\x00\x03\x50" + digits[:5], 1 + 21 + 5, false},
	} {
		dst := bytes.Repeat([]byte{0xa5}, c.size+40)
		err := Decode(dst[:c.size:c.size], []byte(c.block))
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !bytes.Equal(dst[c.size:], bytes.Repeat([]byte{0xa5}, 40)) {
			t.Errorf("%s: wrote behind dst", c.name)
		}
		if want, fault := judge([]byte(c.block)); c.ok && (fault != "" || !bytes.Equal(want, dst[:c.size])) {
			t.Errorf("%s: got %q, want %q %s", c.name, dst[:c.size], want, fault)
		}
	}
}

// TestDecodeCut cuts and lengthens blocks on both sides.
func TestDecodeCut(t *testing.T) {
	all := contents()
	for _, name := range []string{"text", "mixed", "bits", "zeros"} {
		block, taken := fill(t, NewEncoder(Fast), 700, all[name])
		for n := range block {
			if Decode(make([]byte, taken), block[:n]) == nil {
				t.Errorf("%s: accepts %d of %d bytes", name, n, len(block))
			}
		}
		if Decode(make([]byte, taken), append(slices.Clip(block), 0)) == nil {
			t.Errorf("%s: accepts a byte behind the block", name)
		}
		for _, n := range []int{taken - 20, taken - 1, taken + 1, taken + 20, 0, 1} {
			if Decode(make([]byte, n), block) == nil {
				t.Errorf("%s: accepts %d bytes in place of %d", name, n, taken)
			}
		}
	}
}

func TestDecodePrefix(t *testing.T) {
	all := contents()
	for _, name := range []string{"text", "mixed", "bits", "random", "period", "far"} {
		src := all[name]
		block, taken := fill(t, NewEncoder(Fast), 3000, src)
		for n := range taken + 1 {
			if n > 300 && n < taken-300 && n%29 > 0 {
				continue
			}
			dst := bytes.Repeat([]byte{0xa5}, n+40)
			if err := DecodePrefix(dst[:n:n], append(slices.Clip(block), "more"...)); err != nil || !bytes.Equal(dst[:n], src[:n]) {
				t.Fatalf("%s: the first %d bytes: %v", name, n, err)
			}
			if !bytes.Equal(dst[n:], bytes.Repeat([]byte{0xa5}, 40)) {
				t.Fatalf("%s: wrote behind %d bytes", name, n)
			}
		}
		if err := DecodePrefix(make([]byte, taken+1), block); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%s: one byte too many: %v", name, err)
		}
		for n := range block {
			if err := DecodePrefix(make([]byte, taken), block[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s: %d of %d bytes: %v", name, n, len(block), err)
			}
		}
	}
}

func TestDecodePrefixBorders(t *testing.T) {
	for _, c := range []struct {
		name  string
		block string
		size  int
		ok    bool
	}{
		{"nothing for nothing", "", 0, true},
		{"nothing", "", 1, false},
		{"literals", "\x50abcde", 3, true},
		{"literals that are cut behind the prefix", "\x50abcd", 3, true},
		{"cut literals", "\x50abcd", 5, false},
		{"long literals that are cut", "\xf0\x00abcdefghijklmn", 3, false},
		{"long literals", "\xf0\x00abcdefghijklmno", 3, true},
		{"last literals that match no more", "\x1ea\x01\x00", 19, false},
		{"match that reaches to the end", "\x1ea\x01\x00\x00", 19, true},
		{"match that goes on", "\x1ea\x01\x00\x00", 7, true},
		{"content is shorter", "\x1ea\x01\x00\x00", 20, false},
		{"4 bytes behind a long match", "\x1fa\x01\x00\x00abcd", 10, false}, // true of newer versions of liblz4
		{"5 bytes behind a long match", "\x1fa\x01\x00\x00abcde", 10, true},
		{"offset 0", "\x1ea\x00\x00\x00", 10, false},
		{"offset 2", "\x1ea\x02\x00\x00", 10, false},
		{"length of literals without end", "\xf0\xff\xff", 1, false},
	} {
		err := DecodePrefix(make([]byte, c.size), []byte(c.block))
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDecodeAllocates(t *testing.T) {
	src := contents()["mixed"]
	e := NewEncoder(Fast)
	block, taken := fill(t, e, 65536, src)
	dst, out := make([]byte, taken), make([]byte, 65536)
	if n := testing.AllocsPerRun(5, func() {
		if Decode(dst, block) != nil || DecodePrefix(dst[:1000], block) != nil {
			t.Error("refused")
		}
		e.Fill(out, src)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzDecode compares Decode with the judge, in both directions.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewSource(3))
	for range 40 {
		src := copies(r, r.Intn(400))
		dst := make([]byte, 1+r.Intn(300))
		n, taken := NewEncoder(Fast).Fill(dst, src)
		if err := Decode(make([]byte, taken), dst[:n]); err != nil {
			f.Fatal(err)
		}
		f.Add(dst[:n], taken)
	}
	f.Fuzz(func(t *testing.T, block []byte, size int) {
		if size < 0 || size > 1<<20 || len(block) > 1<<12 {
			return
		}
		want, fault := judge(block)
		got := make([]byte, size)
		err := Decode(got, block)
		exact := fault == "" && len(want) == size && (size > 0 || bytes.Equal(block, []byte{0}))
		if exact != (err == nil) {
			t.Fatalf("%q to %d bytes: %v, the judge says %d bytes %q", block, size, err, len(want), fault)
		}
		if exact && !bytes.Equal(got, want) {
			t.Fatalf("%q: got %q, want %q", block, got, want)
		}
		prefix := make([]byte, size)
		if err := DecodePrefix(prefix, block); fault == "" && size <= len(want) && (err != nil || !bytes.Equal(prefix, want[:size])) {
			t.Fatalf("%q: prefix of %d: %v", block, size, err)
		} else if fault == "" && size > len(want) && err == nil {
			t.Fatalf("%q: %d bytes of %d", block, size, len(want))
		}
	})
}

// FuzzFill fills a block from any content.
func FuzzFill(f *testing.F) {
	r := rand.New(rand.NewSource(4))
	encoders := map[int]*Encoder{}
	for _, level := range levels {
		encoders[level] = NewEncoder(level)
	}
	for range 20 {
		f.Add(copies(r, r.Intn(2000)), uint16(r.Intn(1000)), byte(r.Intn(13)))
	}
	f.Fuzz(func(t *testing.T, src []byte, size uint16, level byte) {
		e := encoders[levels[int(level)%len(levels)]]
		block, taken := fill(t, e, int(size)+1, src)
		if again, takenAgain := fill(t, NewEncoder(e.level), int(size)+1, src); takenAgain != taken || !bytes.Equal(again, block) {
			t.Fatal("other bytes from a new Encoder")
		}
	})
}
