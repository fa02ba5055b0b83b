package vmdk

import (
	"bytes"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// DefaultLevel is the level of compression where none is given.
const DefaultLevel = 6

const maxWorkers = 256 // each has 1 MiB or so

// job is one grain on its way from the source through a worker to the output.
type job struct {
	number int64
	data   []byte
	out    bytes.Buffer // a marker and compressed data in whole sectors; nothing of zeros
	done   chan struct{}
	err    error
}

// compress hands each grain of src, compressed, to put, in order. Workers share
// the work; as each grain is compressed by itself the result does not depend on
// them. After an error of put it stops src. When it returns nothing runs any more.
func compress(src grains, o StreamOptions, put func(number int64, b []byte) error) error {
	workers := o.Jobs
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, maxWorkers)
	depth := 4 * workers
	free, work, order := make(chan *job, depth), make(chan *job, depth), make(chan *job, depth)
	for range depth {
		free <- &job{data: make([]byte, grainSize), done: make(chan struct{}, 1)}
	}
	stop := make(chan struct{})
	var runs sync.WaitGroup
	defer runs.Wait()
	defer src.stop()
	defer close(stop)
	for range workers {
		runs.Go(func() { worker(work, o.Level) })
	}
	runs.Go(func() { produce(src, free, work, order, stop) })
	for j := range order {
		<-j.done
		if j.err == nil && j.out.Len() > 0 {
			j.err = put(j.number, j.out.Bytes())
		}
		if j.err != nil {
			return j.err
		}
		free <- j
	}
	return nil
}

// produce reads src to its end. Every job goes to the workers and, in order, to
// the output; the channels have room for all that there are.
func produce(src grains, free <-chan *job, work, order chan<- *job, stop <-chan struct{}) {
	defer close(work)
	defer close(order)
	for {
		select {
		case <-stop:
			return
		case j := <-free:
			if j.number, j.err = src.next(j.data); j.err == io.EOF {
				return
			}
			failed := j.err != nil
			work <- j
			order <- j
			if failed {
				return
			}
		}
	}
}

func worker(work <-chan *job, level int) {
	if level == 0 {
		level = DefaultLevel
	}
	var z *zlib.Writer
	for j := range work {
		j.out.Reset()
		if j.err == nil && !isZero(j.data) {
			if z == nil {
				z, j.err = zlib.NewWriterLevel(nil, level)
			}
			if j.err == nil {
				j.err = j.compress(z)
			}
		}
		j.done <- struct{}{}
	}
}

func (j *job) compress(z *zlib.Writer) error {
	j.out.Write(make([]byte, markerHead))
	z.Reset(&j.out)
	if _, err := z.Write(j.data); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	size := j.out.Len() - markerHead
	j.out.Write(zeros[:roundUp(int64(j.out.Len()), SectorSize)-int64(j.out.Len())])
	marker{Value: uint64(j.number) * grainSectors, Size: uint32(size)}.encode(j.out.Bytes())
	return nil
}

var zeros [grainSize]byte

func isZero(p []byte) bool {
	for len(p) > len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}
