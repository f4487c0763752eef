package sioclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

func open(ctx context.Context, base string, o Options) (transport, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/socket.io/"
	}
	q := url.Values{}
	for k, v := range o.Query {
		q[k] = v
	}
	q.Set("EIO", "4")
	switch o.Transport {
	case "", WebSocket:
		w, err := dialWebSocket(ctx, u, q, o.Header)
		if err != nil {
			return nil, err
		}
		packets, err := w.read()
		if err == nil && (len(packets) == 0 || !strings.HasPrefix(packets[0], "0")) {
			err = errors.New("no open packet")
		}
		if err != nil {
			w.abort()
			return nil, err
		}
		return w, nil
	case Polling, Upgrade:
		return openPolling(ctx, u, q, o.Header)
	}
	return nil, fmt.Errorf("unknown transport %q", o.Transport)
}

// wsConn is the WebSocket transport.
type wsConn struct {
	conn *websocket.Conn
	mu   sync.Mutex // one writer at a time
}

func dialWebSocket(ctx context.Context, base *url.URL, query url.Values, header http.Header) (*wsConn, error) {
	u := *base
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	q.Set("transport", "websocket")
	u.RawQuery = q.Encode()
	dialer := websocket.Dialer{HandshakeTimeout: dialTimeout}
	conn, resp, err := dialer.DialContext(ctx, u.String(), header)
	if err != nil {
		if resp != nil {
			return nil, fmt.Errorf("%w: %s", err, resp.Status)
		}
		return nil, err
	}
	return &wsConn{conn: conn}, nil
}

func (w *wsConn) read() ([]string, error) {
	for {
		kind, data, err := w.conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		if kind == websocket.TextMessage {
			return []string{string(data)}, nil
		}
	}
}

func (w *wsConn) write(packets ...string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range packets {
		kind, data := websocket.TextMessage, []byte(p)
		if text, ok := strings.CutPrefix(p, "b"); ok {
			var err error
			if data, err = base64.StdEncoding.DecodeString(text); err != nil {
				return err
			}
			kind = websocket.BinaryMessage
		}
		if err := w.conn.WriteMessage(kind, data); err != nil {
			return err
		}
	}
	return nil
}

func (w *wsConn) goodbye() {
	deadline := time.Now().Add(time.Second)
	_ = w.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), deadline)
	_ = w.conn.SetReadDeadline(deadline) // the reader ends with the server's close frame, or then
}

func (w *wsConn) abort() { w.conn.Close() }

// polling is the HTTP long-polling transport.
type polling struct {
	base   *url.URL
	query  url.Values // sid included
	header http.Header
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex // one POST at a time
}

func openPolling(ctx context.Context, base *url.URL, query url.Values, header http.Header) (*polling, error) {
	p := &polling{base: base, query: query, header: header, client: &http.Client{Transport: &http.Transport{}}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.query.Set("transport", "polling")
	packets, err := p.exchange(ctx, http.MethodGet, nil)
	if err != nil {
		p.abort()
		return nil, err
	}
	var hello struct{ SID string }
	if !strings.HasPrefix(packets, "0") || json.Unmarshal([]byte(packets[1:]), &hello) != nil || hello.SID == "" {
		p.abort()
		return nil, fmt.Errorf("no open packet: %.80q", packets)
	}
	p.query.Set("sid", hello.SID)
	return p, nil
}

func (p *polling) exchange(ctx context.Context, method string, body []byte) (string, error) {
	u := *p.base
	u.RawQuery = p.query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	for k, v := range p.header {
		req.Header[k] = v
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %.120s", method, resp.Status, text)
	}
	return string(text), err
}

func (p *polling) read() ([]string, error) {
	text, err := p.exchange(p.ctx, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	return strings.Split(text, "\x1e"), nil
}

func (p *polling) write(packets ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	_, err := p.exchange(ctx, http.MethodPost, []byte(strings.Join(packets, "\x1e")))
	return err
}

func (p *polling) goodbye() {
	_ = p.write("41", "1")
	p.abort()
}

func (p *polling) abort() {
	p.cancel()
	p.client.CloseIdleConnections()
}

// upgrade moves the session to a WebSocket; no poll may be pending.
func (p *polling) upgrade(ctx context.Context) (*wsConn, error) {
	w, err := dialWebSocket(ctx, p.base, p.query, p.header)
	if err != nil {
		return nil, err
	}
	if err = w.write("2probe"); err == nil {
		var packets []string
		if packets, err = w.read(); err == nil && packets[0] != "3probe" {
			err = fmt.Errorf("answer to the probe: %.80q", packets[0])
		}
	}
	if err == nil {
		err = w.write("5")
	}
	if err != nil {
		w.abort()
		return nil, err
	}
	p.abort()
	return w, nil
}
