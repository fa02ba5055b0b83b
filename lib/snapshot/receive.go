package snapshot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/form"
	"ocipipe/lib/snapshot/form06"
	"ocipipe/lib/snapshot/imagefiles"
	"ocipipe/lib/snapshot/integrity"
	"ocipipe/lib/snapshot/strictjson"
)

// ReadOptions say how an archive is read.
type ReadOptions struct {
	MaxMembers int   // 0 stands for archive.DefaultMaxMembers
	MaxSize    int64 // of all files together, holes included; 0 stands for archive.DefaultMaxSize

	// Warn takes messages to the user; nil drops them.
	Warn func(msg string)
}

func (o *ReadOptions) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(fmt.Sprintf(format, args...))
	}
}

// store takes the files of an archive.
type store interface {
	// create makes the file for a member, of the given size, all hole.
	create(name string, size int64) (storeFile, error)
	// open opens a file that was created.
	open(name string) (*os.File, error)
}

type storeFile interface {
	io.WriterAt
	io.Closer
}

// receiver reads an archive.
type receiver struct {
	ctx      context.Context
	opts     ReadOptions
	in       *archive.Reader
	store    store        // nil if nothing is kept
	quick    bool         // do not compute integrity
	grammar  form.Grammar // nil as long as the form is not known
	meta     int64        // bytes of members that are kept in memory
	values   int          // of JSON in them
	dirs     []string
	members  []*form.Received
	digests  map[string]computed // of disks, by member
	image    *imagefiles.Image   // nil if the archive has none
	metadata *form.Received      // of the image
}

// computed is the digest of a disk, by an algorithm.
type computed struct{ algorithm, digest string }

