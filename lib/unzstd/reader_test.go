package unzstd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Descriptors of windows that are a power of two.
const (
	window1K   = 0
	window8M   = (23 - 10) << 3
	window9M   = window8M + 1
	window128M = (27 - 10) << 3
	window144M = window128M + 1
)

func block(last, kind, size int, content ...byte) []byte {
	h := last | kind<<1 | size<<3
	return append([]byte{byte(h), byte(h >> 8), byte(h >> 16)}, content...)
}

// frame holds a window, some raw bytes, and many more of a single value.
func frame(window byte, repeats int, raw string) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}
	b = append(b, block(0, 0, len(raw), []byte(raw)...)...)
	for range repeats {
		b = append(b, block(0, repeated, 128<<10, 'z')...)
	}
	return append(b, block(1, 0, 0)...)
}

// single is a frame that has no window but its content, of size bytes, which it claims.
func single(size uint64, raw string) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, singleSegment | 3<<6}
	b = binary.LittleEndian.AppendUint64(b, size)
	return append(b, block(1, 0, len(raw), []byte(raw)...)...)
}

func skippable(n uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippableMagic+n%16)
	b = binary.LittleEndian.AppendUint32(b, n)
	return append(b, bytes.Repeat([]byte{0xfd}, int(min(n, 1000)))...)
}

// encoded is what an encoder makes of the pieces, each a frame with a checksum.
func encoded(t testing.TB, window int, pieces ...[]byte) (all []byte) {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		var b bytes.Buffer
		w.Reset(&b)
		w.Write(p)
		w.Flush() // else a short frame has no window but its content
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Bytes()...)
	}
	return all
}

func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b []byte
	for len(b) < n {
		b = fmt.Append(b, r.IntN(300), " ")
	}
	return b[:n]
}

// streams are accepted. Some hold n bytes.
func streams(t testing.TB, n int) map[string][]byte {
	some := text(n)
	large, small := encoded(t, 32<<20, some), encoded(t, 1<<20, some)
	return map[string][]byte{
		"ordinary":      small,
		"large":         large,
		"both":          slices.Concat(small, large, large, small, small, large),
		"large first":   slices.Concat(large, small),
		"skippable":     slices.Concat(skippable(0), large, skippable(999), small, skippable(16), skippable(3), large, skippable(1)),
		"nothing":       skippable(5),
		"edges":         slices.Concat(frame(window1K, 0, "a"), frame(window8M, n>>16, "b"), frame(window9M, n>>16, "c"), frame(window128M, n>>17, "d")),
		"empty frames":  slices.Concat(frame(window128M, 0, ""), frame(window1K, 0, ""), frame(window128M, 0, "")),
		"one segment":   slices.Concat(single(3, "abc"), single(0, "")),
		"with encoders": encoded(t, 64<<20, some[:n/3], nil, some[:5]),
	}
}

// broken are refused.
func broken(t testing.TB) map[string][]byte {
	large := encoded(t, 32<<20, text(1000))
	flipped := slices.Clone(large)
	flipped[len(flipped)-1] ^= 1
	reserved := slices.Clone(large)
	reserved[4] |= isReserved
	return map[string][]byte{
		"checksum":               flipped,
		"reserved bit":           reserved,
		"reserved block":         slices.Concat(frame(window9M, 0, "x")[:6], block(0, 3, 5, 1, 2, 3, 4, 5)),
		"block above its limit":  slices.Concat(frame(window9M, 0, "x")[:6], block(0, 0, 1<<21-1)),
		"compressed nonsense":    slices.Concat(frame(window9M, 0, "x")[:6], block(1, 2, 5, 1, 2, 3, 4, 5), large),
		"window above the limit": slices.Concat(large, frame(window144M, 0, "x")),
		"largest of all windows": frame(0xff, 0, "x"),
		"segment of 128 MiB":     single(128<<20, "abc"),
		"segment of 129 MiB":     single(129<<20, "abc"),
		"segment of 2^64-1":      single(1<<64-1, "abc"),
		"garbage behind":         slices.Concat(large, []byte("garbage")),
		"garbage":                []byte("garbage, and more of it"),
		"skippable too long":     slices.Concat(large, skippable(1<<32-1)),
		"dictionary":             {0x28, 0xb5, 0x2f, 0xfd, 3, window128M, 1, 2, 3, 4, 1, 0, 0},
	}
}

