package integrity

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"sync"

	"github.com/zeebo/blake3"
)

// LeafSize is the size of a leaf in bytes.
const LeafSize = 64 << 10

const (
	domain     = Merkle + "\x00"
	leafDomain = domain + "leaf\x00"
	nodeDomain = domain + "parent\x00"
	rootDomain = domain + "root\x00"

	maxHeight = 48 // of 2^63 bytes
)

type digest [32]byte

// zeroNodes returns the nodes of each height above nothing but zeros.
var zeroNodes = sync.OnceValue(func() (z [maxHeight + 1]digest) {
	leaf := newLeaf()
	z[0] = leaf.hash()
	for h := range maxHeight {
		z[h+1] = node(&z[h], &z[h])
	}
	return z
})

// leaf is a leaf with what is hashed before it.
type leaf [len(leafDomain) + LeafSize]byte

func newLeaf() *leaf {
	l := new(leaf)
	copy(l[:], leafDomain)
	return l
}

// data is the content of the leaf.
func (l *leaf) data() []byte { return l[len(leafDomain):] }

func (l *leaf) hash() digest { return blake3.Sum256(l[:]) }

func node(left, right *digest) digest {
	var b [len(nodeDomain) + 2*len(digest{})]byte
	n := copy(b[:], nodeDomain)
	n += copy(b[n:], left[:])
	copy(b[n:], right[:])
	return blake3.Sum256(b[:])
}

// leavesOf returns how many leaves a content of size bytes has, filled up to a power of
// two, as its logarithm.
func heightOf(size int64) int {
	leaves := uint64(max(1, (size+LeafSize-1)/LeafSize))
	return bits.Len64(leaves - 1)
}

// rootOf returns the digest of a content of size bytes with the node top.
func rootOf(size int64, top digest) string {
	b := []byte(rootDomain)
	b = binary.LittleEndian.AppendUint64(b, uint64(size))
	b = binary.LittleEndian.AppendUint32(b, LeafSize)
	b = binary.LittleEndian.AppendUint32(b, uint32(heightOf(size)))
	b = append(b, top[:]...)
	sum := blake3.Sum256(b)
	return "blake3:" + hex.EncodeToString(sum[:])
}

// stack combines nodes that come in order, with gaps that are zeros, into the top node.
type stack struct {
	next  uint64 // the leaf after those that are on the stack
	nodes []entry
}

type entry struct {
	height int
	hash   digest
}

// add adds the node above 2^height leaves, of which the first is the leaf at, a multiple
// of 2^height. What lies between it and the last is zeros.
func (s *stack) add(at uint64, height int, h digest) {
	s.zeros(at)
	s.push(height, h)
}

// zeros adds zero leaves up to the leaf end.
func (s *stack) zeros(end uint64) {
	for s.next < end {
		h := bits.Len64(end-s.next) - 1
		if s.next > 0 {
			h = min(h, bits.TrailingZeros64(s.next))
		}
		s.push(h, zeroNodes()[h])
	}
}

func (s *stack) push(height int, h digest) {
	s.next += 1 << height
	for k := len(s.nodes) - 1; k >= 0 && s.nodes[k].height == height; k-- {
		h = node(&s.nodes[k].hash, &h)
		height++
		s.nodes = s.nodes[:k]
	}
	s.nodes = append(s.nodes, entry{height, h})
}

// top returns the node of height above all leaves.
func (s *stack) top(height int) digest {
	s.zeros(1 << height)
	return s.nodes[0].hash
}
