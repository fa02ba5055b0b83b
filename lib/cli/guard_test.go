package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

func (p *probe) guarded(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "ready")
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Minute):
		return errors.New("disk: nobody stopped it")
	}
	time.Sleep(50 * time.Millisecond) // to put things back
	if p.Do == "guard to the end" {
		return nil
	}
	return fmt.Errorf("disk: %w; it is as it was", context.Cause(ctx))
}

// A signal waits for a task, and the user is told what came of it.
func TestGuard(t *testing.T) {
	for do, want := range map[string]string{
		"guard":            "probe: disk: stopped; it is as it was\n",
		"guard to the end": "probe: disk: completed before it could be stopped\n",
	} {
		cmd := command(t, "--do="+do)
		pipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stderr := bufio.NewReader(pipe)
		if line, err := stderr.ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		rest, _ := io.ReadAll(stderr)
		cmd.Wait()
		if status := statusOf(cmd); status != syscall.SIGTERM.String() || string(rest) != want {
			t.Errorf("%s: died of %s, printed %q, want %q", do, status, rest, want)
		}
	}
}
