package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty makes a pseudo terminal of so many rows.
func pty(t *testing.T, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var n int
	err = control(master, func(fd int) (err error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 80}); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// onTerminal starts the probe with a terminal of its own as standard error, and
// the environment env. What the terminal shows is sent once the probe has ended.
func onTerminal(t *testing.T, rows uint16, cmd *exec.Cmd) (shown func() string) {
	t.Helper()
	master, slave := pty(t, rows)
	cmd.Stderr = slave
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 2}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	raw := make(chan string)
	go func() {
		b, _ := io.ReadAll(master) // ends with EIO when the last has closed it
		raw <- string(b)
	}()
	return func() string {
		cmd.Wait()
		select {
		case s := <-raw:
			return s
		case <-time.After(2 * time.Minute):
			t.Fatal("the terminal is still open")
			return ""
		}
	}
}

var escape = regexp.MustCompile(`^\x1b\[(\d*)([A-Za-z])`)

// screen returns what a terminal shows after raw, with the lines that have scrolled away. It
// fails t for lines wider than the terminal and for unknown escape sequences.
func screen(t *testing.T, raw string, rows int) []string {
	t.Helper()
	lines := []string{""}
	top, y, x := 0, 0, 0
	for len(raw) > 0 {
		switch m := escape.FindStringSubmatch(raw); {
		case m != nil:
			n, _ := strconv.Atoi(m[1])
			switch m[2] {
			case "A":
				y = max(y-max(n, 1), top)
			case "J":
				lines = lines[:y+1]
				lines[y] = lines[y][:min(x, len(lines[y]))]
			default:
				t.Fatalf("the terminal gets %q", m[0])
			}
			raw = raw[len(m[0]):]
			continue
		case raw[0] == '\r':
			x = 0
		case raw[0] == '\n':
			y++
			if y == len(lines) {
				lines = append(lines, "")
			}
			top = max(top, y-rows+1)
		case raw[0] < ' ':
			t.Fatalf("the terminal gets %q", raw[0])
		default:
			if x != len(lines[y]) {
				lines[y] = lines[y][:x] // nothing of ours writes over other text
			}
			lines[y] += raw[:1]
			x++
		}
		raw = raw[1:]
	}
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
