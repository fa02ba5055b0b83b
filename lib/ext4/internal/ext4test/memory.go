// Package ext4test has what tests of ext4 put into file systems, where these lie, and the
// same from mke2fs and the kernel. It knows no package of ours for ext4, so that the tests
// of all of them may use it.
package ext4test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"sync"
)

const pageSize = 4096

// Memory is an Output in memory, of which what was never written takes no room.
type Memory struct {
	mu         sync.Mutex
	Pages      map[int64][]byte
	Size       int64
	BeforeRead func(m *Memory) // called before the first read
}

func (m *Memory) each(p []byte, off int64, fn func(p, page []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(p) > 0 {
		n, at := off/pageSize, off%pageSize
		k := min(int64(len(p)), pageSize-at)
		fn(p[:k], m.Page(n)[at:])
		p, off = p[k:], off+k
	}
}

// Page is the n-th page, to be changed.
func (m *Memory) Page(n int64) []byte {
	if m.Pages[n] == nil {
		if m.Pages == nil {
			m.Pages = make(map[int64][]byte)
		}
		m.Pages[n] = make([]byte, pageSize)
	}
	return m.Pages[n]
}

// WriteAt implements io.WriterAt.
func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	m.each(p, off, func(p, page []byte) { copy(page, p) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Size = max(m.Size, off+int64(len(p)))
	return len(p), nil
}

// ReadAt implements io.ReaderAt.
func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	if m.BeforeRead != nil {
		spoil := m.BeforeRead
		m.BeforeRead = nil
		spoil(m)
	}
	n := len(p)
	p = p[:max(0, min(int64(n), m.Size-off))]
	m.each(p, off, func(p, page []byte) { copy(p, page) })
	if len(p) < n {
		return len(p), io.EOF
	}
	return n, nil
}

// Truncate sets the size. Pages after it stay as they are.
func (m *Memory) Truncate(size int64) error {
	m.Size = size
	return nil
}

// Hash is a digest of what is in m.
func Hash(m *Memory) string {
	h := sha256.New()
	var numbers []int64
	for n := range m.Pages {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if bytes.Equal(m.Pages[n], make([]byte, pageSize)) {
			continue
		}
		fmt.Fprintln(h, n)
		h.Write(m.Pages[n])
	}
	fmt.Fprintln(h, m.Size)
	return fmt.Sprintf("%x", h.Sum(nil))
}
