package ext4

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"

	"ocipipe/lib/ext4/disk"
)

// journalFile is the journal inside a file system.
type journalFile struct {
	img   *Image
	at    int64 // byte of the superblock
	super journalSuper
	form  logForm
	runs  []disk.Run // without holes
}

// openJournal reads and checks the journal's superblock and finds its blocks.
func (img *Image) openJournal() (*journalFile, error) {
	if img.super.JournalIno != disk.JournalIno || img.super.JournalDev != 0 {
		return nil, disk.Unsupported(disk.SuperOffset, "the journal is on another device, or not inode %d", disk.JournalIno)
	}
	var ino foundInode
	if err := img.loadInode(&ino, disk.JournalIno); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &journalFile{img: img}
	if err := j.findBlocks(&ino); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	b := make([]byte, journalSuperSize)
	j.at = int64(j.physical(0)) * disk.BlockSize
	if err := img.read(b, j.at); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.super.decode(b)
	j.form = j.super.form()
	return j, j.super.check(b, j.blocks())
}

// findBlocks reads the extent tree of the journal.
func (j *journalFile) findBlocks(ino *foundInode) error {
	if ino.Mode&disk.ModeKind != disk.ModeFile || ino.Flags&disk.FlagExtents == 0 {
		return disk.Unsupported(ino.off, "inode %d is no file with extents", disk.JournalIno)
	}
	var owned claims // one block read again and again would be a log without end
	w := disk.ExtentReader{
		Read: func(block uint64) ([]byte, error) {
			b := make([]byte, disk.BlockSize)
			if err := j.img.readBlock(b, block); err != nil {
				return nil, err
			}
			if sum := binary.LittleEndian.Uint32(b[disk.ExtentSumOffset:]); j.img.super.HasSums() && sum != ino.sum.ExtentBlock(b) {
				return nil, disk.Corrupt(int64(block)*disk.BlockSize, "extent node has a wrong checksum")
			}
			return b, nil
		},
		Visit: func(r disk.Run, unwritten bool) error {
			if int64(r.Logical) != j.blocks() || unwritten {
				return disk.Corrupt(ino.off, "hole at block %d", j.blocks())
			}
			if end := j.img.super.Blocks(); r.Physical == 0 || r.Physical >= end || uint64(r.Blocks) > end-r.Physical {
				return disk.Corrupt(ino.off, "%d blocks at block %d of %d", r.Blocks, r.Physical, end)
			}
			j.runs = append(j.runs, r)
			return owned.add(r.Physical, uint64(r.Blocks))
		},
	}
	if err := cmp.Or(w.Walk(ino.Block[:]), owned.settle()); err != nil {
		return err
	}
	if j.blocks() == 0 {
		return disk.Corrupt(ino.off, "inode %d is empty", disk.JournalIno)
	}
	return nil
}

// blocks is the length of the file.
func (j *journalFile) blocks() int64 {
	if len(j.runs) == 0 {
		return 0
	}
	return int64(j.runs[len(j.runs)-1].End())
}

// physical is where the block n of the file lies.
func (j *journalFile) physical(n uint32) uint64 {
	i := sort.Search(len(j.runs), func(i int) bool { return j.runs[i].End() > uint64(n) })
	return j.runs[i].Physical + uint64(n-j.runs[i].Logical)
}

// owns reports whether the block of the file system is one of the journal.
func (j *journalFile) owns(block uint64) bool {
	return slices.ContainsFunc(j.runs, func(r disk.Run) bool {
		return block >= r.Physical && block-r.Physical < uint64(r.Blocks)
	})
}

// next is the block of the log that follows n.
func (j *journalFile) next(n uint32) uint32 {
	if n++; n < j.super.Length {
		return n
	}
	return j.super.First
}

// setLog says where the log begins, 0 if it is empty, and with which transaction.
// It is on the disk when setLog returns.
func (j *journalFile) setLog(f GrowFile, start, sequence uint32) error {
	j.super.Start, j.super.Sequence = start, sequence
	b := make([]byte, journalSuperSize)
	j.super.encode(b)
	if _, err := f.WriteAt(b, j.at); err != nil {
		return err
	}
	return f.Sync()
}

// transaction is one that was found complete in the log.
type transaction struct {
	sequence uint32
	tags     []logTag
	data     []uint32 // the block of the log for each tag
	revoked  []uint64
}

