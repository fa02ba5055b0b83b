package vmdk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sort"
	"syscall"

	"ocipipe/lib/blockio"
	"ocipipe/lib/magic"
	"ocipipe/lib/osfile"
)

// Disk is a virtual disk: extents joined end to end.
type Disk struct {
	extents []*extent
	size    int64
}

// extent is one file, used whole.
type extent struct {
	path  string // as the user gave it
	start int64  // on the disk, in bytes
	size  int64
	head  []byte // the first bytes, headSize at most
	data  io.ReaderAt
	file  *os.File // data, if that is a file, to find holes and share blocks
	owned bool     // Close closes file
	node  bool     // file is a block device
	id    identity
}

// identity is the same for all names of a file or device.
type identity struct {
	osfile.ID
	node bool
}

// headSize is how many bytes of each extent go into identifiers. They include the
// superblocks of EROFS and ext4, and so their UUIDs.
const headSize = 4096

// Open makes a disk of files or block devices, in the order of paths. A file that is named
// several times is on the disk once, at its first place. The caller closes the disk.
func Open(paths []string) (*Disk, error) {
	d := &Disk{}
	seen := map[identity]bool{}
	for _, path := range paths {
		e, err := openExtent(path)
		if err == nil && !seen[e.id] {
			seen[e.id] = true
			err = d.add(e)
		} else if err == nil {
			err = e.file.Close()
		}
		if err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

func openExtent(path string) (*extent, error) {
	f, err := openData(path)
	if err != nil {
		return nil, err
	}
	e, err := newExtent(path, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	e.owned = true
	return e, nil
}

// openData opens a regular file or block device. It looks before it opens, because opening
// a pipe would block.
func openData(path string) (*os.File, error) {
	fi, err := os.Stat(path)
	if err == nil {
		err = usable(fi)
	}
	if err != nil {
		return nil, asOpen(path, err)
	}
	return os.Open(path)
}

// usable returns an error if a file cannot be an extent.
func usable(fi fs.FileInfo) error {
	switch {
	case fi.IsDir():
		return syscall.EISDIR
	case !fi.Mode().IsRegular() && fi.Mode().Type() != fs.ModeDevice:
		return errors.New("not a file or block device")
	case fi.Mode().Type() == fs.ModeDevice:
		_, err := osfile.Device(fi)
		return err
	}
	return nil
}

func asOpen(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}

func newExtent(path string, f *os.File) (*extent, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	id, err := osfile.Identify(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	e := &extent{path: path, data: f, file: f, id: identity{ID: id}}
	if fi.Mode().Type() == fs.ModeDevice {
		number, err := osfile.Device(fi)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		e.node, e.id = true, identity{node: true, ID: osfile.ID{Dev: number}}
	}
	if e.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	return e, e.readHead()
}

// FromFile makes a disk of an open file. Closing the disk does not close f.
func FromFile(name string, f *os.File) (*Disk, error) {
	e, err := newExtent(name, f)
	if err != nil {
		return nil, err
	}
	d := &Disk{}
	return d, d.add(e)
}

// FromReaderAt makes a disk of the first size bytes of r. name is for errors.
func FromReaderAt(name string, r io.ReaderAt, size int64) (*Disk, error) {
	e := &extent{path: name, data: r, size: size}
	if err := e.readHead(); err != nil {
		return nil, err
	}
	d := &Disk{}
	return d, d.add(e)
}

// readHead checks the size of the extent, and reads its head.
func (e *extent) readHead() error {
	if err := checkSize(e.size); err != nil {
		if e.size > 0 {
			err = magic.ExplainFile(err, io.NewSectionReader(e.data, 0, e.size), rawDisk, diskKinds...)
		}
		return fmt.Errorf("%s: %w", e.path, err)
	}
	e.head = make([]byte, min(e.size, headSize))
	return e.readAt(e.head, 0)
}

const rawDisk magic.Kind = "a raw disk"

// diskKinds are what a raw disk may begin with. Text is a weak sign.
var diskKinds = []magic.Kind{magic.EROFS, magic.Ext4, magic.Squashfs, magic.XFS, magic.GPT, magic.Text}

func checkSize(size int64) error {
	switch {
	case size == 0:
		return errors.New("is empty")
	case size%SectorSize != 0:
		return fmt.Errorf("size of %d bytes is not a multiple of %d: is it cut short?", size, SectorSize)
	}
	return nil
}

func (e *extent) readAt(p []byte, off int64) error {
	n, err := e.data.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		err = fmt.Errorf("%w: it became shorter", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: byte %d: %w", e.path, off+int64(n), err)
}

func (d *Disk) add(e *extent) error {
	if e.size > math.MaxInt64-d.size {
		return fmt.Errorf("%s: the disk would be larger than 8 EiB", e.path)
	}
	e.start = d.size
	d.extents = append(d.extents, e)
	d.size += e.size
	return nil
}

// Size is the size of the disk in bytes.
func (d *Disk) Size() int64 { return d.size }

// Close closes the files that Open opened.
func (d *Disk) Close() error {
	var first error
	for _, e := range d.extents {
		if e.owned {
			if err := e.file.Close(); first == nil {
				first = err
			}
		}
	}
	return first
}

// find returns the number of the extent that has the byte at off.
func (d *Disk) find(off int64) int {
	return sort.Search(len(d.extents), func(i int) bool { return d.extents[i].start > off }) - 1
}

// readAt fills p from off on. All of that has to be on the disk.
func (d *Disk) readAt(p []byte, off int64) error {
	for i := d.find(off); len(p) > 0; i++ {
		e := d.extents[i]
		n := min(int64(len(p)), e.start+e.size-off)
		if err := e.readAt(p[:n], off-e.start); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// nextData is blockio.NextData for the disk. The data that it finds is in one extent.
func (d *Disk) nextData(off int64) (from, end int64, err error) {
	if off >= d.size {
		return d.size, d.size, nil
	}
	for _, e := range d.extents[d.find(off):] {
		from, end := max(off-e.start, 0), e.size
		if e.file != nil {
			if from, end, err = blockio.NextData(e.file, from, e.size); err != nil {
				return 0, 0, err
			}
		}
		if from < end {
			return e.start + from, e.start + end, nil
		}
	}
	return d.size, d.size, nil
}

// digest identifies the content for one purpose. It covers the size and the first
// 4 KiB of each extent, so it costs one read for each file. It still changes with the
// content of our EROFS images: their UUIDs, which are in there, derive from all of it.
func (d *Disk) digest(purpose string) [32]byte {
	heads := make([]head, len(d.extents))
	for i, e := range d.extents {
		heads[i] = head{e.size, e.head}
	}
	return digest(purpose, heads)
}

// head is the part of an extent that a digest covers.
type head struct {
	size  int64
	bytes []byte
}

func digest(purpose string, heads []head) (sum [32]byte) {
	h := sha256.New()
	io.WriteString(h, "ocipipe "+purpose+"\n")
	for _, e := range heads {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(e.size))
		h.Write(size[:])
		h.Write(e.bytes)
	}
	h.Sum(sum[:0])
	return sum
}

// contentID makes a CID of a digest. It avoids 0, the value that means "no parent", and
// the value that makes VMware look for a longer CID.
func contentID(sum [32]byte) uint32 {
	id := binary.BigEndian.Uint32(sum[:])
	if id == 0 || id >= 0xFFFFFFFE {
		id ^= 0x80000000
	}
	return id
}

const purposeCID = "VMDK CID"

// CID is the content identifier of the disk.
func (d *Disk) CID() uint32 { return contentID(d.digest(purposeCID)) }
