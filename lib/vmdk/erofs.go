package vmdk

import (
	"fmt"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/magic"
)

// erofsImage is the superblock of an EROFS image.
type erofsImage struct {
	super disk.Superblock
	block int64 // bytes
}

// erofsOf returns the EROFS image that begins with head, or nil if head begins none.
func erofsOf(head []byte) *erofsImage {
	super, ok := disk.FindSuperblock(head)
	block, valid := super.BlockSize()
	if !ok || !valid {
		return nil
	}
	return &erofsImage{super, block}
}

// size is the length of the image on its own device, in bytes. It is 0, for unknown, if
// the image has 48-bit addresses: then the upper bits of its length are in another field.
func (i *erofsImage) size() int64 {
	if i.super.Incompat&disk.Incompat48Bit != 0 {
		return 0
	}
	return int64(i.super.Blocks) * i.block
}

// devices is the number of further devices that hold data of the image.
func (i *erofsImage) devices() int { return int(i.super.ExtraDevices) }

// Needs returns what a machine needs to mount the EROFS image at the beginning of the disk; ok is
// false if there is none.
func (d *Disk) Needs() (n disk.Needs, ok bool) {
	if len(d.extents) == 0 {
		return n, false
	}
	first := d.extents[0]
	img := erofsOf(first.head)
	if img == nil {
		return n, false
	}
	n = img.super.Needs()
	if len(d.extents) > 1 || first.size > img.size() {
		n = n.OneDisk()
	}
	return n, true
}

// Verify checks the extents. One that is a disk in another form, or compressed, gives a
// [*ForceableError], unless it is a device of the first image. Of the EROFS images none may be
// cut short, and each has to begin at a multiple of its block size. If the first one is metadata
// only, the devices that it names have to follow in its order, where it expects them.
func (d *Disk) Verify() error {
	devices := 0 // of the first extent: they may begin with the content of any file
	for i, e := range d.extents {
		img := erofsOf(e.head)
		if img == nil {
			if is := magic.Detect(e.head); (i == 0 || i > devices) && isContainer(is) {
				return &ForceableError{fmt.Errorf("%s: %w", e.path, &magic.Error{Want: rawDisk, Is: is, Err: ErrUnsupported})}
			}
			continue
		}
		if i == 0 {
			devices = img.devices()
		}
		if err := d.verifyImage(e, img, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// isContainer reports whether a disk is inside what is of kind k, and k itself is none.
func isContainer(k magic.Kind) bool {
	return k == magic.VMDK || k == magic.QCOW2 || k == magic.VHDX || k.IsCompressed()
}

func (d *Disk) verifyImage(e *extent, img *erofsImage, first bool) error {
	// Without a device table the first image may address all of the disk.
	room := e.size
	if first && img.devices() == 0 {
		room = d.size
	}
	switch {
	case img.size() > room:
		return fmt.Errorf("%s: %w: EROFS image of %d bytes is cut short at %d", e.path, ErrCorrupt, img.size(), room)
	case e.size%img.block != 0:
		return fmt.Errorf("%s: %w: size of %d bytes is not a multiple of the EROFS block size %d", e.path, ErrCorrupt, e.size, img.block)
	case e.start%img.block != 0:
		return &ForceableError{fmt.Errorf("%s: %w: begins at byte %d of the disk, inside an EROFS block of %d", e.path, ErrUnsupported, e.start, img.block)}
	case first && img.devices() > 0:
		return d.verifyDevices(e, img)
	}
	return nil
}

// verifyDevices compares the device table of e, the first extent, with the other extents.
// If there are none, it compares the table with the data after the image in e.
func (d *Disk) verifyDevices(e *extent, img *erofsImage) error {
	n := len(d.extents) - 1
	if n == 0 && e.size <= img.size() {
		return nil // its devices are other disks
	}
	if n > 0 && n < img.devices() {
		return &ForceableError{fmt.Errorf("%s: %w: names %d devices, and %d extents follow", e.path, ErrCorrupt, img.devices(), n)}
	}
	table := img.super.DeviceTable()
	if table+int64(img.devices())*disk.DeviceSlotSize > e.size {
		return fmt.Errorf("%s: %w: device table is outside the image", e.path, ErrCorrupt)
	}
	b := make([]byte, disk.DeviceSlotSize)
	for i := range img.devices() {
		if err := e.readAt(b, table+int64(i)*disk.DeviceSlotSize); err != nil {
			return err
		}
		dev := erofsDevice{disk.DecodeDeviceSlot(b), img.block}
		var err error
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

// erofsDevice is an entry of the device table of an image.
type erofsDevice struct {
	slot  disk.DeviceSlot
	block int64 // size of the image's blocks, in bytes
}

// start is where the device should begin on the disk, and size its length, in bytes.
func (dev erofsDevice) start() int64 { return int64(dev.slot.First) * dev.block }
func (dev erofsDevice) size() int64  { return int64(dev.slot.Blocks) * dev.block }

// compare compares the device with the extent in its place.
func (dev erofsDevice) compare(e *extent) error {
	switch {
	case dev.start() != e.start:
		return fmt.Errorf("is expected at byte %d of the disk, and %s is at %d", dev.start(), e.path, e.start)
	case dev.size() > e.size:
		return fmt.Errorf("has %d bytes, and %s has %d", dev.size(), e.path, e.size)
	}
	return dev.identify(e.head)
}

// locate compares the device with the data at its place in e.
func (dev erofsDevice) locate(e *extent) error {
	start, size := dev.start(), dev.size()
	if size > e.size || start > e.size-size {
		return fmt.Errorf("lies from byte %d to %d, and the disk ends at %d", start, start+size, e.size)
	}
	head := make([]byte, min(disk.SuperOffset+disk.SuperSize, size))
	if err := e.readAt(head, start); err != nil {
		return err
	}
	return dev.identify(head)
}

// identify compares the UUID in the table with that of the image that begins with head. It
// passes where the table has no UUID, or where no image begins.
func (dev erofsDevice) identify(head []byte) error {
	want, ok := dev.slot.UUID()
	img := erofsOf(head)
	if !ok || img == nil {
		return nil
	}
	if have := img.super.UUID; have != want {
		return fmt.Errorf("is the image with the UUID %x, expected %x", have, want)
	}
	return nil
}
