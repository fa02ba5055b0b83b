package lib_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"ocipipe/lib/compression"
	"ocipipe/lib/erofs"
	erofsread "ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
	"ocipipe/lib/ext4"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/layer"
	"ocipipe/lib/reftest"
	"ocipipe/lib/tree"
)

// This file holds every Sink to what package tree says of Add, Close and Abort: a tree
// is published whole or not at all, whatever comes in which order.

// sinks are what can take the sample, each with a way to tell whether an output is
// complete.
type sinks struct {
	name string
	open func(t *testing.T, out *os.File) tree.Sink
	read func(out []byte) error // nil if it is complete
	bad  *tree.Entry            // makes Add fail
}

var errBad = errors.New("content fails")

// badContent writes some bytes and fails.
type badContent struct{}

func (badContent) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, 5000))
	return int64(n), errors.Join(err, errBad)
}

// short writes less than it should.
var short = tree.Bytes(make([]byte, 5000))

func allSinks() (all []sinks) {
	bad := &tree.Entry{Path: "bad", Type: tree.File, Mode: 0o644, Size: 10_000, Content: badContent{}}
	long := &tree.Entry{Path: "bad", Type: tree.Dir}
	for _, name := range strings.Fields("user.a user.b user.c user.d user.e user.f user.g user.h user.i user.j user.k user.l user.m") {
		long.Xattrs = append(long.Xattrs, tree.Xattr{Name: name, Value: strings.Repeat("v", tree.MaxValue)})
	}
	stream := func(opts tree.WriterOptions) func(*testing.T, *os.File) tree.Sink {
		return func(_ *testing.T, out *os.File) tree.Sink { return tree.NewWriter(out, opts) }
	}
	archive := func(opts layer.WriterOptions) func(*testing.T, *os.File) tree.Sink {
		return func(t *testing.T, out *os.File) tree.Sink {
			return must[*layer.Writer](t)(layer.NewWriter(out, opts))
		}
	}
	image := func(opts erofs.Options) func(*testing.T, *os.File) tree.Sink {
		return func(t *testing.T, out *os.File) tree.Sink {
			opts.SpoolDir = t.TempDir()
			return must[*erofs.Writer](t)(erofs.NewWriter(t.Context(), out, opts))
		}
	}
	disk := func(opts ext4.Options) func(*testing.T, *os.File) tree.Sink {
		return func(t *testing.T, out *os.File) tree.Sink {
			return must[*ext4.Writer](t)(ext4.NewWriter(t.Context(), out, opts))
		}
	}
	return []sinks{
		{"tree stream", stream(tree.WriterOptions{}), readStream, bad},
		{"tree stream without data", stream(tree.WriterOptions{Data: tree.None}), endLine, long},
		{"tree stream of digests", stream(tree.WriterOptions{Data: tree.None, Digest: true}), endLine, bad},
		{"portable mtree", stream(tree.WriterOptions{Data: tree.NonePortable, Digest: true}), endLine, bad},
		{"tar", archive(layer.WriterOptions{}), readTar, bad},
		{"tar of a layer", archive(layer.WriterOptions{Layer: true}), readTar, bad},
		{"tar, gzip", archive(layer.WriterOptions{Compression: compression.Gzip}), readTar, bad},
		{"tar, zstd", archive(layer.WriterOptions{Compression: compression.Zstd}), readTar, bad},
		{"EROFS", image(erofs.Options{}), readEROFS, bad},
		{"EROFS, checked", image(erofs.Options{Check: true}), readEROFS, bad},
		{"EROFS, compressed", image(erofs.Options{Compression: &erofs.Compression{Method: erofs.Method{Algorithm: z.LZ4}, Workers: 2}}), readEROFS, bad},
		{"EROFS, compressed and checked", image(erofs.Options{Check: true, Compression: &erofs.Compression{Method: erofs.Method{Algorithm: z.Zstd}, Workers: 2}}), readEROFS, bad},
		{"EROFS of a layer", image(erofs.Options{Layer: true}), readEROFS, bad},
		{"ext4", disk(ext4.Options{}), readExt4, bad},
		{"ext4, checked", disk(ext4.Options{Check: true}), readExt4, bad},
		{"ext4, upper", disk(ext4.Options{Upper: true, Size: 64 << 20}), readExt4, bad},
	}
}

