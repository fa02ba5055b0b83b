package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"ocipipe/lib/reftest"
)

func TestRoundTrip(t *testing.T) {
	list, props, text := sample(t)
	if !strings.HasPrefix(text, head+"#:diff-id=sha256:00\n#:layers=a\\075b\n. type=dir") {
		t.Errorf("stream is %q", text)
	}
	readers := map[string]func(io.Reader) io.Reader{
		"plain":    func(r io.Reader) io.Reader { return r },
		"one byte": iotest.OneByteReader,
		"half":     iotest.HalfReader,
		"data err": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			back, p, err := readAll(wrap(strings.NewReader(text)), ReaderOptions{RequireCRC: true, NeedData: true})
			if err != nil {
				t.Fatal(err)
			}
			same(t, back, list)
			if !reflect.DeepEqual(p, props) {
				t.Errorf("properties are %v", p)
			}
			again, err := writeAll(back, WriterOptions{Props: p})
			if err != nil || again != text {
				t.Errorf("written again: %v\n%s\n%s", err, again, text)
			}
		})
	}
}

// TestRoundTripRandom is reader(writer(x)) == x.
func TestRoundTripRandom(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var list []got
		for range rnd.IntN(40) {
			list = append(list, randomEntry(rnd))
		}
		text, err := writeAll(list, WriterOptions{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		back, _, err := readAll(strings.NewReader(text), ReaderOptions{RequireCRC: true})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		same(t, back, list)
	}
}

// TestReaderTruncated cuts a stream at every byte.
func TestReaderTruncated(t *testing.T) {
	_, _, text := sample(t)
	for n := 0; n < len(text); n += step() {
		_, _, err := readAll(strings.NewReader(text[:n]), ReaderOptions{})
		if err == nil {
			t.Fatalf("cut at %d of %d: no error", n, len(text))
		}
		if n >= len(head) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
		cut := text[:n] + "\n#abort message=tool:\\040it\\040broke\n"
		_, _, err = readAll(strings.NewReader(cut), ReaderOptions{})
		var cause *AbortError
		if !errors.As(err, &cause) || cause.Message != "tool: it broke" {
			t.Errorf("cut at %d, with an abort line: %v", n, err)
		}
	}
}

// TestReaderFlipped changes every byte of a stream with a CRC.
func TestReaderFlipped(t *testing.T) {
	want, props, text := sample(t)
	for i := 0; i < len(text); i += step() {
		mask := byte(1) << (i % 8)
		b := []byte(text)
		b[i] ^= mask
		list, p, err := readAll(bytes.NewReader(b), ReaderOptions{})
		if err == nil && (!reflect.DeepEqual(list, want) || !reflect.DeepEqual(p, props)) {
			t.Errorf("byte %d (%q) flipped by %#x: accepted with another meaning", i, text[i], mask)
		}
	}
}

func TestAbortLine(t *testing.T) {
	open := head + "./a type=file" + attrs + " size=100\nsome"
	line := "\n#abort message=why\n"
	for _, c := range []struct {
		name, in string
		cause    bool
	}{
		{"in a content", open + line, true},
		{"where content is missing by a byte", head + "./a type=file" + attrs + " size=5\nsome" + line, true},
		{"in a record", head + "./a type=fi" + line, true},
		{"behind a record", head + root + line, true},
		{"on a line of its own", head + root + line[1:], true},
		{"behind the end line", head + end(0, 0) + line, true},
		{"long message", head + "\n#abort message=" + strings.Repeat("m", maxAbort) + "\n", true},
		{"too long message", head + "\n#abort message=" + strings.Repeat("m", maxAbort+1) + "\n", false},
		{"not at the end", open + line + "x\n", false},
		{"not at the end, content", open + line + strings.Repeat("x", 100-len(line)-4), false},
		{"without line feed", open + line[:len(line)-1], false},
		{"raw message", open + "\n#abort message=why not\n", false},
		{"two", open + "\n#abort message=first\n" + line, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
				_, _, err := readAll(wrap(strings.NewReader(c.in)), ReaderOptions{})
				var cause *AbortError
				if err == nil || errors.As(err, &cause) != c.cause {
					t.Errorf("error is %v", err)
				}
				if cause != nil && strings.Trim(cause.Message, "m") != "" && cause.Message != "why" {
					t.Errorf("cause is %q", cause.Message)
				}
			}
		})
	}
}

// TestAbortAtBufferEdges has an abort line where the buffer moves.
func TestAbortAtBufferEdges(t *testing.T) {
	reftest.OneThread(t)
	line := "\n#abort message=" + strings.Repeat("m", maxAbort) + "\n"
	whole := len(newInput(nil).buf)
	for _, size := range []int{chunk, whole - chunk, whole - chunk/2, whole, 3 << 20} {
		for _, d := range []int{-len(line) - 1, -len(line), -len(line) + 1, -len(line) / 2, -2, -1, 0, 1} {
			in := head + "./a type=file" + attrs + " size=99999999\n"
			in += strings.Repeat("x", size+d-len(in)) + line
			for _, wrap := range []func(io.Reader) io.Reader{asItIs, iotest.HalfReader, small} {
				_, _, err := readAll(wrap(strings.NewReader(in)), ReaderOptions{})
				_, _, lent := readLending(wrap(strings.NewReader(in)), ReaderOptions{})
				var cause *AbortError
				if !errors.As(err, &cause) || !errors.As(lent, &cause) {
					t.Fatalf("at %d%+d: %v, into lent memory: %v", size, d, err, lent)
				}
				cut := wrap(strings.NewReader(in[:len(in)-1]))
				_, _, lent = readLending(cut, ReaderOptions{})
				if want := fmt.Sprintf("tree stream is cut short at byte %d", len(in)-1); lent == nil || lent.Error() != want {
					t.Fatalf("at %d%+d: %v, expected: %s", size, d, lent, want)
				}
			}
		}
	}
}

