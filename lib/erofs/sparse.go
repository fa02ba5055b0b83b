package erofs

import (
	"fmt"

	"ocipipe/lib/erofs/disk"
	"ocipipe/lib/tree"
)

const (
	maxChunkBits = 31
	// exactMapMax is how many bytes a chunk map may take to keep holes exact to the
	// block, whatever the size of the data. A longer map may take exactMapShare of
	// the data.
	exactMapMax   = 16 << 10
	exactMapShare = 64
)

// Zeros in a file that is not sparse become holes if they fill holeMin bytes, or more in a
// file whose map would be longer than exactMapMax, so that one hole pays for the map.
const (
	holeMin  = 64 << 10
	maxHoles = 1 << 20 // extents that an image remembers; then zeros stay
)

// holeUnit is the unit of holes in such a file. The chunks that chunkBits then chooses keep
// these holes exactly, so a stream made from the image makes the same image again.
func holeUnit(size, bs int64) int64 {
	unit := max(holeMin, bs)
	for mapSize(size, unit) > exactMapMax {
		unit *= 2
	}
	return unit
}

// checkExtents returns an error unless xs are ascending, separate extents of a file of size
// bytes.
func checkExtents(xs []tree.Extent, size int64) error {
	end := int64(0)
	for i, x := range xs {
		if x.Len <= 0 || x.Off < end || x.Len > size-x.Off || i > 0 && x.Off == end {
			return fmt.Errorf("bad extent %d+%d in a file of %d bytes", x.Off, x.Len, size)
		}
		end = x.End()
	}
	return nil
}

// chunkBits chooses the size of the chunks, bs<<bits, of a sparse file.
//
// A chunk is either a hole or wholly on disk, and costs an index of 8 bytes. Small
// chunks keep every hole but need a long map (2 MiB for a GiB of file, with chunks of 4096
// bytes); large ones turn holes into zeros on disk. chunkBits takes the largest size that
// keeps every block of every hole, if its map is short, absolutely or in proportion to the
// data; ordinary sparse files are like that. Otherwise it takes the size with the smallest
// sum of map and data, and of equal sums the smaller chunk.
func chunkBits(xs []tree.Extent, size, bs int64) uint8 {
	var (
		least = runsLen(xs, size, bs)
		exact = uint8(0)
		best  = uint8(0)
		cost  = ^uint64(0) // a sum of two may pass 1<<63
	)
	for bits := uint8(0); bits <= maxChunkBits; bits++ {
		data, index := runsLen(xs, size, bs<<bits), mapSize(size, bs<<bits)
		if data == least {
			exact = bits
		}
		if sum := uint64(data) + uint64(index); sum < cost {
			best, cost = bits, sum
		}
		if bs<<bits >= size {
			break
		}
	}
	if mapSize(size, bs<<exact) <= max(exactMapMax, least/exactMapShare) {
		return smallestMap(exact, size, bs)
	}
	return best
}

// smallestMap returns the smallest chunk size, up to bits, whose map is not longer than that
// of bits.
func smallestMap(bits uint8, size, bs int64) uint8 {
	n := mapSize(size, bs<<bits)
	for bits > 0 && mapSize(size, bs<<(bits-1)) == n {
		bits--
	}
	return bits
}

// mapSize is the length of the chunk map of a file in bytes.
func mapSize(size, chunk int64) int64 { return disk.Blocks(size, chunk) * disk.ChunkIndexSize }

// eachRun calls fn for the runs of chunks that hold data, in ascending order. The
// last may end at the end of the file within a chunk.
func eachRun(xs []tree.Extent, size, chunk int64, fn func(run tree.Extent)) {
	var run tree.Extent
	for _, x := range xs {
		off := x.Off / chunk * chunk
		end := size
		if last := (x.End() - 1) / chunk; last < (size-1)/chunk {
			end = (last + 1) * chunk
		}
		if run.Len > 0 && off <= run.End() {
			run.Len = end - run.Off
			continue
		}
		if run.Len > 0 {
			fn(run)
		}
		run = tree.Extent{Off: off, Len: end - off}
	}
	if run.Len > 0 {
		fn(run)
	}
}

// runsLen is the length of all runs together.
func runsLen(xs []tree.Extent, size, chunk int64) (n int64) {
	eachRun(xs, size, chunk, func(run tree.Extent) { n += run.Len })
	return n
}

// chunkRuns returns the runs in a slice that is not nil.
func chunkRuns(xs []tree.Extent, size, chunk int64) []tree.Extent {
	runs := []tree.Extent{}
	eachRun(xs, size, chunk, func(run tree.Extent) { runs = append(runs, run) })
	return runs
}