// receive reads an archive to its end, and checks all of it.
func (r *receiver) receive(in io.Reader) (*form.Contents, error) {
	var err error
	r.in, err = archive.NewReader(r.ctx, in, archive.ReaderOptions{MaxMembers: r.opts.MaxMembers, MaxSize: r.opts.MaxSize})
	if err != nil {
		return nil, err
	}
	defer r.in.Close()
	r.digests = map[string]computed{}
	for {
		m, err := r.in.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = r.member(m)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.grammar == nil {
		return nil, fault.Corrupt("no snapshot in the archive")
	}
	for _, dir := range r.dirs {
		if err := r.grammar.CheckDir(dir); err != nil {
			return nil, err
		}
	}
	c, err := r.grammar.Finish(r.members, r.in.Ended())
	if err != nil {
		return nil, err
	}
	if err := r.countCopies(c); err != nil {
		return nil, err
	}
	if r.image, err = r.checkImage(c); err != nil {
		return nil, err
	}
	return c, r.checkDisks(c)
}

// countCopies counts the disks that more than one snapshot has. The archive has them once,
// but each directory gets its own.
func (r *receiver) countCopies(c *form.Contents) error {
	if r.store == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, s := range c.Snapshots {
		for i := range s.Disks {
			member := s.Member(s.Disks[i].Name)
			if seen[member] {
				if err := r.in.Count(member, s.Disks[i].Size); err != nil {
					return err
				}
			}
			seen[member] = true
		}
	}
	return nil
}

func (r *receiver) member(m *archive.Member) error {
	if m.Dir {
		r.dirs = append(r.dirs, m.Name)
		return nil
	}
	if r.grammar == nil {
		r.grammar = grammarOf(m.Name, r.check())
	}
	names := r.grammar
	if names == nil {
		names = &form06.Grammar{} // a name that all forms have
	}
	role, kind, err := names.Classify(m)
	if err != nil {
		return err
	}
	got := &form.Received{Member: *m, Role: role, Kind: kind}
	if role == form.Meta || role == form.ImageMeta {
		err = r.small(got)
	} else {
		err = r.bulk(got)
	}
	if err != nil {
		return named(m.Name, err)
	}
	r.members = append(r.members, got)
	return nil
}

// named adds the name of a member, or of a file, to an error, unless that has it, or the name of
// another file, such as the output.
func named(name string, err error) error {
	if strings.HasPrefix(err.Error(), name+": ") || errors.As(err, new(*fs.PathError)) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// maxMeta is how large all small members together may be, in bytes.
const maxMeta = 64 << 20

// small reads a small member.
func (r *receiver) small(got *form.Received) error {
	switch {
	case got.Size > form.MaxMeta:
		return fault.Unsupported("longer than %d bytes", form.MaxMeta)
	case got.Size > maxMeta-r.meta:
		return fault.Unsupported("descriptors and labels of more than %d bytes together", maxMeta)
	case got.Runs != nil:
		return fault.Unsupported("is stored as a sparse file")
	}
	r.meta += got.Size
	got.Data = make([]byte, got.Size)
	if _, err := io.ReadFull(r.in, got.Data); err != nil {
		return err
	}
	got.SHA256 = digest.FromBytes(got.Data)
	sum := archive.NewSum(got.Kind, &got.Member)
	sum.Write(got.Data)
	got.Transport = sum.Digest()
	if got.Role == form.ImageMeta {
		return nil
	}
	if r.values += strictjson.CountValues(got.Data); r.values > strictjson.MaxValues {
		return fault.Unsupported("JSON of more than %d values together", strictjson.MaxValues)
	}
	if r.grammar == nil {
		r.grammar = grammarOfInventory(got.Data, r.check())
	}
	return r.grammar.Take(got.Name, got.Data)
}

// bulk reads a large member into the store.
func (r *receiver) bulk(got *form.Received) (err error) {
	w, err := r.outputs(got)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.copy(r.ctx, r.in, got); err != nil {
		return err
	}
	got.Transport = w.sum.Digest()
	if w.sha != nil {
		got.SHA256 = digest.NewDigest(digest.SHA256, w.sha)
	}
	if w.hasher != nil {
		sum, err := w.hasher.Digest()
		if err != nil {
			return err
		}
		r.digests[got.Name] = computed{w.algorithm, sum}
	}
	return nil
}

// outputs opens what takes the data of got.
func (r *receiver) outputs(got *form.Received) (*outputs, error) {
	w := &outputs{sum: archive.NewSum(got.Kind, &got.Member), disk: got.Role == form.Bulk && !r.quick, name: got.Name}
	if r.store != nil {
		f, err := r.store.create(got.Name, got.Size)
		if err != nil {
			return nil, err
		}
		w.file = f
	}
	switch {
	case got.Role == form.Image:
		if got.Runs != nil {
			return w, errors.Join(fault.Unsupported("is stored as a sparse file"), w.close())
		}
		w.sha = sha256.New()
	case !r.quick:
		sum, known := r.grammar.Integrity(got.Name)
		w.algorithm = integrity.Merkle // a guess, if the descriptor comes later
		if sum != nil {
			w.algorithm = sum.Algorithm
		}
		if sum != nil || !known {
			w.hasher = integrity.NewHasher(r.ctx, w.algorithm, got.Size)
		}
	}
	return w, nil
}

// outputs take the data of a member.
type outputs struct {
	name      string
	disk      bool      // refuse qcow2
	file      storeFile // nil if nothing is kept
	sum       *archive.Sum
	sha       hash.Hash
	hasher    integrity.Hasher
	algorithm string
}

const (
	copySize  = 1 << 20
	copyCount = 3 // pieces: one is decompressed while another is hashed and written
)

// copyPiece is data on its way.
type copyPiece struct {
	off  int64
	data []byte
}

// copy moves the data of got from in to the outputs. It is read here, and put by another
// goroutine.
func (w *outputs) copy(ctx context.Context, in io.Reader, got *form.Received) error {
	eg, ctx := errgroup.WithContext(ctx)
	free, full := make(chan []byte, copyCount), make(chan copyPiece, copyCount)
	for range copyCount {
		free <- nil
	}
	eg.Go(func() error {
		for p := range full {
			if err := w.put(p.off, p.data); err != nil {
				return err
			}
			free <- p.data
		}
		return nil
	})
	err := w.read(ctx, in, got, free, full)
	close(full)
	if werr := eg.Wait(); werr != nil {
		return werr // err is only that this ended it
	}
	return err
}

func (w *outputs) read(ctx context.Context, in io.Reader, got *form.Received, free <-chan []byte, full chan<- copyPiece) error {
	runs := got.Runs
	if runs == nil {
		runs = []archive.Run{{Off: 0, Len: got.Size}}
	}
	for _, run := range runs {
		for off, end := run.Off, run.Off+run.Len; off < end; {
			var buf []byte
			select {
			case buf = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			n := min(end-off, copySize)
			if int64(cap(buf)) < n {
				buf = make([]byte, n)
			}
			if _, err := io.ReadFull(in, buf[:n]); err != nil {
				return err
			}
			full <- copyPiece{off, buf[:n]} // has room
			off += n
		}
	}
	return nil
}

func (w *outputs) put(off int64, p []byte) error {
	if w.disk && off == 0 && isQcow2(p) {
		return &Qcow2Error{Path: w.name}
	}
	w.sum.Write(p)
	if w.sha != nil {
		w.sha.Write(p)
	}
	if w.hasher != nil {
		if err := w.hasher.Add(off, p); err != nil {
			return err
		}
	}
	if w.file != nil {
		if _, err := w.file.WriteAt(p, off); err != nil {
			return err
		}
	}
	return nil
}

func (w *outputs) close() (err error) {
	if w.hasher != nil {
		w.hasher.Close()
	}
	if w.file != nil {
		err = w.file.Close()
	}
	return err
}

// checkDisks compares the digests of the disks with those of the descriptors.
func (r *receiver) checkDisks(c *form.Contents) error {
	if r.quick {
		return nil
	}
	for _, s := range c.Snapshots {
		if len(s.Disks) == 0 {
			r.opts.warn("%s: %s", s.ID, noDisk)
		}
		for i := range s.Disks {
			d := &s.Disks[i]
			member := s.Member(d.Name)
			switch {
			case member == "":
				continue
			case d.Integrity == nil:
				r.opts.warn("%s: its descriptor has no integrity: only the hash in archive.json was checked, if there is one", member)
				continue
			}
			if err := r.checkDisk(member, d.Integrity); err != nil {
				return named(member, err)
			}
		}
	}
	return nil
}

func (r *receiver) checkDisk(member string, want *integrity.Sum) (err error) {
	have := r.digests[member]
	if have.algorithm != want.Algorithm {
		if r.store == nil {
			return fault.Unsupported("comes before its descriptor, and its integrity is %s: unpack it to check it", want.Algorithm)
		}
		f, err := r.store.open(member)
		if err != nil {
			return err
		}
		defer f.Close()
		if have.digest, err = integrity.Compute(r.ctx, integrity.File(f, want.Size), want.Size, want.Algorithm); err != nil {
			return err
		}
	}
	return compare(have.digest, want)
}

// compare returns an error unless a disk has the integrity of its descriptor.
func compare(have string, want *integrity.Sum) error {
	if have != want.Digest {
		return fault.Corrupt("the content of the disk has changed: %s is %s, not %s", want.Algorithm, have, want.Digest)
	}
	return nil
}
