package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	maxAnswer     = 64 << 10       // bytes of an answer that are read, so that its connection can be used again
	maxRetryAfter = 24 * time.Hour // of which a receiver may ask to be left alone
)

// newClient follows no redirects: a signed message goes where the operator has said and nowhere else.
func newClient(timeout time.Duration) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxAnswer
	transport.MaxIdleConnsPerHost = 1
	return &http.Client{
		Transport:     transport,
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// outcome is what became of an attempt. err is nil if the receiver has taken the message.
type outcome struct {
	status int
	err    error
	final  bool          // it makes no sense to try again
	after  time.Duration // that the receiver wants to be left alone; 0: it has not said
}

// send makes one attempt.
func (q *Queue) send(l *letter) outcome {
	body, err := q.read(l)
	if err != nil {
		// The system may be short of something now; but a file that is gone or broken stays so.
		var syntax *json.SyntaxError
		return outcome{err: err, final: errors.Is(err, fs.ErrNotExist) || errors.As(err, &syntax)}
	}
	request, err := q.request(q.ctx, l, body, time.Now())
	if err != nil {
		return outcome{err: err, final: true}
	}
	response, err := q.client.Do(request)
	if err != nil {
		// Its text has the URL, which may have a token in it.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return outcome{err: err}
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	return judge(response, time.Now())
}

func (q *Queue) request(ctx context.Context, l *letter, body []byte, now time.Time) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.endpoint.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	at := timestamp(now)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", q.opts.Agent)
	request.Header.Set("webhook-id", l.id)
	request.Header.Set("webhook-timestamp", at)
	request.Header.Set("webhook-signature", signature(q.opts.Secrets, l.id, at, body))
	return request, nil
}

func judge(response *http.Response, now time.Time) outcome {
	o := outcome{status: response.StatusCode}
	switch {
	case o.status >= 200 && o.status < 300:
		return o
	case o.status == http.StatusGone:
		o.err, o.final = errors.New("the receiver wants no more of them (410)"), true
	case o.status >= 300 && o.status < 400:
		o.err = fmt.Errorf("status %d, and redirects are not followed", o.status)
	default:
		o.err = fmt.Errorf("status %d", o.status)
	}
	o.after = retryAfter(response.Header.Get("Retry-After"), now)
	return o
}

// retryAfter reads the header (RFC 9110, section 10.2.3): seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
