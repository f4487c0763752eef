package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const maxRequest = 16 << 10 // bytes of a request's body

// problem is why a request to the API was not carried out; it is sent as {"error": {"code", "message"}}.
type problem struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (p *problem) Error() string { return p.Message }

func badRequest(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, "bad-request", fmt.Sprintf(format, args...)}
}

// apiHandler answers with the JSON of what it returns, or with a problem; nil when it has answered itself.
type apiHandler func(w http.ResponseWriter, r *http.Request) (any, error)

// methods are the handlers of one path by method; GET answers HEAD too. What changes something is not done for a page
// of another site, whatever its visitor has signed in to: browsers say where a request comes from, and let no form send JSON.
type methods map[string]apiHandler

var sameOrigin = http.NewCrossOriginProtection()

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	handler := m[method]
	answer, err := any(nil), error(nil)
	switch {
	case handler == nil:
		w.Header().Set("Allow", m.allow())
		err = &problem{http.StatusMethodNotAllowed, "bad-method", r.Method + " does nothing here; allowed: " + m.allow()}
	case sameOrigin.Check(r) != nil:
		err = &problem{http.StatusForbidden, "cross-site", "this is not for the pages of other sites"}
	case method == http.MethodPost && !isJSON(r):
		err = &problem{http.StatusUnsupportedMediaType, "bad-type", "the body has to be JSON, with Content-Type: application/json"}
	default:
		answer, err = handler(w, r)
	}
	if err != nil {
		writeProblem(w, err)
	} else if answer != nil {
		writeJSON(w, http.StatusOK, answer)
	}
}

func (m methods) allow() string {
	var all []string
	for method := range m {
		all = append(all, method)
		if method == http.MethodGet {
			all = append(all, http.MethodHead)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

func writeProblem(w http.ResponseWriter, err error) {
	p := new(problem)
	if !errors.As(err, &p) {
		p = &problem{http.StatusInternalServerError, "error", err.Error()}
	}
	writeJSON(w, p.Status, map[string]*problem{"error": p})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	// A client that has gone away is no concern of ours.
	_ = encoder.Encode(body)
}

// readJSON reads the object in a request's body into one of ours. What the object must not have is named.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	tooLarge, badType := new(http.MaxBytesError), new(json.UnmarshalTypeError)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return &problem{http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("the body is longer than %d bytes", tooLarge.Limit)}
	case errors.As(err, &badType) && badType.Field != "":
		return badRequest("%s must not be a %s", badType.Field, badType.Value)
	case errors.Is(err, io.EOF):
		return badRequest("the body is empty; it has to be a JSON object")
	}
	return badRequest("the body: %s", strings.TrimPrefix(err.Error(), "json: "))
}
