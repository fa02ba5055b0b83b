package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"ocipipe/lib/oci/login"
)

// abandonTime is how long the end of a session that is not needed may take.
const abandonTime = 2 * time.Second

// leastRestart is how often an upload may begin anew in one form, at least.
const leastRestart = 2

// errLies is in the error if a registry is wrong about how many bytes it has.
var errLies = fmt.Errorf("%w: upload", ErrProtocol)

// otherForm are answers by which a registry may mean that it does not know the form.
var otherForm = []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusLengthRequired, http.StatusUnsupportedMediaType, http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented}

// recover makes the next step possible after err, or returns the error that ends the upload.
func (u *upload) recover(err error) error {
	if failed := u.src.failed(); failed != nil {
		return failed
	}
	if u.ctx.Err() != nil {
		return context.Cause(u.ctx)
	}
	var refused *Error
	code := 0
	if errors.As(err, &refused) {
		code = refused.Status
	}
	switch {
	case Temporary(err):
		if err := u.tries.again(u.ctx, err); err != nil {
			return err
		}
		if code == 0 && u.tries.failed > 1 { // a proxy may cut what is too long
			u.smaller()
		}
		return u.resume(err)
	case u.loc == nil:
		return err
	case code == http.StatusRequestEntityTooLarge:
		if u.forms[0] == inChunks && u.smaller() {
			return u.resume(err)
		}
		return u.otherForm(err)
	case code == http.StatusNotFound:
		if u.lost++; u.lost > 1 {
			return u.otherForm(err)
		}
		return u.restart(err)
	case code == http.StatusRequestedRangeNotSatisfiable && u.forms[0] == inChunks:
		before := u.off
		if err := u.resume(err); err != nil || u.off != before {
			return err
		}
		return u.otherForm(err)
	case slices.Contains(otherForm, code), errors.Is(err, errLies):
		return u.otherForm(err)
	}
	return err
}

// smaller makes chunks smaller, also for other blobs, and reports whether that was possible.
func (u *upload) smaller() bool {
	sent := min(u.chunk, u.b.Size-u.off)
	if sent/shrink < u.floor {
		return false
	}
	u.chunk = sent / shrink
	u.t.learn(inChunks, u.chunk)
	return true
}

// resume asks how many bytes the registry has.
func (u *upload) resume(cause error) error {
	if u.loc == nil {
		return nil
	}
	if u.src.sentAll() { // the answer may have got lost
		if has, err := u.t.hasBlob(u.ctx, u.b); err == nil && has {
			u.done = true
			u.reset(u.b.Size)
			return nil
		}
	}
	if u.forms[0] != inChunks {
		return u.restart(cause)
	}
	r, err := u.t.do(u.ctx, order{method: http.MethodGet, u: u.loc}, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err == nil {
		err = u.follow(r)
	}
	switch {
	case Temporary(err):
		return u.recover(err)
	case err != nil && u.ctx.Err() != nil:
		return context.Cause(u.ctx)
	case err != nil:
		return u.restart(cause)
	}
	have, ok := uploaded(r.Header.Get("Range"), 0)
	switch {
	case !ok || have > u.src.sentMost():
		return u.restart(cause)
	case have < u.off:
		if u.restarts++; u.restarts > u.mayRestart() {
			return cause
		}
	case have > u.off:
		u.tries.progress(int(min(have-u.off, progressBytes)))
	}
	u.reset(have)
	return nil
}

func (u *upload) mayRestart() int { return max(u.t.c.retries, leastRestart) }

// restart begins anew. cause is the reason; nil if that is no failure.
func (u *upload) restart(cause error) error {
	if cause != nil {
		if u.restarts++; u.restarts > u.mayRestart() {
			return cause
		}
	}
	u.abandon()
	u.src.restart()
	u.reset(0)
	return nil
}

// otherForm begins anew with the next form.
func (u *upload) otherForm(cause error) error {
	if len(u.forms) == 1 {
		return cause
	}
	u.forms = u.forms[1:]
	u.lost, u.restarts = 0, 0
	return u.restart(nil)
}

// abandon tells the registry that the session is not needed any more. It does not matter
// whether that succeeds.
func (u *upload) abandon() {
	if u.loc == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abandonTime)
	defer cancel()
	if r, err := u.t.do(ctx, order{method: http.MethodDelete, u: u.loc}, http.StatusNoContent); err == nil {
		login.Drain(r.Response)
	}
	u.loc = nil
}
