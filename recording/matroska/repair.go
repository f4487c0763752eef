package matroska

import "os"

// maxTorn is more than one write can leave behind the last whole cluster. Each is
// on the disk before the next one begins, so a larger rest is no work of a crash.
const maxTorn = 2 * (pendingBytes + MaxFrame)

// Repair finishes a file in place whose writer died: it cuts off what is torn behind
// the last whole cluster, and writes Cues, sizes and duration. Each of its steps
// leaves a file that plays and that it can be called on again; a file that is
// finished is not changed. ErrEmpty: there is nothing worth keeping. ErrForeign:
// this package has not written the file. ErrDamaged: it is broken in the middle, and
// is left as it is.
func Repair(f *os.File) (Info, error) {
	h, x, size, err := read(f)
	if err != nil {
		return Info{}, err
	}
	torn := size - x.end
	switch {
	case h.size == size:
		if whole := x.end == size || x.end == h.cues; !whole {
			return Info{}, ErrDamaged
		}
		return describe(h, x, size), nil
	case torn > maxTorn:
		return Info{}, ErrDamaged
	}
	info, err := finish(f, h, x)
	info.Torn = torn
	return info, err
}

// Inspect tells what a file holds, finished or not. Errors as those of Repair, but for ErrDamaged: of a
// broken file it tells what is there before the break.
func Inspect(f *os.File) (Info, error) {
	h, x, size, err := read(f)
	if err != nil {
		return Info{}, err
	}
	info := describe(h, x, size)
	if !info.Complete {
		info.Torn = size - x.end
	}
	return info, nil
}

// read reads a file's head and clusters, and how many bytes it has.
func read(f *os.File) (*head, *index, int64, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, nil, 0, err
	}
	h, err := readHead(f)
	if err != nil {
		return nil, nil, 0, err
	}
	x := newIndex(h)
	x.scan(&source{r: f}, stat.Size())
	if x.empty() {
		return nil, nil, 0, ErrEmpty
	}
	return h, x, stat.Size(), nil
}