// logScan goes through the log as jbd2's do_one_pass does.
type logScan struct {
	j        *journalFile
	at       uint32 // the next block of the log
	left     int64  // blocks that the log may still have
	found    []transaction
	open     transaction // its commit has not been met yet
	v1       uint32      // checksum over the blocks of open
	suspect  bool        // open has a wrong checksum: it is damaged, or left from an older log
	lastTime uint64      // of a commit
}

// scan finds the transactions of the log, and the sequence number at which it
// ends. A transaction without commit block is that end: it has not happened. One
// that has a commit and is damaged all the same is an error, unless the time of the
// commit shows that it belongs to an older journal.
func (j *journalFile) scan() (found []transaction, end uint32, err error) {
	s := logScan{j: j, at: j.super.Start, left: int64(j.super.Length - j.super.First), v1: ^uint32(0)}
	s.open.sequence = j.super.Sequence
	b := make([]byte, disk.BlockSize)
	for {
		if s.left < 0 && !s.suspect { // one block more is read than there are, to see the end
			return nil, 0, fmt.Errorf("journal: transaction %d is longer than the journal: %w", s.open.sequence, disk.ErrCorrupt)
		}
		if s.left < 0 {
			return s.found, s.open.sequence, nil
		}
		at, err := s.block(b)
		if err != nil {
			return nil, 0, err
		}
		head, ok := decodeJournalHead(b)
		if !ok || head.sequence != s.open.sequence {
			return s.found, s.open.sequence, nil
		}
		more := false
		switch head.kind {
		case journalDescriptor:
			more, err = true, s.descriptor(b)
		case journalRevoke:
			more, err = true, s.revoke(b)
		case journalCommit:
			more, err = s.commit(b)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("journal: block %d, transaction %d: %w", at, head.sequence, err)
		}
		if !more {
			return s.found, s.open.sequence, nil
		}
	}
}

// block reads the next block of the log and returns its number.
func (s *logScan) block(b []byte) (at uint32, err error) {
	at = s.at
	s.at = s.j.next(at)
	s.left--
	return at, s.j.img.readBlock(b, s.j.physical(at))
}

func (s *logScan) descriptor(b []byte) error {
	s.suspect = s.suspect || !s.j.form.tailOK(b)
	if s.j.form.sums == 1 {
		s.v1 = crc32BE(s.v1, b)
	}
	tags := s.j.form.decodeTags(b)
	if s.left -= int64(len(tags)); s.left < 0 {
		return nil
	}
	for _, t := range tags {
		if s.j.form.sums == 1 {
			if err := s.j.img.readBlock(b, s.j.physical(s.at)); err != nil {
				return err
			}
			s.v1 = crc32BE(s.v1, b)
		}
		s.open.tags = append(s.open.tags, t)
		s.open.data = append(s.open.data, s.at)
		s.at = s.j.next(s.at)
	}
	return nil
}

func (s *logScan) revoke(b []byte) error {
	if !s.j.form.tailOK(b) {
		s.suspect = true
		return nil
	}
	blocks, err := s.j.form.decodeRevoked(b)
	s.open.revoked = append(s.open.revoked, blocks...)
	return err
}

func (s *logScan) commit(b []byte) (more bool, err error) {
	time := binary.BigEndian.Uint64(b[commitTimeOffset:])
	if s.suspect || !s.j.form.commitOK(b, s.v1) {
		if time < s.lastTime {
			return false, nil
		}
		return false, disk.Broken("a wrong checksum in a transaction with a commit")
	}
	s.lastTime = time
	s.found = append(s.found, s.open)
	s.open = transaction{sequence: s.open.sequence + 1}
	s.v1 = ^uint32(0)
	return true, nil
}

// recovery is what the journal of a file system that was not unmounted has for
// its blocks.
type recovery struct {
	journal *journalFile
	home    map[uint64]logged // the last version of each block
	end     uint32            // sequence number behind the log
}

// logged is a block in the log.
type logged struct {
	at      uint64 // block of the file system
	escaped bool
}