// reference is a decoder that is given the stream as it is.
var reference = newDecoder(nil)

func decode(data []byte) ([]byte, error) {
	reference.Reset(struct{ io.Reader }{bytes.NewReader(data)})
	return io.ReadAll(struct{ io.Reader }{reference})
}

var shared = NewWindow()

// chunkings are the ways in which a stream can come.
var chunkings = []func(r io.Reader) io.Reader{
	func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
}

// compare expects of a reader what the decoder says of the same stream.
func compare(t *testing.T, data []byte) error {
	t.Helper()
	want, werr := decode(data)
	for i, chunks := range chunkings {
		z := NewReader(t.Context(), chunks(bytes.NewReader(data)), shared)
		got, err := io.ReadAll(z)
		if !isSame(err, werr) || !bytes.Equal(got, want) {
			t.Errorf("chunking %d: %d bytes, %v; want %d, %v", i, len(got), err, len(want), werr)
		}
		if n, again := z.Read(make([]byte, 1)); n > 0 || err == nil && again != io.EOF || err != nil && again != err {
			t.Errorf("chunking %d: read again: %d, %v after %v", i, n, again, err)
		}
		if len(shared.free) != 1 {
			t.Fatalf("chunking %d: the window is held after %v", i, err)
		}
		z.Close()

		walked := frames{r: bufio.NewReaderSize(chunks(bytes.NewReader(data)), 32)}
		for passed := data; ; walked.turn() {
			part, err := io.ReadAll(&walked)
			if !bytes.HasPrefix(passed, part) || err != nil {
				t.Fatalf("chunking %d: other bytes pass, %v", i, err)
			}
			if passed = passed[len(part):]; walked.turned {
				continue
			}
			if len(passed) > 0 {
				t.Errorf("chunking %d: %d bytes of %d do not pass", i, len(passed), len(data))
			}
			break
		}
	}
	return werr
}

// isSame reports whether err is werr of the decoder, perhaps in words.
func isSame(err, werr error) bool {
	if said := (*Error)(nil); errors.As(err, &said) {
		err = said.Err
	}
	return fmt.Sprint(err) == fmt.Sprint(werr)
}

func TestErrors(t *testing.T) {
	all := broken(t)
	end := len(encoded(t, 32<<20, text(1000))) // of a whole frame
	for name, want := range map[string]string{
		"reserved bit":           "byte 0: damaged data",
		"reserved block":         "byte 6: damaged data",
		"compressed nonsense":    "byte 6: damaged data",
		"block above its limit":  "byte 6: damaged data",
		"window above the limit": fmt.Sprintf("byte %d: the frame needs a window above 128 MiB, which zstd --long=31 -dc unpacks", end),
		"segment of 129 MiB":     "byte 0: the frame needs a window above 128 MiB, which zstd --long=31 -dc unpacks",
		"garbage behind":         fmt.Sprintf("byte %d: neither a frame of zstd nor the end", end),
		"garbage":                "byte 0: neither a frame of zstd nor the end",
		"dictionary":             "byte 0: the frame needs a dictionary, with which zstd -D DICTIONARY -dc unpacks it",
	} {
		_, err := io.ReadAll(NewReader(t.Context(), bytes.NewReader(all[name]), nil))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, expected %s", name, err, want)
		}
		if have := errors.Is(err, ErrUnsupported); have != strings.Contains(want, "needs a") {
			t.Errorf("%s: unsupported %t", name, have)
		}
	}
	_, err := io.ReadAll(NewReader(t.Context(), bytes.NewReader(all["checksum"]), nil))
	if said := (*Error)(nil); !errors.As(err, &said) || !strings.HasSuffix(err.Error(), ": the frame that ends with this block does not have its checksum") || said.At == 0 {
		t.Errorf("checksum: %v", err)
	}
}