// drain reads a source to its end.
func drain(src tree.Source, err error) error {
	for err == nil {
		_, err = src.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func readStream(out []byte) error {
	r, err := tree.NewReader(bytes.NewReader(out), tree.ReaderOptions{})
	return drain(r, err)
}

// endLine looks for the last line, which the forms for other tools have too.
func endLine(out []byte) error {
	lines := bytes.Split(bytes.TrimSuffix(out, []byte("\n")), []byte("\n"))
	if !bytes.HasPrefix(lines[len(lines)-1], []byte("#end ")) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func readTar(out []byte) error {
	r, err := layer.NewReader(bytes.NewReader(out), layer.Options{AllowUnterminated: true})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := drain(r, nil); err != nil {
		return err
	}
	if len(out) == 0 {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func readEROFS(out []byte) error {
	img, err := erofsread.Open(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		return err
	}
	return drain(img.Source(), nil)
}

func readExt4(out []byte) error {
	img, err := read.Open(bytes.NewReader(out), int64(len(out)))
	if err != nil {
		return err
	}
	return drain(img.Source(), nil)
}

// under is a sink with its output.
type under struct {
	tree.Sink
	s   sinks
	out *os.File
}

func (s sinks) start(t *testing.T) *under {
	t.Helper()
	out, _ := imageFile(t, func(*os.File) {})
	return s.on(t, out)
}

// on starts the sink on out. In the end of the test nothing of it may run or be open.
func (s sinks) on(t *testing.T, out *os.File) *under {
	t.Helper()
	running := reftest.RunningNow(t)
	t.Cleanup(func() { running.Left(t) })
	return &under{s.open(t, out), s, out}
}

// add adds the sample.
func (u *under) add(t *testing.T) {
	t.Helper()
	for _, e := range sample() {
		if err := u.Add(e); err != nil {
			t.Fatal(err)
		}
	}
}

func (u *under) bytes(t *testing.T) []byte {
	t.Helper()
	return must[[]byte](t)(os.ReadFile(u.out.Name()))
}

// ended checks that the sink says cause to whatever comes, and that its output is
// incomplete and stays as it is.
func (u *under) ended(t *testing.T, cause error) {
	t.Helper()
	size := -1
	for i := range 2 {
		if err := u.Close(); !errors.Is(err, cause) {
			t.Errorf("close %d: %v, expected %v", i, err, cause)
		}
		out := u.bytes(t)
		if u.s.read(out) == nil {
			t.Errorf("close %d: the output is complete", i)
		}
		if size >= 0 && len(out) != size {
			t.Errorf("close %d: %d bytes became %d", i, size, len(out))
		}
		size = len(out)
		if err := u.Add(&tree.Entry{Path: "later", Type: tree.Dir, Mode: 0o755}); !errors.Is(err, cause) {
			t.Errorf("add after close %d: %v, expected %v", i, err, cause)
		}
		u.Abort(errors.New("another cause"))
	}
}

func TestSinks(t *testing.T) {
	cause := errors.New("the cause")
	for _, s := range allSinks() {
		t.Run(s.name, func(t *testing.T) {
			t.Run("complete", func(t *testing.T) {
				u := s.start(t)
				u.add(t)
				for i := range 3 {
					if err := u.Close(); err != nil {
						t.Fatalf("close %d: %v", i, err)
					}
				}
				before := u.bytes(t)
				if err := s.read(before); err != nil {
					t.Fatalf("incomplete: %v", err)
				}
				u.Abort(cause)
				if err := u.Add(&tree.Entry{Path: "later", Type: tree.Dir}); err == nil {
					t.Error("takes an entry after Close")
				}
				if err := u.Close(); err != nil || !bytes.Equal(u.bytes(t), before) {
					t.Errorf("abort after Close: %v, %d bytes became %d", err, len(before), len(u.bytes(t)))
				}
			})
			t.Run("aborted", func(t *testing.T) {
				u := s.start(t)
				u.add(t)
				u.Abort(cause)
				u.ended(t, cause)
			})
			t.Run("aborted at once", func(t *testing.T) {
				u := s.start(t)
				u.Abort(cause)
				u.ended(t, cause)
			})
			t.Run("failed", func(t *testing.T) {
				u := s.start(t)
				u.add(t)
				err := u.Add(s.bad)
				if err == nil {
					t.Fatal("no error")
				}
				u.ended(t, err)
			})
			t.Run("short content", func(t *testing.T) {
				if s.bad.Content == nil {
					t.Skip("reads no content")
				}
				for _, extents := range [][]tree.Extent{nil, {{Off: 0, Len: 4096}, {Off: 8192, Len: 1808}}} {
					u := s.start(t)
					u.add(t)
					err := u.Add(&tree.Entry{Path: "bad", Type: tree.File, Mode: 0o644, Size: 10_000, Extents: extents, Content: short})
					if err == nil {
						t.Fatalf("no error, extents %v", extents)
					}
					u.ended(t, err)
				}
			})
			t.Run("failed and aborted", func(t *testing.T) {
				u := s.start(t)
				err := u.Add(s.bad)
				u.Abort(cause)
				u.ended(t, err)
			})
			t.Run("source fails", func(t *testing.T) {
				u := s.start(t)
				src := &failingSource{sample(), cause}
				if err := tree.Copy(context.Background(), u, src); err != cause {
					t.Errorf("copy: %v", err)
				}
				u.ended(t, cause)
			})
			t.Run("stopped", func(t *testing.T) {
				u := s.start(t)
				ctx, stop := context.WithCancelCause(context.Background())
				stop(cause)
				src := &failingSource{sample(), io.EOF}
				if err := tree.Copy(ctx, u, src); err != cause || len(src.list) != len(sample()) {
					t.Errorf("copy: %v, %d entries left", err, len(src.list))
				}
				u.ended(t, cause)
			})
			t.Run("full", func(t *testing.T) {
				full := must[*os.File](t)(os.OpenFile("/dev/full", os.O_RDWR, 0))
				t.Cleanup(func() { full.Close() })
				u := s.on(t, full)
				for _, end := range []func(){func() {}, func() { u.Abort(cause) }} {
					err := tree.Copy(context.Background(), u, &failingSource{sample(), io.EOF})
					if !errors.Is(err, syscall.ENOSPC) {
						t.Errorf("copy: %v", err)
					}
					end()
					if again := u.Close(); !errors.Is(again, syscall.ENOSPC) {
						t.Errorf("close: %v", again)
					}
				}
			})
			t.Run("copied", func(t *testing.T) {
				u := s.start(t)
				if err := tree.Copy(context.Background(), u, &failingSource{sample(), io.EOF}); err != nil {
					t.Fatal(err)
				}
				if err := s.read(u.bytes(t)); err != nil {
					t.Errorf("incomplete: %v", err)
				}
			})
		})
	}
}

// readOnce ends a context when it is read, as the check of an image does that was written.
type readOnce struct {
	*os.File
	stop context.CancelCauseFunc
}

func (r readOnce) ReadAt(p []byte, off int64) (int, error) {
	r.stop(errBad)
	return r.File.ReadAt(p, off)
}

// TestFailedCheck: what is found wrong when it is read back is incomplete too.
func TestFailedCheck(t *testing.T) {
	for name, c := range map[string]struct {
		open func(ctx context.Context, out readOnce) (tree.Sink, error)
		read func([]byte) error
	}{
		"EROFS": {func(ctx context.Context, out readOnce) (tree.Sink, error) {
			return erofs.NewWriter(ctx, out, erofs.Options{Check: true})
		}, readEROFS},
		"ext4": {func(ctx context.Context, out readOnce) (tree.Sink, error) {
			return ext4.NewWriter(ctx, out, ext4.Options{Check: true})
		}, readExt4},
	} {
		t.Run(name, func(t *testing.T) {
			out, _ := imageFile(t, func(*os.File) {})
			ctx, stop := context.WithCancelCause(t.Context())
			sink, err := c.open(ctx, readOnce{out, stop})
			if err != nil {
				t.Fatal(err)
			}
			u := &under{sink, sinks{read: c.read}, out}
			u.add(t)
			u.ended(t, errBad)
		})
	}
}

// failingSource yields a list and ends with err.
type failingSource struct {
	list []*tree.Entry
	err  error
}

func (f *failingSource) Next() (*tree.Entry, error) {
	if len(f.list) == 0 {
		return nil, f.err
	}
	e := f.list[0]
	f.list = f.list[1:]
	return e, nil
}

func (*failingSource) Close() error { return nil }
