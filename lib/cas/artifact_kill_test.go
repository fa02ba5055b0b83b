package cas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ocipipe/lib/reftest"
)

// The tests of this file run this binary as real processes, which TestMain sends to maker.
// Artifact i is content(i, its size).
const numArtifacts = 8

func artifactData(i int) []byte { return content(uint64(i), []int{0, 1, 5000, 300_000}[i%4]) }

// maker does the job "DIR SEED ROUNDS": it makes artifacts that it uses, finds them
// there until the end of the use, and now and then removes all that nobody uses.
func maker(job string) error {
	var dir string
	var seed uint64
	var rounds int
	if _, err := fmt.Sscan(job, &dir, &seed, &rounds); err != nil {
		return err
	}
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range rounds {
		if rnd.IntN(4) == 0 {
			err = removeUnused(s)
		} else {
			err = makeSome(s, rnd)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func makeSome(s *Store, rnd *rand.Rand) error {
	list := rnd.Perm(numArtifacts)[:3]
	var names []string
	for _, i := range list {
		names = append(names, layerArtifact(fmt.Sprint(i)).Name())
	}
	u, err := s.Use(ctx, "maker", names)
	if err != nil {
		return err
	}
	defer u.Release()
	for _, i := range list {
		err := s.Make(ctx, layerArtifact(fmt.Sprint(i)), func(f *os.File) error {
			if info, err := f.Stat(); err != nil || info.Size() != 0 {
				return fmt.Errorf("not empty: %v", err)
			}
			for part := range bytes.Lines(artifactData(i)) {
				if _, err := f.Write(part); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && err != ErrExists {
			return err
		}
	}
	for _, i := range list {
		if err := checkArtifact(s, i); err != nil {
			return err
		}
	}
	return nil
}

func checkArtifact(s *Store, i int) error {
	f, err := s.Artifact(ctx, layerArtifact(fmt.Sprint(i)))
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err == nil && !bytes.Equal(data, artifactData(i)) {
		err = fmt.Errorf("artifact %d has other bytes, %d of them", i, len(data))
	}
	return err
}

func removeUnused(s *Store) error {
	w, err := s.Sweep(ctx)
	if err != nil {
		return err
	}
	defer w.End()
	files, _, err := s.Files(ctx)
	for _, f := range files {
		if err == nil && !w.InUse(f.Name) {
			err = w.Remove(f.Name)
		}
	}
	return err
}

// TestMakersKilled kills processes at random moments. What a use names is there while the
// use lasts, no artifact is ever incomplete, and nothing is in the way of those that follow.
func TestMakersKilled(t *testing.T) {
	rounds, processes := 6, 6
	if os.Getenv("SOAK") == "true" {
		rounds, processes = 200, 16
	}
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(7, 8))
	var killed atomic.Int32
	for round := range rounds {
		var wg sync.WaitGroup
		for range processes {
			cmd := reftest.Command(t, os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("CAS_MAKE=%s %d 30", dir, rnd.Uint64()), "GORACE=atexit_sleep_ms=0")
			var out strings.Builder
			cmd.Stderr = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.NewTimer(time.Hour)
			if round%3 < 2 {
				timer = time.AfterFunc(time.Duration(rnd.Int64N(int64(400*time.Millisecond))), func() { cmd.Process.Kill() })
			}
			wg.Go(func() {
				defer timer.Stop()
				switch err := cmd.Wait(); {
				case err == nil:
				case strings.Contains(err.Error(), "signal: killed"):
					killed.Add(1)
				default:
					t.Errorf("maker: %v: %s", err, out.String())
				}
			})
		}
		wg.Wait()
		s := open(t, dir, Options{})
		for i := range numArtifacts {
			if err := checkArtifact(s, i); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	}
	if killed.Load() == 0 {
		t.Error("no process was killed")
	}
	t.Logf("%d processes killed", killed.Load())
	s := open(t, dir, Options{})
	if err := s.Collect(ctx, time.Unix(0, 0)); err != nil {
		t.Error(err)
	}
	wantClean(t, dir)
}

// TestArtifactFullDisk: a disk that is full in the middle of a file leaves nothing of it.
func TestArtifactFullDisk(t *testing.T) {
	s := open(t, tmpfs(t, 1<<20), Options{})
	small, large := layerArtifact("small"), layerArtifact("large")
	makeArtifact(t, s, small, []byte("x"))
	err := s.Make(ctx, large, writing(make([]byte, 2<<20)))
	if err == nil || errors.Is(err, ErrStore) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Make: %v", err)
	}
	wantNoArtifact(t, s, large)
	wantClean(t, s.Dir())
	wantArtifact(t, s, small, []byte("x"))
	makeArtifact(t, s, large, content(1, 500_000))
}
