package erofs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/erofs/read"
	"ocipipe/lib/erofs/z"
)

var (
	// ErrWrongUUID is wrapped by the error about an image whose bytes are not those of
	// which its UUID was made.
	ErrWrongUUID = fmt.Errorf("the content does not have its UUID: %w", read.ErrCorrupt)
	// ErrWrongLength is wrapped by the errors about a file that is shorter or longer than
	// the image in it.
	ErrWrongLength = fmt.Errorf("wrong length: %w", read.ErrCorrupt)
	// ErrNoContentUUID is wrapped by the error about an image whose UUID was not made of
	// content: it was given, or another program made the image.
	ErrNoContentUUID = errors.New("the UUID was not made of the content")
)

const verifyBuf = 1 << 20

// VerifyUUID verifies an image, the first size bytes of r: it computes the UUID from these
// bytes and compares it with the UUID in the superblock. If they agree, the image is as a
// Writer or WriteFsmeta has written it. A metadata-only image is verified without its layers,
// but with what it holds of their UUIDs.
//
// The error wraps ErrWrongUUID if bytes have changed, ErrWrongLength if there are fewer or
// more of them than the image has, ErrNoContentUUID if the UUID says nothing about them, and
// read.ErrCorrupt alone if the first block does not have its checksum or this is not an image.
// ErrWrongUUID and ErrWrongLength wrap read.ErrCorrupt, too. Other errors of r are wrapped.
// When ctx is done, VerifyUUID returns its cause.
//
// A UUID that was given, but has version 8, is taken for one that was made of content: the
// error is ErrWrongUUID. The hash is not cryptographic, so VerifyUUID finds damage and not
// forgery. It takes up to 10 MiB of memory. It does not check the records of the image.
func VerifyUUID(ctx context.Context, r io.ReaderAt, size int64) error {
	f := &verifier{ctx: ctx, r: r, size: size}
	if err := f.readHead(); err != nil {
		return err
	}
	var digest xxh3.Hasher
	if err := f.hash(&digest, int64(len(f.head))); err != nil {
		return err
	}
	if id := contentUUID(&digest, f.head); id != f.super.UUID {
		return fmt.Errorf("UUID %x, the bytes give %x: %w", f.super.UUID, id, ErrWrongUUID)
	}
	return nil
}

// LayerID identifies the image of a layer.
type LayerID struct {
	Name string   // for messages
	UUID [16]byte // zero if it is not known
}

// CheckDevices compares the devices that a metadata-only image names with layers, the images
// that it should have been made of: each once, in their order from bottom to top. r holds the
// metadata-only image. A layer whose UUID is not known is not compared; an image without a
// table of devices has only one hash of all, so then none is. CheckDevices reads the head of
// the image alone.
func CheckDevices(r io.ReaderAt, layers []LayerID) error {
	var b [maxSumEnd]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return err
	}
	super, ok := disk.FindSuperblock(b[:])
	if !ok {
		return damaged("no EROFS superblock here")
	}
	if super.Incompat&disk.IncompatDevices == 0 {
		return checkDeviceSum(b[sumOffset(&super):], layers)
	}
	if n := int(super.ExtraDevices); n != len(layers) {
		return fmt.Errorf("has %d devices for %d layers", n, len(layers))
	}
	table := make([]byte, len(layers)*disk.DeviceSlotSize)
	if _, err := r.ReadAt(table, super.DeviceTable()); err != nil {
		return err
	}
	for i, l := range layers {
		slot := disk.DecodeDeviceSlot(table[i*disk.DeviceSlotSize:])
		if l.UUID != [16]byte{} && slot.Tag != disk.TagOf(l.UUID) {
			return fmt.Errorf("its device %d is not the image of %s", i, l.Name)
		}
	}
	return nil
}

// maxSumEnd is the last offset where a sum can end that stands for the table of devices.
const maxSumEnd = disk.SuperOffset + disk.SuperSize + disk.DeviceSlotSize + disk.DeviceSumSize

// sumOffset is where such a sum is in an image with this superblock.
func sumOffset(super *disk.Superblock) int64 {
	if super.Incompat&disk.IncompatCompression == 0 {
		return sumAt(0)
	}
	c := z.Config{Algorithms: super.Algorithms}
	return sumAt(int64(len(c.Append(nil))))
}

