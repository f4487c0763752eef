//go:build !no_azure

package upload

import _ "gocloud.dev/blob/azureblob"

// 50,000 parts of these make a file of 48 GiB.
func init() { drivers["azblob"] = &driver{open: openByURL, told: true, part: 1 << 20} }
