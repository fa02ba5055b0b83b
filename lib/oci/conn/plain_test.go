package conn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
)

func TestPlain(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	dns := &net.DNSError{Err: "no such host", Name: "a.example", Server: "10.0.0.1:53", IsNotFound: true}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{refused, "connect to 127.0.0.1:1: connection refused"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: refused}, "proxy: connect to 127.0.0.1:1: connection refused"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.OpError{Op: "dial", Err: dns}}, "proxy: no address for a.example: no such host"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("odd")}, "proxy: odd"},
		{&net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.ErrDeadlineExceeded}, "connect to 127.0.0.1:1: no answer in time"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: dns}, "no address for a.example: no such host"},
		{&net.DNSError{Err: "server misbehaving", Name: "b", Server: "10.0.0.1:53"}, "no address for b: server misbehaving (name server 10.0.0.1:53)"},
		{&net.OpError{Op: "read", Net: "tcp", Source: addr, Addr: addr, Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset by peer"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, "the server ended the connection: certificate required"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "certificate signed by unknown authority"},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "the server does not speak TLS"},
		{http.ErrSchemeMismatch, "the server speaks plain HTTP, not HTTPS"},
		{io.ErrUnexpectedEOF, "the server closed it too early"},
		{io.EOF, "the server closed it too early"},
		{errors.New("other"), "other"},
	} {
		err := fmt.Errorf("host: %w", c.err)
		got := Plain(err)
		if want := "host: " + c.want; got.Error() != want || !errors.Is(got, err) {
			t.Errorf("%v: %v, want %s", err, got, want)
		}
		if again := Plain(fmt.Errorf("x: %w", got)); again.Error() != "x: "+got.Error() {
			t.Errorf("said again: %v", again)
		}
	}
}
