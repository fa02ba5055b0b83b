package imageflags

import (
	"errors"
	"fmt"
	"testing"

	"ocipipe/lib/oci"
)

func TestAdvise(t *testing.T) {
	one := []string{"linux/s390x"}
	for _, c := range []struct {
		err            error
		choice, limits string
	}{
		{errors.New("cause"), "", ""},
		{&oci.PlatformError{Asked: true, Sole: true, Available: one}, "--allow-other-platform takes it all the same", ""},
		{&oci.PlatformError{Sole: true, Available: one}, "--platform linux/s390x takes it", ""},
		{&oci.PlatformError{Asked: true, Available: []string{"linux/386", "linux/arm"}}, "", ""},
		{&oci.LimitError{Limit: oci.MaxMetadata}, "", "--max-metadata raises the limit"},
		{&oci.LimitError{Limit: oci.MaxLayer}, "", "--max-layer raises the limit"},
	} {
		err := fmt.Errorf("where: %w", c.err)
		if got := (&Choice{}).Advise(err); got != c.choice {
			t.Errorf("%#v: %q, want %q", c.err, got, c.choice)
		}
		if got := (&Limits{}).Advise(err); got != c.limits {
			t.Errorf("%#v: %q, want %q", c.err, got, c.limits)
		}
	}
	if err := (&Choice{Platform: "linux"}).Check(); err == nil {
		t.Error("half a platform is accepted")
	}
}

func TestNoLimit(t *testing.T) {
	var opts oci.Options
	(&Limits{MaxLayer: 5}).Fill(&opts)
	if opts.MaxMetadata >= 0 || opts.MaxLayer != 5 {
		t.Errorf("limits of %d and %d", opts.MaxMetadata, opts.MaxLayer)
	}
}

// TestLeftOut shows that the warning is one line however many entries an image has, and that
// it tells no values.
func TestLeftOut(t *testing.T) {
	for want, entries := range map[string][]string{
		"environment: A.B: not a variable of a shell, and only in config.json":           {"A.B=secret"},
		"environment: NO: not a variable of a shell, and only in config.json":            {"NO"},
		`environment: "": not a variable of a shell, and only in config.json`:            {"=secret"},
		"environment: A.B and 2 more: not variables of a shell, and only in config.json": {"A.B=secret=", "C", "D.=secret"},
	} {
		if got := leftOut(entries); got != want {
			t.Errorf("%q: %q, want %q", entries, got, want)
		}
	}
}