func TestReader(t *testing.T) {
	for name, data := range streams(t, 300_000) {
		t.Run(name, func(t *testing.T) {
			if err := compare(t, data); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBroken(t *testing.T) {
	for name, data := range broken(t) {
		t.Run(name, func(t *testing.T) {
			err := compare(t, data)
			if err == nil {
				t.Error("accepted")
			}
			t.Log(err)
		})
	}
}

// TestCut cuts a stream at every byte.
func TestCut(t *testing.T) {
	a, b := text(300), text(40)
	whole := slices.Concat(encoded(t, 1<<20, a), skippable(9), encoded(t, 32<<20, a, b), encoded(t, 1<<20, b), frame(window128M, 0, "end"))
	for n := range whole {
		compare(t, whole[:n])
	}
}

func FuzzReader(f *testing.F) {
	for name, data := range streams(f, 500) {
		if _, err := decode(data); err != nil {
			f.Fatalf("%s: %v", name, err)
		}
		f.Add(data)
	}
	for _, data := range broken(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { compare(t, data) })
}

// TestHeaders compares windows of all sorts of headers with what the decoder makes of them.
func TestHeaders(t *testing.T) {
	noise := rand.NewChaCha8([32]byte{1})
	for descriptor := range 256 {
		for range 50 {
			head := make([]byte, 18)
			noise.Read(head)
			copy(head, []byte{0x28, 0xb5, 0x2f, 0xfd, byte(descriptor)})
			var h zstd.Header
			if h.Decode(head) != nil { // a reserved bit
				continue
			}
			f := fieldsOf(head[4])
			if got := 5 + f.size(); got != h.HeaderSize {
				t.Fatalf("%x: %d bytes, want %d", head, got, h.HeaderSize)
			}
			want := h.WindowSize
			if h.SingleSegment {
				want = h.FrameContentSize
			}
			if got := f.windowSize(head[5:]); got != want {
				t.Fatalf("%x: window %d, want %d", head, got, want)
			}
		}
	}
}

// TestOneWindow has a reader wait for another at each of the places where that gives the
// window back.
func TestOneWindow(t *testing.T) {
	small, large := frame(window8M, 0, "s"), frame(window9M, 1, "l")
	for name, c := range map[string]struct {
		behind []byte // a large frame
		finish func(z *Reader)
	}{
		"closed":          {large, func(z *Reader) { z.Close() }},
		"read to the end": {nil, func(z *Reader) { io.Copy(io.Discard, z) }},
		"at a small one":  {small, func(z *Reader) { io.ReadFull(z, make([]byte, 1+128<<10+1)) }},
		"corrupt":         {[]byte("garbage"), func(z *Reader) { io.Copy(io.Discard, z) }},
		"cut":             {large[:5], func(z *Reader) { io.Copy(io.Discard, z) }},
	} {
		t.Run(name, func(t *testing.T) {
			window := NewWindow()
			first := NewReader(t.Context(), bytes.NewReader(slices.Concat(small, large, c.behind)), window)
			defer first.Close()
			if _, err := io.ReadFull(first, make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			second := NewReader(t.Context(), bytes.NewReader(slices.Concat(small, large)), window)
			defer second.Close()
			if _, err := io.ReadFull(second, make([]byte, 1)); err != nil {
				t.Fatal(err) // which needs no window
			}
			read := make(chan error)
			go func() {
				_, err := io.ReadFull(second, make([]byte, 1))
				read <- err
			}()
			select {
			case err := <-read:
				t.Fatalf("read while the other has the window: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			c.finish(first)
			if err := <-read; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWaitEnds ends the wait for the window.
func TestWaitEnds(t *testing.T) {
	window := NewWindow()
	held, err := window.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer window.give(held)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	time.AfterFunc(10*time.Millisecond, func() { cancel(cause) })
	z := NewReader(ctx, bytes.NewReader(frame(window9M, 0, "x")), window)
	for range 2 {
		if n, err := z.Read(make([]byte, 9)); n > 0 || err != cause {
			t.Errorf("%d, %v", n, err)
		}
	}
	z.Close()
	if n, err := z.Read(make([]byte, 9)); n > 0 || err != fs.ErrClosed {
		t.Errorf("after Close: %d, %v", n, err)
	}
	if err := z.Close(); err != nil {
		t.Error(err)
	}
}

// TestInputFails expects the error of the input, behind all that came before it.
func TestInputFails(t *testing.T) {
	cause := errors.New("connection reset")
	data := slices.Concat(frame(window9M, 0, "abc"), frame(window1K, 0, "def"))
	for n := range len(data) + 1 {
		once := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(cause))
		reference.Reset(once)
		want, werr := io.ReadAll(reference)
		z := NewReader(t.Context(), io.MultiReader(bytes.NewReader(data[:n]), &errOnce{cause}), nil)
		got, err := io.ReadAll(z)
		if err != cause || werr != cause || !bytes.Equal(got, want) {
			t.Errorf("after %d bytes: %q, %v; want %q, %v", n, got, err, want, werr)
		}
		z.Close()
	}
}

// errOnce fails, and ends if it is read again.
type errOnce struct{ err error }

func (e *errOnce) Read([]byte) (int, error) {
	err := e.err
	e.err = io.EOF
	return 0, err
}

// TestNoMoreIsRead has what has come decoded, though what follows does not come.
func TestNoMoreIsRead(t *testing.T) {
	for _, window := range []byte{window1K, window9M} {
		in, out := io.Pipe()
		z := NewReader(t.Context(), in, nil)
		go func() {
			out.Write(frame(window, 0, "abc"))
			out.Write(frame(window^1, 0, "def")[:13])
		}()
		got := make([]byte, 6)
		if _, err := io.ReadFull(z, got); err != nil || string(got) != "abcdef" {
			t.Errorf("%q, %v", got, err)
		}
		in.Close()
		z.Close()
	}
}

// TestMemory counts what a stream takes whose windows grow, and that of another reader.
func TestMemory(t *testing.T) {
	var data []byte
	for w := byte(window9M); w <= window128M; w++ {
		data = append(data, frame(w, 100, "x")...)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	window := NewWindow()
	for range 2 {
		z := NewReader(t.Context(), bytes.NewReader(data), window)
		if _, err := io.Copy(io.Discard, z); err != nil {
			t.Fatal(err)
		}
		z.Close()
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n < MaxWindow || n > MaxWindow+2<<20 {
		t.Errorf("%d bytes", n)
	}
}

// TestManyFrames reads what has no content at all.
func TestManyFrames(t *testing.T) {
	const n = 100_000
	both := slices.Concat(frame(window1K, 0, ""), frame(window128M, 0, ""))
	for name, unit := range map[string][]byte{"small": both[:len(both)/2], "large": both[len(both)/2:], "both": both, "skippable": skippable(0)} {
		start := time.Now()
		z := NewReader(t.Context(), bytes.NewReader(bytes.Repeat(unit, n)), shared)
		if got, err := io.Copy(io.Discard, z); got > 0 || err != nil {
			t.Errorf("%s: %d, %v", name, got, err)
		}
		z.Close()
		t.Logf("%s: %v each", name, time.Since(start)/n)
	}
}

// listError is an error that Go cannot compare.
type listError []string

func (e listError) Error() string { return strings.Join(e, ", ") }

// TestInputFailsWithAnything: an error of the input comes through, whatever its type.
func TestInputFailsWithAnything(t *testing.T) {
	data := frame(window8M, 3, "raw")
	for _, n := range []int{0, 5, 8, len(data) - 1} {
		z := NewReader(context.Background(), io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(listError{"broken"})), nil)
		_, err := io.Copy(io.Discard, z)
		if e := (listError)(nil); !errors.As(err, &e) || errors.As(err, new(*Error)) {
			t.Errorf("after %d bytes: %v", n, err)
		}
		z.Close()
	}
}
