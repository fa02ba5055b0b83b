package registry

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// TestExplain: which failures of the network are worth a retry.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err   error
		retry bool
	}{
		{&net.OpError{Err: &net.DNSError{IsNotFound: true}}, false},
		{&net.OpError{Err: &net.DNSError{IsTimeout: true}}, true},
		{&tls.CertificateVerificationError{Err: io.EOF}, false},
		{tls.RecordHeaderError{}, false},
		{&net.OpError{Op: "remote error", Err: io.EOF}, false}, // an alert of TLS
		{&net.OpError{Op: "read", Err: io.EOF}, true},
		{fmt.Errorf("x: %w", http.ErrSchemeMismatch), false},
		{io.ErrUnexpectedEOF, true},
		{&Error{Err: io.EOF}, false},
	} {
		if got := Temporary(explain(context.Background(), c.err)); got != c.retry {
			t.Errorf("%T %v: retry %v, want %v", c.err, c.err, got, c.retry)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(io.ErrNoProgress)
	if err := explain(ctx, io.EOF); err != io.ErrNoProgress {
		t.Errorf("cancelled: %v", err)
	}
}
