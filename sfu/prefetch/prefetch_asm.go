//go:build amd64 || arm64

package prefetch

// Supported says whether a Plan has any effect on this processor.
const Supported = true

// fetch asks for the lines of n spans; there is at least one, of at least one line. The instruction takes no notice of addresses
// that are none.
//
//go:noescape
func fetch(spans *uintptr, n int)
