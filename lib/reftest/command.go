package reftest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Command is exec.Command for tests. They start every process with it. A name without a
// slash, other than "go", is that of a tool that the test needs; see Need.
//
// The process starts with default signals, as from a terminal, even if this process
// ignores some (nohup, a background job of a script). It is killed when t ends. If it runs
// longer than any process of a test may, it is killed and t fails, so that no test waits
// for ever.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	if name != "go" && !strings.Contains(name, "/") {
		name = Need(t, name)
	}
	defaultSignals()
	return within(t, limit(), name, args...)
}

func within(t testing.TB, limit time.Duration, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%s: killed, because it had run for %v", cmd, limit)
		}
		return cmd.Process.Kill()
	}
	cmd.WaitDelay = 10 * time.Second // for processes that it has started and that still hold its output
	return cmd
}

// limit returns a time that no process of a test takes even on a busy machine, not even to
// make images of Debian from its archive. It is less than the limit of "go test".
func limit() time.Duration {
	if os.Getenv("SOAK") == "true" {
		return time.Hour
	}
	return 8 * time.Minute
}

// defaultSignals makes processes start with the default action for SIGHUP and SIGINT, even
// if this process was started with one of them ignored. The runtime leaves just these two
// ignored, and os/exec would pass that on. So this process catches them instead: a caught
// signal has its default action again in a new program. It never reads the channel, so it
// ignores the signals as before.
var defaultSignals = sync.OnceFunc(func() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
})
