package store

import "path"

// Find looks for a recording by its own id alone, in all interviews; ErrNotFound if there is none.
func (s *Store) Find(id string) (*Folder, error) {
	if !ValidID(id) {
		return nil, ErrNotFound
	}
	entries, err := s.readDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		interview, known, ok := interviewOf(e)
		if ok && s.checkDir(path.Join(e.Name(), id)) == nil {
			return &Folder{store: s, parent: e.Name(), interview: interview, known: known, id: id}, nil
		}
	}
	return nil, ErrNotFound
}
