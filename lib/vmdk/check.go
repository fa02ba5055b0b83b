package vmdk

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ocipipe/lib/magic"
)

// Check checks the disk at path: of a descriptor the text, the sizes of the extents and the
// superblocks of EROFS images among them; of a stream-optimized disk every grain; of a GPT
// disk the tables; of a raw disk that begins with an EROFS image its superblock. It warns
// of a descriptor whose CID is not that of the extents: an extent has changed since, or
// another tool wrote the descriptor. When ctx is done, Check returns its cause.
func Check(ctx context.Context, path string, warn func(string)) error {
	f, err := openData(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		err = checkFile(ctx, f, size, path, warn)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func checkFile(ctx context.Context, f *os.File, size int64, path string, warn func(string)) error {
	disk := bounded{f, size}
	head := make([]byte, min(size, headSize))
	if err := disk.read(head, 0); err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(head, binary.LittleEndian.AppendUint32(nil, streamMagic)):
		s, err := OpenStream(f, size)
		if err != nil {
			return err
		}
		return s.Check(ctx)
	case bytes.HasPrefix(head, []byte("# ")):
		return checkText(disk, path, warn)
	case len(head) >= SectorSize+len(gptMagic) && string(head[SectorSize:][:len(gptMagic)]) == gptMagic:
		return checkGPT(disk)
	case erofsOf(head) != nil:
		d, err := FromReaderAt("raw disk", f, size)
		if err != nil {
			return err
		}
		return d.Verify()
	}
	err := fmt.Errorf("%w: neither a descriptor nor a stream-optimized, GPT or EROFS disk", ErrUnsupported)
	return magic.Explain(err, head, "a VMDK, GPT or EROFS disk")
}

func checkText(disk bounded, path string, warn func(string)) error {
	if disk.size > maxText {
		return fmt.Errorf("%w: descriptor of %d bytes: readers take %d", ErrUnsupported, disk.size, maxText)
	}
	text := make([]byte, disk.size)
	if err := disk.read(text, 0); err != nil {
		return err
	}
	desc, err := ParseDescriptor(text)
	if err != nil {
		return err
	}
	if desc.CreateType == createStream {
		return fmt.Errorf("%w: createType=%q without the disk", ErrCorrupt, createStream)
	}
	d, err := desc.open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Verify(); err != nil {
		return err
	}
	if have := d.CID(); have != desc.CID && warn != nil {
		warn(fmt.Sprintf("%s: CID is %08x, and that of the extents %08x: they changed, or another tool wrote it", path, desc.CID, have))
	}
	return nil
}

// open opens the extents of a descriptor in dir. The pieces of a file have to follow
// one another and to cover all of it. The caller closes d.
func (desc *Descriptor) open(dir string) (d *Disk, err error) {
	d = &Disk{}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	seen := map[identity]bool{}
	for lines := desc.Lines; len(lines) > 0; {
		n, sectors := 0, int64(0)
		for ; n < len(lines) && lines[n].Name == lines[0].Name && lines[n].Offset == sectors; n++ {
			sectors += lines[n].Sectors
		}
		name := lines[0].Name
		if n == 0 {
			return d, fmt.Errorf("%w: %s: begins at sector %d of the file", ErrUnsupported, name, lines[0].Offset)
		}
		if !filepath.IsAbs(name) {
			name = dir + "/" + name // not cleaned, as readers do not clean it
		}
		e, err := openExtent(name)
		if err != nil {
			return d, err
		}
		if err := d.add(e); err != nil {
			return d, err
		}
		if seen[e.id] {
			return d, fmt.Errorf("%w: %s: is there twice", ErrUnsupported, name)
		}
		if e.size != sectors*SectorSize {
			return d, fmt.Errorf("%w: %s: has %d bytes, the descriptor says %d", ErrCorrupt, name, e.size, sectors*SectorSize)
		}
		seen[e.id], lines = true, lines[n:]
	}
	return d, nil
}
