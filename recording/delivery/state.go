package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"skillsage/recording"
	"skillsage/recording/durable"
	"skillsage/recording/upload"
)

// stateName is the file in a recording's folder that says how far it has come.
const stateName = "delivery.json"

const stateVersion = 1

// What has become of the operator's program.
const (
	commandDone   = "done"
	commandFailed = "failed"
)

// state is the content of the file.
type state struct {
	Version  int                   `json:"version"`
	Told     []recording.EventType `json:"told,omitempty"` // that the webhooks have on disk
	Upload   *upload.State         `json:"upload,omitempty"`
	Command  string                `json:"command,omitempty"`  // empty: it has to run yet
	Attempts int                   `json:"attempts,omitempty"` // to run it
	Finished time.Time             `json:"finished,omitzero"`  // when the recording has ended; known when all is Done
	Done     time.Time             `json:"done,omitzero"`      // nothing is left to be done
}

// readState reads the file; the zero state if there is none.
func readState(root *os.Root) (state, error) {
	content, err := root.ReadFile(stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(content, &s); err != nil {
		return state{}, fmt.Errorf("%s: %w", stateName, err)
	}
	if s.Version > stateVersion {
		return state{}, fmt.Errorf("%s was written by a later version of the program", stateName)
	}
	return s, nil
}

func writeState(root *os.Root, s state) error {
	s.Version = stateVersion
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.Write(root, stateName, append(content, '\n'))
}
