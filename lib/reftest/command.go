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

// Command is exec.Command for tests, which start no process in another way. A name
// without a slash is that of a tool, which it needs; "go" is there.
//
// The process begins with the signals as a terminal leaves them, whatever this one
// was started with (nohup, a job in the background of a script). It is killed when t
// ends, and, failing t, when it has run for longer than anything here may take, so
// that no test waits for ever.
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
	cmd.WaitDelay = 10 * time.Second // for what it has started and left with its output
	return cmd
}

// limit is far more than any process of a test takes on a busy machine, images of
// Debian made from its archive among them. It is less than what "go test" has.
func limit() time.Duration {
	if os.Getenv("SOAK") == "true" {
		return time.Hour
	}
	return 8 * time.Minute
}

// defaultSignals makes processes start with the default action of the signals that
// this process was started to ignore. The runtime leaves just these two ignored, and
// os/exec would pass that on; a signal that is caught is back at its default in a new
// program. Nobody reads what is caught: this process is as deaf as before.
var defaultSignals = sync.OnceFunc(func() {
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
})