// checkDeviceSum is CheckDevices for an image without a table, with b where that would begin.
func checkDeviceSum(b []byte, layers []LayerID) error {
	sum, ok := disk.DecodeDeviceSum(b)
	if !ok && len(layers) > 0 {
		return errors.New("does not say which layers it was made of")
	}
	var slots []disk.DeviceSlot
	for _, l := range layers {
		if l.UUID == [16]byte{} {
			return nil
		}
		slots = append(slots, disk.DeviceSlot{Tag: disk.TagOf(l.UUID)})
	}
	if ok && sumOfTags(slots) != sum.Sum {
		return errors.New("its devices are not the images of the layers")
	}
	return nil
}

// verifier reads an image for VerifyUUID.
type verifier struct {
	ctx   context.Context
	r     io.ReaderAt
	size  int64
	super disk.Superblock
	bs    int64
	head  []byte // sections 1 and 2
}

// readHead reads the head, and checks that it can be that of an image of this size with a
// UUID made of the content.
func (f *verifier) readHead() error {
	var b [maxSumEnd]byte
	if err := f.read(b[:], 0); err != nil {
		return err
	}
	var ok bool
	if f.super, ok = disk.FindSuperblock(b[:]); !ok {
		return damaged("no EROFS superblock here")
	}
	if f.bs, ok = f.super.BlockSize(); !ok {
		return damaged("block size of 2^%d bytes", f.super.BlockBits)
	}
	if err := f.checkSum(); err != nil {
		return err
	}
	if id := f.super.UUID; id[6]>>4 != 8 || id[8]>>6 != 2 {
		return fmt.Errorf("UUID %x: %w", id, ErrNoContentUUID)
	}
	blocks, slots := f.super.Blocks, 0
	if f.super.Incompat&disk.IncompatDevices != 0 {
		slots = int(f.super.ExtraDevices)
		if f.super.DeviceTable() == tableEnd(1) { // see plan.spare
			slots++
		}
	} else if sum, ok := disk.DecodeDeviceSum(b[sumOffset(&f.super):]); ok {
		blocks = sum.Blocks
	}
	if want := int64(blocks) * f.bs; f.size != want {
		return fmt.Errorf("%d bytes, the image has %d: %w", f.size, want, ErrWrongLength)
	}
	end := headEnd(f.bs, slots)
	if end > f.size {
		return damaged("table of %d devices is beyond the end of the image", slots)
	}
	f.head = make([]byte, end)
	return f.read(f.head, 0)
}

// checkSum checks the checksum of the superblock: the UUID does not cover it.
func (f *verifier) checkSum() error {
	if f.super.Compat&disk.CompatChecksum == 0 {
		return nil
	}
	b := make([]byte, disk.ChecksumLen(f.bs))
	if err := f.read(b, disk.SuperOffset); err != nil {
		return err
	}
	if sum := disk.Checksum(b); sum != f.super.Checksum {
		return damaged("superblock has checksum %#08x, says %#08x", sum, f.super.Checksum)
	}
	return nil
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s: %w", disk.SuperOffset, fmt.Sprintf(format, args...), read.ErrCorrupt)
}

// hash passes the bytes from off on to digest.
func (f *verifier) hash(digest io.Writer, off int64) error {
	b := make([]byte, min(verifyBuf, f.size-off))
	for off < f.size {
		if f.ctx.Err() != nil {
			return context.Cause(f.ctx)
		}
		b = b[:min(int64(len(b)), f.size-off)]
		if err := f.read(b, off); err != nil {
			return err
		}
		digest.Write(b)
		off += int64(len(b))
	}
	return nil
}

// read fills p with the bytes at off.
func (f *verifier) read(p []byte, off int64) error {
	if int64(len(p)) > f.size-off {
		return fmt.Errorf("ends at byte %d, in the first block of the image: %w", f.size, ErrWrongLength)
	}
	n, err := f.r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("ends at byte %d, expected were %d: %w", off+int64(n), f.size, ErrWrongLength)
	}
	return fmt.Errorf("byte %d: %w", off, err)
}