func asItIs(r io.Reader) io.Reader { return r }

// small returns a reader of a few bytes at a time, fewer than an abort line may have.
func small(r io.Reader) io.Reader { return &smallReads{r: r} }

type smallReads struct {
	r io.Reader
	n int
}

func (s *smallReads) Read(p []byte) (int, error) {
	s.n++
	return s.r.Read(p[:min(len(p), 1+s.n*37%3000)])
}

// TestBufferEdges has lines and contents about as large as the buffers.
func TestBufferEdges(t *testing.T) {
	reftest.OneThread(t)
	whole := len(newInput(nil).buf)
	for _, size := range []int{abortWindow, minWrite, chunk, bufSize, MaxLine, whole, 2 * whole} {
		for _, d := range []int{-300, -2, -1, 0, 1, 2} {
			data := strings.Repeat("0123456789abcde", (size+d)/15+1)[:size+d]
			list := []got{
				{Entry: Entry{Path: "a", Type: File, Size: int64(len(data))}, data: data},
				{Entry: Entry{Path: "b", Type: File, Size: 3}, data: "end"},
			}
			if n := size + d - 70; n < MaxLine-70 {
				list = append(list, got{Entry: Entry{Path: "c", Type: Fifo, Extra: &Keywords{{"x-a", strings.Repeat("y", n)}}}})
			}
			list = append(list, got{Entry: Entry{Path: "d", Type: File, Size: int64(len(data))}, data: data})
			text, err := writeAll(list, WriterOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader, small} {
				for _, read := range []func(io.Reader, ReaderOptions) ([]got, []Property, error){readAll, readLending} {
					back, _, err := read(wrap(strings.NewReader(text)), ReaderOptions{RequireCRC: true})
					if err != nil {
						t.Fatalf("%d%+d: %v", size, d, err)
					}
					same(t, back, list)
				}
			}
		}
	}
}

// TestLongestLine has lines of the greatest length and one byte more.
func TestLongestLine(t *testing.T) {
	for d := range 2 {
		line := "./a type=fifo" + attrs + " x-a="
		line += strings.Repeat("x", MaxLine-1-len(line)+d) + "\n"
		_, _, err := readAll(iotest.HalfReader(strings.NewReader(head+line+root+end(2, 0))), ReaderOptions{})
		if (err == nil) != (d == 0) {
			t.Errorf("line of %d bytes: %v", len(line), err)
		}
	}
}

// TestContentSkipped reads a part of a content, or nothing, and goes on.
func TestContentSkipped(t *testing.T) {
	data := strings.Repeat("x", 3<<20)
	in, err := writeAll([]got{
		{Entry: Entry{Path: "a", Type: File, Size: int64(len(data))}, data: data},
		{Entry: Entry{Path: "b", Type: File, Size: 1}, data: "1"},
	}, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 1, 1 << 20} {
		s, err := NewReader(strings.NewReader(in), ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			full := errors.New("full")
			if _, err := e.Content.WriteTo(&limitedWriter{n, full}); err != full {
				t.Errorf("error is %v", err)
			}
			if _, err := e.Content.WriteTo(io.Discard); err == nil {
				t.Error("content was read twice")
			}
		}
		for range 2 {
			e, err = s.Next()
		}
		if err != io.EOF {
			t.Errorf("error is %v", err)
		}
		if _, err := s.Next(); err != io.EOF {
			t.Errorf("error behind the end is %v", err)
		}
	}
}

// limitedWriter fails with err once n bytes have been written.
type limitedWriter struct {
	n   int64
	err error
}

func (w *limitedWriter) Write(b []byte) (int, error) {
	if w.n -= int64(len(b)); w.n < 0 {
		return 0, w.err
	}
	return len(b), nil
}

// TestReaderErrorBelow has the reader below fail at every byte.
func TestReaderErrorBelow(t *testing.T) {
	_, _, text := sample(t)
	broken := errors.New("broken")
	for n := 0; n <= len(text); n += step() {
		r := io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(broken))
		if _, _, err := readAll(r, ReaderOptions{}); !errors.Is(err, broken) {
			t.Fatalf("at %d: %v", n, err)
		}
	}
}

// stalled never has anything to read.
type stalled struct{}

func (stalled) Read([]byte) (int, error) { return 0, nil }

func TestReaderStalled(t *testing.T) {
	for _, in := range []string{"", head, head + "./a type=fi\n"} {
		r := io.MultiReader(strings.NewReader(in), stalled{})
		if _, _, err := readAll(r, ReaderOptions{}); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

// TestReaderAllocations counts what a record costs.
func TestReaderAllocations(t *testing.T) {
	const n = 1000
	in := benchStream(n, 10)
	perRun := testing.AllocsPerRun(10, func() {
		s, err := NewReader(bytes.NewReader(in), ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = s.Next()
		}
		if err != io.EOF {
			t.Fatal(err)
		}
	})
	if perRun > n+10 { // the path of each, and what NewReader needs
		t.Errorf("%.0f allocations for %d records", perRun, n)
	}
}
