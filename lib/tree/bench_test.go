package tree

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchStream is a stream of n files whose lines are 200 bytes long and whose
// contents have size bytes.
func benchStream(n, size int) []byte {
	var b bytes.Buffer
	w := NewWriter(&b, WriterOptions{})
	for e := range benchEntries(n, size) {
		if err := w.Add(e); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func benchEntries(n, size int) func(yield func(*Entry) bool) {
	content := fixed(strings.Repeat("x", size))
	return func(yield func(*Entry) bool) {
		for i := range n {
			e := &Entry{
				Path: fmt.Sprintf("usr/lib/node_modules/package-%05d/", i),
				Type: File, Mode: 0o644, UID: 1000, GID: 1000,
				Time: Time{1700000000 + int64(i), 123456789},
				Size: int64(size),
			}
			if size > 0 {
				e.Content = content
			}
			e.Path += strings.Repeat("n", 200-len("\n")-len(appendRecord(nil, e, Inline, "")))
			if !yield(e) {
				return
			}
		}
	}
}

// fixed is a content that lies in memory.
type fixed []byte

func (c fixed) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}

var benchSizes = []int{0, 100, 4 << 10, 64 << 10}

func BenchmarkReader(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			n := min(100_000, 64<<20/(size+200))
			in := benchStream(n, size)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(in), ReaderOptions{})
				if err != nil {
					b.Fatal(err)
				}
				for {
					e, err := r.Next()
					if err == io.EOF {
						break
					}
					if err != nil {
						b.Fatal(err)
					}
					if e.Content == nil {
						continue
					}
					if _, err := e.Content.WriteTo(io.Discard); err != nil {
						b.Fatal(err)
					}
				}
			}
			report(b, n, before)
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			n := min(100_000, 64<<20/(size+200))
			var entries []*Entry
			for e := range benchEntries(n, size) {
				entries = append(entries, e)
			}
			b.SetBytes(int64(n * (200 + size + 1)))
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				w := NewWriter(io.Discard, WriterOptions{})
				for _, e := range entries {
					if err := w.Add(e); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			report(b, n, before)
		})
	}
}

// cpu is the processor time of the process so far, which a busy machine
// distorts less than the time that passed.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// report adds what the speed of the stream is stated in.
func report(b *testing.B, perLoop int, before time.Duration) {
	n := float64(perLoop) * float64(b.N)
	b.ReportMetric(n/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(n/(cpu()-before).Seconds(), "records/cpu-s")
}
