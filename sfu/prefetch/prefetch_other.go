//go:build !amd64 && !arm64

package prefetch

// Supported says whether a Plan has any effect on this processor.
const Supported = false

func fetch(*uintptr, int) {}
