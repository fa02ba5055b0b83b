package vmdk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// What of EROFS (struct erofs_super_block, struct erofs_deviceslot) is needed to
// see whether extents are the ones that an image expects, and where.
const (
	erofsSuper   = 1024 // offset
	erofsMagic   = 0xE0F5E1E2
	erofs48Bit   = 0x80 // incompatible feature: more bits of Blocks elsewhere
	erofsSlot    = 128
	erofsTag     = 64 // of a slot
	erofsMinimum = erofsSuper + 128
)

// erofsImage is the superblock of an extent.
type erofsImage struct {
	block   int64 // bytes
	size    int64 // bytes, of its own device; 0 if not known
	uuid    [16]byte
	devices int   // more devices, on which the data is
	slots   int64 // offset of their table
}

// erofsOf returns nil if head does not begin an EROFS image.
func erofsOf(head []byte) *erofsImage {
	if len(head) < erofsMinimum {
		return nil
	}
	le, sb := binary.LittleEndian, head[erofsSuper:]
	bits := sb[12]
	if le.Uint32(sb) != erofsMagic || bits < 9 || bits > 16 {
		return nil
	}
	i := &erofsImage{
		block:   1 << bits,
		size:    int64(le.Uint32(sb[36:])) << bits,
		uuid:    [16]byte(sb[48:64]),
		devices: int(le.Uint16(sb[86:])),
		slots:   int64(le.Uint16(sb[88:])) * erofsSlot,
	}
	if le.Uint32(sb[80:])&erofs48Bit != 0 {
		i.size = 0
	}
	return i
}

// Verify checks the EROFS images among the extents: that none is cut short or
// lies between blocks, and that the devices that the first one names, if it is
// metadata only, follow in its order, where it expects them.
func (d *Disk) Verify() error {
	for i, e := range d.extents {
		img := erofsOf(e.head)
		if img == nil {
			continue
		}
		if err := d.verifyImage(e, img, i == 0); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) verifyImage(e *extent, img *erofsImage, first bool) error {
	// Without a device table the first image may address all of the disk.
	room := e.size
	if first && img.devices == 0 {
		room = d.size
	}
	switch {
	case img.size > room:
		return fmt.Errorf("%s: %w: EROFS image of %d bytes is cut short at %d", e.path, ErrCorrupt, img.size, room)
	case e.size%img.block != 0:
		return fmt.Errorf("%s: %w: size of %d bytes is not a multiple of the EROFS block size %d", e.path, ErrCorrupt, e.size, img.block)
	case e.start%img.block != 0:
		return &ForceableError{fmt.Errorf("%s: %w: begins at byte %d of the disk, inside an EROFS block of %d", e.path, ErrUnsupported, e.start, img.block)}
	case first && img.devices > 0:
		return d.verifyDevices(e, img)
	}
	return nil
}

// verifyDevices compares the device table of the first extent with the others, or
// with what lies in the same extent behind the image.
func (d *Disk) verifyDevices(e *extent, img *erofsImage) error {
	n := len(d.extents) - 1
	if n == 0 && e.size <= img.size {
		return nil // its devices are other disks
	}
	if n > 0 && n < img.devices {
		return &ForceableError{fmt.Errorf("%s: %w: names %d devices, and %d extents follow", e.path, ErrCorrupt, img.devices, n)}
	}
	if img.slots+int64(img.devices)*erofsSlot > e.size {
		return fmt.Errorf("%s: %w: device table is outside the image", e.path, ErrCorrupt)
	}
	slot := make([]byte, erofsSlot)
	for i := range img.devices {
		if err := e.readAt(slot, img.slots+int64(i)*erofsSlot); err != nil {
			return err
		}
		dev, err := decodeSlot(slot, img.block), error(nil)
		if n > 0 {
			err = dev.compare(d.extents[1+i])
		} else {
			err = dev.locate(e)
		}
		if err != nil {
			return &ForceableError{fmt.Errorf("%s: device %d: %w: %w", e.path, i+1, ErrCorrupt, err)}
		}
	}
	return nil
}

// erofsDevice is an entry of a device table, in bytes.
type erofsDevice struct {
	tag         []byte
	size, start int64
}

func decodeSlot(b []byte, block int64) (dev erofsDevice) {
	dev.tag, _, _ = bytes.Cut(b[:erofsTag], []byte{0})
	dev.size = int64(binary.LittleEndian.Uint32(b[erofsTag:])) * block
	dev.start = int64(binary.LittleEndian.Uint32(b[erofsTag+4:])) * block
	return dev
}

// compare compares the device with the extent in its place.
func (dev erofsDevice) compare(e *extent) error {
	switch {
	case dev.start != e.start:
		return fmt.Errorf("is expected at byte %d of the disk, and %s is at %d", dev.start, e.path, e.start)
	case dev.size > e.size:
		return fmt.Errorf("has %d bytes, and %s has %d", dev.size, e.path, e.size)
	}
	return dev.is(e.head)
}

// locate compares the device with what e has where it should be.
func (dev erofsDevice) locate(e *extent) error {
	if dev.size > e.size || dev.start > e.size-dev.size {
		return fmt.Errorf("lies from byte %d to %d, and the disk ends at %d", dev.start, dev.start+dev.size, e.size)
	}
	head := make([]byte, min(erofsMinimum, dev.size))
	if err := e.readAt(head, dev.start); err != nil {
		return err
	}
	return dev.is(head)
}

// is compares UUIDs, if the tag is one, as mkfs.erofs and we write it.
func (dev erofsDevice) is(head []byte) error {
	img := erofsOf(head)
	if _, err := hex.DecodeString(string(dev.tag)); err != nil || len(dev.tag) != 32 || img == nil {
		return nil
	}
	if have := hex.EncodeToString(img.uuid[:]); have != string(dev.tag) {
		return fmt.Errorf("is the image with the UUID %s, and there is %s", dev.tag, have)
	}
	return nil
}
