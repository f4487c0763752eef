package matroska

import "os"

// Repair finishes a file in place whose writer died: it cuts off what is torn behind
// the last whole cluster, and writes Cues, sizes and duration. Each of its steps
// leaves a file that plays and that it can be called on again; a file that is
// finished is not changed. ErrEmpty: there is nothing worth keeping. ErrForeign:
// this package has not written the file.
func Repair(f *os.File) (Info, error) {
	h, x, size, err := read(f)
	if err != nil {
		return Info{}, err
	}
	torn := size - x.end
	if h.size == size {
		torn = 0
	}
	info, err := finish(f, h, x)
	info.Torn = torn
	return info, err
}

// Inspect tells what a file holds, finished or not. Errors as those of Repair.
func Inspect(f *os.File) (Info, error) {
	h, x, size, err := read(f)
	if err != nil {
		return Info{}, err
	}
	if x.empty() {
		return Info{}, ErrEmpty
	}
	info := describe(h, x, size)
	if !info.Complete {
		info.Torn = size - x.end
	}
	return info, nil
}

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
	return h, x, stat.Size(), nil
}