// recover reads the log and checks all of it that will be used; it writes
// nothing.
func (j *journalFile) recover() (*recovery, error) {
	rec := &recovery{journal: j, home: make(map[uint64]logged), end: j.super.Sequence}
	if j.super.Start == 0 {
		return rec, nil
	}
	found, end, err := j.scan()
	if err != nil {
		return nil, err
	}
	rec.end = end
	revoked := make(map[uint64]uint32) // the last transaction that does it; numbers may wrap
	for _, t := range found {
		for _, block := range t.revoked {
			revoked[block] = t.sequence
		}
	}
	for _, t := range found {
		for i, tag := range t.tags {
			if last, ok := revoked[tag.block]; ok && int32(last-t.sequence) >= 0 {
				continue
			}
			if err := rec.add(&t, i); err != nil {
				return nil, fmt.Errorf("journal: transaction %d: %w", t.sequence, err)
			}
		}
	}
	return rec, nil
}

// add takes the i-th block of t.
func (rec *recovery) add(t *transaction, i int) error {
	j, tag := rec.journal, t.tags[i]
	if tag.block >= uint64(j.img.size/disk.BlockSize) || j.owns(tag.block) {
		return disk.Broken("block %d, which no transaction may change", tag.block)
	}
	at := j.physical(t.data[i])
	if j.form.sums > 1 {
		b := make([]byte, disk.BlockSize)
		if err := j.img.readBlock(b, at); err != nil {
			return err
		}
		if !j.form.dataOK(tag, t.sequence, b) {
			return disk.Broken("block %d has a wrong checksum", tag.block)
		}
	}
	rec.home[tag.block] = logged{at: at, escaped: tag.flags&tagEscaped != 0}
	return nil
}

// read fills b with the block as the log has it.
func (rec *recovery) read(b []byte, l logged) error {
	if err := rec.journal.img.readBlock(b, l.at); err != nil {
		return err
	}
	if l.escaped {
		unescape(b)
	}
	return nil
}

// recovered is the disk as it will be after the recovery.
type recovered struct {
	r   io.ReaderAt
	rec *recovery
}

func (v *recovered) ReadAt(p []byte, off int64) (n int, err error) {
	b := make([]byte, disk.BlockSize)
	for n < len(p) {
		block, skip := uint64(off)/disk.BlockSize, int(off%disk.BlockSize)
		part := p[n:min(len(p), n+disk.BlockSize-skip)]
		if l, ok := v.rec.home[block]; !ok {
			if m, err := v.r.ReadAt(part, off); m < len(part) {
				return n + m, err
			}
		} else if err := v.rec.read(b, l); err != nil {
			return n, err
		} else {
			copy(part, b[skip:])
		}
		n, off = n+len(part), off+int64(len(part))
	}
	return n, nil
}

// apply writes the blocks to where they belong and empties the log. super is the
// superblock of the result: not in need of recovery, and with counts that are
// right, which kernels write only when they unmount. A crash in between leaves a
// disk that can be recovered again.
func (rec *recovery) apply(f GrowFile, super *disk.Superblock) error {
	b := make([]byte, disk.BlockSize)
	write := func(block uint64) error {
		if err := rec.read(b, rec.home[block]); err != nil {
			return err
		}
		_, err := f.WriteAt(b, int64(block)*disk.BlockSize)
		return err
	}
	if err := writeHome(f, slices.Sorted(maps.Keys(rec.home)), write); err != nil {
		return err
	}
	if rec.journal.super.Start != 0 {
		if err := rec.journal.setLog(f, 0, rec.end+1); err != nil {
			return err
		}
	}
	return writeSuper(f, super)
}

// writeHome calls write for the blocks of transactions, ascending, and syncs: the
// superblock goes last, when what it describes is there, because e2fsck looks at
// the descriptors before it replays a journal.
func writeHome(f GrowFile, blocks []uint64, write func(block uint64) error) error {
	super := len(blocks) > 0 && blocks[0] == 0
	if super {
		blocks = blocks[1:]
	}
	for _, block := range blocks {
		if err := write(block); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil || !super {
		return err
	}
	if err := write(0); err != nil {
		return err
	}
	return f.Sync()
}

// writeSuper writes the primary superblock so that it is on the disk when it
// returns.
func writeSuper(f GrowFile, super *disk.Superblock) error {
	b := make([]byte, disk.SuperSize)
	super.Seal(b)
	if _, err := f.WriteAt(b, disk.SuperOffset); err != nil {
		return err
	}
	return f.Sync()
}
