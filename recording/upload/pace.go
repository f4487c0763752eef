package upload

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// chunk is how much is read at once where the bandwidth has a bound, in bytes.
const chunk = 32 << 10

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	io.Reader
}

func (r cancelled) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// movedKey is of a context's function that is called when something has moved.
type movedKey struct{}

// movedOf is that function; one that does nothing if there is none.
func movedOf(ctx context.Context) func() {
	if moved, ok := ctx.Value(movedKey{}).(func()); ok {
		return moved
	}
	return func() {}
}

// moving is a reader that keeps to the bandwidth and tells when something has moved.
func (u *Uploader) moving(ctx context.Context, r io.Reader) io.Reader {
	limit := u.limit
	if u.driver.paced {
		limit = nil
	}
	return paced{ctx, r, limit, movedOf(ctx)}
}

type paced struct {
	ctx   context.Context
	r     io.Reader
	limit *rate.Limiter // nil: no bound
	moved func()
}

func (p paced) Read(b []byte) (int, error) {
	if p.limit != nil {
		b = b[:min(len(b), chunk)]
	}
	n, err := cancelled{p.ctx, p.r}.Read(b)
	if n > 0 && p.limit != nil {
		if errWait := p.limit.WaitN(p.ctx, n); errWait != nil {
			return n, errWait
		}
	}
	p.moved()
	return n, err
}
