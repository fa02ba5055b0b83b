package ext4

// chunkLen is how many elements chunks have, but the last.
const chunkLen = 1024

// chunks is a list that grows without being copied, so that elements stay where they are.
type chunks[T any] struct {
	list [][]T
	len  int
}

// add appends v.
func (c *chunks[T]) add(v T) (index uint32, elem *T) {
	if c.len%chunkLen == 0 {
		c.list = append(c.list, make([]T, 0, chunkLen))
	}
	last := &c.list[len(c.list)-1]
	*last = append(*last, v)
	c.len++
	return uint32(c.len - 1), &(*last)[len(*last)-1]
}

// at is the element at index.
func (c *chunks[T]) at(index uint32) *T { return &c.list[index/chunkLen][index%chunkLen] }
