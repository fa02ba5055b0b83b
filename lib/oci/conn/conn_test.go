package conn

import (
	"net/http"
	"testing"
	"time"

	"ocipipe/lib/oci/hosts"
)

// TestTransports: hosts without certificates of their own share a transport, so that
// redirects to many names do not make us keep many.
func TestTransports(t *testing.T) {
	certs, err := hosts.LoadCerts(hosts.Options{Dirs: []string{t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Certs: certs, Timeout: time.Second})
	defer c.Close()
	made := map[*http.Transport]bool{}
	for _, p := range []hosts.Peer{
		{Host: "a"}, {Host: "b"}, {Host: "b", Known: true}, {Host: "c", Known: true, Named: true},
		{Host: "a", Unverified: true}, {Host: "d", Known: true, Unverified: true},
	} {
		tr, err := c.transport(p)
		if err != nil {
			t.Fatal(err)
		}
		if tr.TLSClientConfig.InsecureSkipVerify != p.Unverified {
			t.Errorf("%+v: verified %v", p, !tr.TLSClientConfig.InsecureSkipVerify)
		}
		made[tr] = true
	}
	if len(made) != 2 || len(c.made) != 2 {
		t.Errorf("%d transports, %d kept", len(made), len(c.made))
	}
}
