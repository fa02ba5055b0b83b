package cacheflags

import (
	"errors"
	"fmt"
	"testing"

	"ocipipe/lib/oci/pull"
)

func TestCheckAndAdvise(t *testing.T) {
	for c, wrong := range map[Cache]bool{
		{Use: Use{Pull: "never"}}: false, {Use: Use{Pull: "never"}, Off: true}: true, {Use: Use{Pull: "never", Force: true}}: true,
		{Use: Use{Pull: "always", Force: true}}: false,
	} {
		if err := c.Check(); (err != nil) != wrong {
			t.Errorf("%+v: %v", c, err)
		}
	}
	var c Cache
	if got := c.Advise(errors.New("cause")); got != "" {
		t.Errorf("%q", got)
	}
	if got := c.Advise(fmt.Errorf("where: %w", &pull.AbsentError{What: "layer 0"})); got != "without --pull never it is fetched from the registry" {
		t.Errorf("%q", got)
	}
}
