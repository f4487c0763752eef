//go:build !no_s3

package upload

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"golang.org/x/time/rate"
)

func init() {
	// Less than 5 MiB is not allowed; 10,000 parts of these make a file of 78 GiB.
	drivers["s3"] = &driver{open: openS3, paced: true, part: 8 << 20}
}

// openS3 opens the bucket with a client that keeps to the bandwidth, and sees what moves, on the line: parts are so large that
// calls would feel a burst of each, and that reading one from the file says little.
func openS3(ctx context.Context, u *Uploader) (*blob.Bucket, error) {
	bucket, err := openByURL(ctx, u)
	if err != nil {
		return nil, err
	}
	defer bucket.Close()
	var client *s3.Client
	if !bucket.As(&client) {
		return nil, errors.New("the bucket has no client of S3")
	}
	options := client.Options()
	options.HTTPClient = pacedClient{options.HTTPClient, u.limit}
	// It would write to standard error about each object that came in parts; what is read back is verified here.
	options.DisableLogOutputChecksumValidationSkipped = true
	query := u.url.Query()
	return s3blob.OpenBucket(ctx, s3.New(options), u.url.Host, &s3blob.Options{
		EncryptionType:             encryption(query.Get("ssetype")),
		KMSEncryptionID:            query.Get("kmskeyid"),
		RequestChecksumCalculation: options.RequestChecksumCalculation,
	})
}

// encryption is the type that a URL names; it has been found valid.
func encryption(name string) types.ServerSideEncryption {
	for _, known := range types.ServerSideEncryption("").Values() {
		if strings.EqualFold(string(known), name) {
			return known
		}
	}
	return ""
}

// pacedClient holds the bodies of requests and answers to a bandwidth.
type pacedClient struct {
	next  s3.HTTPClient
	limit *rate.Limiter // nil: no bound
}

func (c pacedClient) Do(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	if request.Body != nil && request.Body != http.NoBody {
		request.Body = c.body(ctx, request.Body)
	}
	response, err := c.next.Do(request)
	if err == nil {
		response.Body = c.body(ctx, response.Body)
	}
	return response, err
}

func (c pacedClient) body(ctx context.Context, body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{paced{ctx, body, c.limit, movedOf(ctx)}, body}
}
