package materialize

import (
	"cmp"
	"runtime"

	"ocipipe/lib/erofs"
)

// compressionKey names the compression in the names of artifacts, "" if there is none.
func (o *Options) compressionKey() string { return o.Compression.Key(erofs.DefaultBlockSize) }

// compressionBy returns the compression with so many workers, nil if there is none.
func (o *Options) compressionBy(workers int) *erofs.Compression {
	if o.compressionKey() == "" {
		return nil
	}
	c := *o.Compression
	c.Workers = workers
	return &c
}

// workersFor is how many workers compress each of so many images that are written at a time.
// Each worker takes memory, and no image alone should have to wait for one.
func workersFor(images int) int {
	procs := runtime.GOMAXPROCS(0)
	return max(procs/images, min(procs, 2))
}

func (o *Options) describeCompression() *Compression {
	c, key := o.Compression, o.compressionKey()
	if key == "" {
		return nil
	}
	algorithm, level := c.Method.Name()
	extents := "index"
	if c.Encoded {
		extents = "encoded"
	}
	return &Compression{
		Algorithm: algorithm, Level: level, PCluster: cmp.Or(c.PCluster, erofs.DefaultPCluster), Extents: extents,
		Hints: len(c.Hints), Variant: key,
	}
}

// warnKernel warns of what the kernel needs that mounts the images, once for all of them.
func (m *materializer) warnKernel(text string) {
	if _, said := m.warned.LoadOrStore(text, true); !said {
		m.opts.warn("%s", text)
	}
}
