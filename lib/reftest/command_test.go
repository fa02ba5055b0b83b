package reftest

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCommandSignals runs itself with signals ignored, as nohup and a shell's "&" do.
func TestCommandSignals(t *testing.T) {
	if os.Getenv("REFTEST_IGNORING") == "" {
		again := Command(t, "bash", "-c", `trap '' HUP INT; exec "$0" -test.run '^TestCommandSignals$' -test.v`, os.Args[0])
		again.Env = append(os.Environ(), "REFTEST_IGNORING=true")
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestCommandSignals") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	for signal, want := range map[string]string{"HUP": "signal: hangup", "INT": "signal: interrupt"} {
		out, err := Command(t, "bash", "-c", "kill -"+signal+" $$; echo survived").Output()
		if len(out) > 0 || err == nil || err.Error() != want {
			t.Errorf("SIG%s: %q, %v, want %s", signal, out, err, want)
		}
	}
	syscall.Kill(os.Getpid(), syscall.SIGHUP) // this process still does not die of it
	syscall.Kill(os.Getpid(), syscall.SIGINT)
	time.Sleep(50 * time.Millisecond)
}

// cleaned is a fakeTB that runs what Cleanup was given.
type cleaned struct {
	fakeTB
	do func()
}

func (c *cleaned) Cleanup(do func()) { c.do = do }

func TestCommandEnds(t *testing.T) {
	fake := &cleaned{}
	if err := within(fake, 50*time.Millisecond, "/bin/sleep", "60").Run(); err == nil || !strings.HasSuffix(fake.ended, "sleep 60: killed, because it had run for 50ms") {
		t.Errorf("%v, %q", err, fake.ended)
	}
	fake = &cleaned{}
	cmd := within(fake, time.Minute, "/bin/sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fake.do()
	if err := cmd.Wait(); err == nil || fake.ended != "" {
		t.Errorf("%v, %q", err, fake.ended)
	}
}
