package gunzip

import (
	"bytes"
	stdgzip "compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"ocipipe/lib/reftest"
)

// benchInput is the file that OCIPIPE_GZIP names, or 32 MiB of which some is like
// source text, some like records and some like machine code, which compress to a
// third as layers do.
func benchInput(b *testing.B) []byte {
	if name := os.Getenv("OCIPIPE_GZIP"); name != "" {
		z, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		return z
	}
	rng := rand.New(rand.NewPCG(5, 6))
	words := make([][]byte, 20_000)
	for i := range words {
		for range 2 + rng.IntN(9) {
			words[i] = append(words[i], "etaoinshrdlucmfwypvbgkjqxz_"[min(26, int(rng.ExpFloat64()*6))])
		}
	}
	usual := rand.NewZipf(rng, 1.1, 8, uint64(len(words)-1))
	var data []byte
	for len(data) < 32<<20 {
		switch rng.IntN(3) {
		case 0:
			for range 8000 {
				data = append(append(data, words[usual.Uint64()]...), " \n(),;.="[min(7, int(rng.ExpFloat64()))])
			}
		case 1:
			at := rng.Uint32()
			for range 3000 {
				at += rng.Uint32N(64)
				data = binary.LittleEndian.AppendUint32(data, at)
				data = binary.LittleEndian.AppendUint32(data, rng.Uint32N(1<<12))
			}
		default:
			for range 12_000 {
				data = append(data, byte(rng.ExpFloat64()*20), byte(usual.Uint64()), byte(usual.Uint64()>>3))
			}
		}
	}
	return compress(b, data, 6)
}

// inflate runs a benchmark of a decompressor.
func inflate(b *testing.B, z []byte, open func(r io.Reader) (io.Reader, error)) {
	before := cpu()
	for b.Loop() {
		r, err := open(bytes.NewReader(z))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N), "cpu-s/op")
}

// cpu is the processor time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkInflate(b *testing.B) {
	z := benchInput(b)
	for _, c := range []struct {
		name string
		open func(r io.Reader) (io.Reader, error)
	}{
		{"ocipipe", func(r io.Reader) (io.Reader, error) { return NewReader(r), nil }},
		{"klauspost", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"compress/gzip", func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) }},
	} {
		b.Run(c.name, func(b *testing.B) { inflate(b, z, c.open) })
	}
	b.Run("igzip", func(b *testing.B) { inflateBy(b, z, "igzip", "-d", "-c") })
}

// inflateBy runs a benchmark of a command that decompresses the file in its last argument.
func inflateBy(b *testing.B, z []byte, tool string, args ...string) {
	reftest.Need(b, tool)
	file := filepath.Join(b.TempDir(), "z.gz")
	if err := os.WriteFile(file, z, 0o600); err != nil {
		b.Fatal(err)
	}
	size, err := io.Copy(io.Discard, NewReader(bytes.NewReader(z)))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	var spent time.Duration
	for b.Loop() {
		cmd := reftest.Command(b, tool, append(args, file)...)
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	b.ReportMetric(spent.Seconds()/float64(b.N), "cpu-s/op")
}

// BenchmarkAhead is to be run with -cpu 1,2,4,8.
func BenchmarkAhead(b *testing.B) {
	z := benchInput(b)
	for _, workers := range []int{0, 1, 2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			inflate(b, z, func(r io.Reader) (io.Reader, error) {
				z := NewReader(r)
				z.Ahead(workers)
				return z, nil
			})
		})
	}
}
