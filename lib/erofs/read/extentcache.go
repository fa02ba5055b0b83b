package read

import (
	"container/list"
	"sync"

	"ocipipe/lib/erofs/z"
)

// cacheSize is how many bytes of decoded extents an image keeps, unless a single one has more.
const cacheSize = 8 << 20

// extentCache has the extents that were decoded last. Its zero value is empty.
type extentCache struct {
	mu    sync.Mutex
	index map[z.Extent]*list.Element
	order list.List // of *cached, the last used first
	size  int64
}

type cached struct {
	key  z.Extent
	data []byte
}

// get returns the bytes of x, which the caller must not change. If the cache does not have
// them, it calls decode, outside of its lock. Blocks have bs bytes.
func (c *extentCache) get(x *z.Extent, bs int64, decode func([]byte) error) ([]byte, error) {
	key := *x
	key.Off = 0 // files may have a cluster in common
	if x.Rotated {
		key.Off = x.Off % bs
	}
	if b := c.find(key); b != nil {
		return b, nil
	}
	b := make([]byte, x.Len)
	if err := decode(b); err != nil {
		return nil, err
	}
	c.add(key, b)
	return b, nil
}

func (c *extentCache) find(key z.Extent) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.index[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).data
}

func (c *extentCache) add(key z.Extent, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index[key] != nil {
		return // another goroutine was faster
	}
	if c.index == nil {
		c.index = make(map[z.Extent]*list.Element)
	}
	c.index[key] = c.order.PushFront(&cached{key, b})
	c.size += int64(len(b))
	for c.size > cacheSize && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*cached)
		delete(c.index, last.key)
		c.size -= int64(len(last.data))
	}
}
