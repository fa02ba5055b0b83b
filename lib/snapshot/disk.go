package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ocipipe/lib/blockio"
	"ocipipe/lib/exclusive"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/volume"
	"ocipipe/lib/magic"
	"ocipipe/lib/osfile"
	"ocipipe/lib/snapshot/archive"
	"ocipipe/lib/snapshot/fault"
	"ocipipe/lib/snapshot/integrity"
)

// FSTypeExt4 is the only file system whose consistency is checked.
const FSTypeExt4 = "ext4"

// DirtyError says that a disk may be inconsistent: it is in use, or its file system was
// not unmounted.
type DirtyError struct {
	Path    string
	Reasons []string
}

func (e *DirtyError) Error() string {
	return fmt.Sprintf("%s: %s", e.Path, strings.Join(e.Reasons, ", and "))
}

// Qcow2Error says that a disk is in the format qcow2, or a chain of layers in it.
type Qcow2Error struct {
	Path   string
	Layers int // of a chain; 0 or 1 for one file
}

func (e *Qcow2Error) Error() string {
	if e.Layers > 1 {
		return fmt.Sprintf("%s: is a chain of %d layers (qcow2), not one raw disk", e.Path, e.Layers)
	}
	return e.Path + ": is a qcow2 image, not a raw disk"
}

// Unwrap returns fault.ErrUnsupported.
func (e *Qcow2Error) Unwrap() error { return fault.ErrUnsupported }

// isQcow2 reports whether a disk that begins with head is in the format qcow2, whatever is
// said of it.
func isQcow2(head []byte) bool { return bytes.HasPrefix(head, []byte("QFI\xfb")) }

// upper is a disk to be captured.
type upper struct {
	path    string
	file    *os.File
	device  bool
	size    int64
	before  osfile.State
	written time.Time // when the file system was last written
	dirty   []string  // reasons why it may be inconsistent
}

// openUpper opens the disk at path, and locks it against writers as long as it is open.
func openUpper(path, fstype string, allowDirty bool) (*upper, error) {
	u := &upper{path: path}
	if err := u.open(); err != nil {
		return nil, err
	}
	err := u.look(fstype)
	if err == nil && len(u.dirty) > 0 && !allowDirty {
		err = &DirtyError{path, u.dirty}
	}
	if err != nil {
		u.file.Close()
		return nil, err
	}
	return u, nil
}

func (u *upper) open() (err error) {
	u.file, u.device, err = exclusive.Open(u.path, exclusive.Read)
	if errors.Is(err, exclusive.ErrInUse) {
		u.dirty = append(u.dirty, strings.TrimPrefix(err.Error(), u.path+": "))
		u.file, err = os.Open(u.path)
		if err == nil {
			fi, serr := u.file.Stat()
			u.device, err = serr == nil && fi.Mode().Type() == os.ModeDevice, serr
		}
	}
	return err
}

// look finds out what is on the disk.
func (u *upper) look(fstype string) (err error) {
	if u.size, err = u.file.Seek(0, io.SeekEnd); err != nil { // Stat has no size for a device
		return err
	}
	if u.before, err = osfile.StateOf(u.file); err != nil {
		return err
	}
	head := make([]byte, min(u.size, disk.SuperOffset+disk.SuperSize))
	if _, err := u.file.ReadAt(head, 0); err != nil && err != io.EOF {
		return err
	}
	if isQcow2(head) {
		return &Qcow2Error{Path: u.path}
	}
	if fstype != FSTypeExt4 {
		return nil
	}
	if err := u.lookExt4(head); err != nil {
		return fmt.Errorf("%s: %w", u.path, err)
	}
	return nil
}

func (u *upper) lookExt4(head []byte) error {
	if len(head) < disk.SuperOffset+disk.SuperSize {
		return magic.Explain(fault.Unsupported("not an ext4 file system: it has %d bytes", u.size), head, magic.Ext4)
	}
	whole := head
	head = head[disk.SuperOffset:]
	var s disk.Superblock
	s.Decode(head)
	blocks, unit := s.Blocks(), uint(10+s.LogBlockSize)
	switch {
	case s.Magic != disk.SuperMagic:
		return magic.Explain(fault.Unsupported("not an ext4 file system: it has no superblock"), whole, magic.Ext4)
	case s.HasSums() && s.Checksum != disk.SuperChecksum(head):
		return fault.Corrupt("the checksum of its superblock is wrong")
	case s.LogBlockSize > 6 || blocks > uint64(u.size)>>unit:
		return fault.Corrupt("cut short: it has %d bytes, the file system %d blocks", u.size, blocks)
	}
	u.written = time.Unix(int64(s.WriteTime)|int64(s.WriteTimeHi)<<32, 0)
	var dirty *volume.DirtyError
	if errors.As(volume.CheckState(&s), &dirty) {
		u.dirty = append(u.dirty, dirty.Problem)
	}
	return nil
}

// source returns the content.
func (u *upper) source() integrity.Source { return integrity.File(u.file, u.size) }

// unlocked reports whether others may write to the disk, and whether its time would not
// show that.
func (u *upper) unlocked() bool { return u.device || len(u.dirty) > 0 }

// check returns an error if the disk has changed since it was opened.
func (u *upper) check() error {
	if err := checkUnchanged(u.file, u.before); err != nil {
		return fmt.Errorf("%s: %w", u.path, err)
	}
	return nil
}

// runs returns where the data of the first size bytes of f lies.
func runs(f *os.File, size int64) (data []archive.Run, err error) {
	for off := int64(0); off < size; {
		from, end, err := blockio.NextData(f, off, size)
		if err != nil {
			return nil, err
		}
		if end > from {
			data = append(data, archive.Run{Off: from, Len: end - from})
		}
		off = end
	}
	return data, nil
}

// copyDisk copies the disk into f, which is empty, and keeps its holes. With share it is an
// error if the files cannot share their blocks.
func (u *upper) copyDisk(ctx context.Context, f *os.File, share bool) error {
	if err := f.Truncate(u.size); err != nil {
		return err
	}
	if share {
		return shareBlocks(f, u.file)
	}
	return blockio.CopySparse(ctx, f, 0, u.file, u.size)
}
