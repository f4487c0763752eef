//go:build !no_gcs

package upload

import _ "gocloud.dev/blob/gcsblob"

func init() { drivers["gs"] = &driver{open: openByURL, part: 1 << 20} }
