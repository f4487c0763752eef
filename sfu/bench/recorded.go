package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// recordedRow is a load whose uploads are recorded: 20 cameras of 1.5 Mbit/s.
var recordedRow = row{rooms: 20, viewers: 1, rate: 3125}

// measureRecorded measures a relay that records each candidate's camera, and wants all of it on the disk.
func measureRecorded(o options, r row) (result, error) {
	dir, err := os.MkdirTemp("", "bench-recordings-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	res, err := measureRelay(o, r, dir)
	if err != nil {
		return res, err
	}
	size, files := written(dir)
	if least := float64(res.sent/r.viewers) * packetSize * 0.9; files != r.rooms || size < least {
		return res, fmt.Errorf("%d files hold %.0f bytes, and %d should hold %.0f at least", files, size, r.rooms, least)
	}
	return res, nil
}

// written is what is in the media files under a folder, and how many there are.
func written(dir string) (bytes float64, files int) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".webm" {
			if info, err := entry.Info(); err == nil {
				bytes += float64(info.Size())
				files++
			}
		}
		return nil
	})
	return bytes, files
}

// runRecorded compares a relay that records with one that does not, in turns.
func runRecorded(o options) error {
	r := recordedRow
	streams := float64(r.rooms)
	var cpu, memory, heap []float64 // more than without, per stream
	for range o.rounds {
		plain, err := measureRelay(o, r, "")
		if err != nil {
			return fmt.Errorf("relay, %v: %w", r, err)
		}
		plain.print(r, "skillsage")
		recorded, err := measureRecorded(o, r)
		if err != nil {
			return fmt.Errorf("recording, %v: %w", r, err)
		}
		recorded.print(r, "recording")
		if plain.relay.legs != recorded.relay.legs {
			return errors.New("the two had different loads")
		}
		cpu = append(cpu, us(recorded.perPacket-plain.perPacket)*r.rate/streams/1000)
		memory = append(memory, (recorded.relay.resident-plain.relay.resident)/streams/1e3)
		heap = append(heap, (recorded.relay.heap-plain.relay.heap)/streams/1e3)
		fmt.Printf("%-26s %-10s %7.2f ms of CPU a second, %.0f kB of memory (heap %.0f) for each stream of %.2f Mbit/s\n",
			r, "more", cpu[len(cpu)-1], memory[len(memory)-1], heap[len(heap)-1], r.perRoom()*packetSize*8/1e6)
	}
	fmt.Printf("%-26s %-10s %7.2f ms of CPU a second, %.0f kB of memory (heap %.0f) for each recorded stream (medians)\n",
		r, "recording", middle(cpu), middle(memory), middle(heap))
	return nil
}
