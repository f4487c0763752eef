package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"skillsage/recording"
)

// RecordingStats is what the metrics need of recording.Recorder.
type RecordingStats interface{ Stats() recording.Stats }

type recordingCollector struct{ source RecordingStats }

var recordingMetrics = []metric[recording.Stats]{
	gauge("recordings", "Recordings that run now.", func(s recording.Stats) float64 { return float64(s.Active) }),
	counter("recordings_started", "Recordings ever begun.", func(s recording.Stats) uint64 { return s.Started }),
	counter("recordings_finished", "Recordings that ended as they should, those of crashed processes included.", func(s recording.Stats) uint64 { return s.Finished }),
	counter("recordings_failed", "Recordings that ended before they should have, or could not begin.", func(s recording.Stats) uint64 { return s.Failed }),
	counter("recordings_recovered", "Recordings of crashed processes that were finished.", func(s recording.Stats) uint64 { return s.Recovered }),
	counter("recording_bytes", "Bytes of media files.", func(s recording.Stats) uint64 { return s.Bytes }),
	counter("recording_frames", "Frames of picture and voice that were recorded.", func(s recording.Stats) uint64 { return s.Frames }),
	counter("recording_gaps", "Times that media to be recorded were missing.", func(s recording.Stats) uint64 { return s.Gaps }),
	counter("recording_overflows", "Of the gaps, those for want of speed of the disk or the machine.", func(s recording.Stats) uint64 { return s.Overflows }),
	counter("recording_events_lost", "Events of interviews that were too many or too large to be recorded.", func(s recording.Stats) uint64 { return s.EventsLost }),
	counter("recording_syncs", "Times that a media file was made to last on the disk.", func(s recording.Stats) uint64 { return s.Syncs }),
	{
		prometheus.NewDesc("skillsage_recording_sync_seconds_total", "Time that this took.", nil, nil), prometheus.CounterValue,
		func(s recording.Stats) float64 { return s.SyncTime.Seconds() },
	},
	gauge("recording_free_bytes", "Space that the disk for recordings has left.", func(s recording.Stats) float64 { return float64(s.Free) }),
}

func (c recordingCollector) Describe(ch chan<- *prometheus.Desc) { describe(recordingMetrics, nil, ch) }

func (c recordingCollector) Collect(ch chan<- prometheus.Metric) {
	collect(recordingMetrics, nil, c.source.Stats(), ch)
}
