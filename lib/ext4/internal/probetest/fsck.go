package probetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"ocipipe/lib/ext4/audit"
	"ocipipe/lib/ext4/disk"
	"ocipipe/lib/ext4/read"
	"ocipipe/lib/reftest"
)

// Fsck fails t if e2fsck has anything to say about the image in a file, or the audit
// that Options.Check makes: each shows what the other overlooks.
func Fsck(t testing.TB, path string) {
	t.Helper()
	if err := E2fsck(t, path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Audit(f); errors.Is(err, disk.ErrUnsupported) {
		t.Logf("no audit: %v", err)
	} else if err != nil {
		t.Fatalf("e2fsck has nothing to say, the audit has: %v", err)
	}
}

// E2fsck is what e2fsck has to say about the image in a file.
func E2fsck(t testing.TB, path string) error {
	t.Helper()
	out, err := reftest.Try(t, "e2fsck", "-fn", path)
	if err != nil {
		return err
	}
	return Complaint(out)
}

// complaints are what e2fsck prints about what it does not call an error: it exits
// with 0 all the same.
var complaints = regexp.MustCompile(`\?|IGNORED|differences|WARNING|[Pp]adding|wrong|corrupt`)

// Complaint is what e2fsck says if it found something.
func Complaint(out string) error {
	if complaints.MatchString(out) {
		return fmt.Errorf("e2fsck: %s", out)
	}
	return nil
}

// Audit audits the image in a file, which need not be as it was made.
func Audit(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	img, err := read.Open(f, fi.Size())
	if err != nil {
		return err
	}
	return audit.Check(context.Background(), img, audit.Options{})
}
