package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skillsage/recording/delivery"
)

// DeliveryStats is what the metrics need of delivery.Delivery.
type DeliveryStats interface{ Stats() delivery.Stats }

type deliveryCollector struct{ source DeliveryStats }

var deliveryMetrics = []metric[delivery.Stats]{
	gauge("recordings_waiting", "Recordings that have ended, and for which something is still to be done.", func(s delivery.Stats) float64 { return float64(s.Waiting) }),
	counter("recordings_delivered", "Recordings for which everything has been done.", func(s delivery.Stats) uint64 { return s.Delivered }),
	counter("recordings_uploaded", "Recordings that have arrived in the bucket.", func(s delivery.Stats) uint64 { return s.Uploaded }),
	counter("recording_uploaded_bytes", "Bytes that have arrived in the bucket.", func(s delivery.Stats) uint64 { return s.UploadedBytes }),
	counter("recording_upload_failures", "Attempts to upload a recording that have failed.", func(s delivery.Stats) uint64 { return s.UploadFailures }),
	counter("recording_programs", "Runs of the operator's program that have ended.", func(s delivery.Stats) uint64 { return s.Command.Runs }),
	counter("recording_program_failures", "Of them, those that have failed.", func(s delivery.Stats) uint64 { return s.Command.Failed }),
	counter("recording_programs_given_up", "Recordings for which the program has failed each time.", func(s delivery.Stats) uint64 { return s.CommandsGivenUp }),
	gauge("recording_webhooks_queued", "Webhooks that wait, counted once for each URL.", func(s delivery.Stats) float64 { return float64(s.Webhooks.Queued) }),
	gauge("recording_webhooks_oldest_seconds", "How long the oldest of them has waited.", func(s delivery.Stats) float64 {
		if s.Webhooks.Oldest.IsZero() {
			return 0
		}
		return time.Since(s.Webhooks.Oldest).Seconds()
	}),
	counter("recording_webhooks_delivered", "Webhooks that receivers have taken.", func(s delivery.Stats) uint64 { return s.Webhooks.Delivered }),
	counter("recording_webhook_failures", "Attempts that have failed.", func(s delivery.Stats) uint64 { return s.Webhooks.Failed }),
	counter("recording_webhooks_given_up", "Webhooks that nobody has taken in time.", func(s delivery.Stats) uint64 { return s.Webhooks.Dead }),
	counter("recordings_removed_uploaded", "Recordings removed here since they have been uploaded.", func(s delivery.Stats) uint64 { return s.Deleted }),
	counter("recordings_removed_age", "Recordings removed for their age.", func(s delivery.Stats) uint64 { return s.Expired }),
	counter("recordings_removed_share", "Recordings removed for their share of the disk.", func(s delivery.Stats) uint64 { return s.Displaced }),
	counter("recording_freed_bytes", "Bytes that the removal for age and share has freed.", func(s delivery.Stats) uint64 { return s.Freed }),
}

func (c deliveryCollector) Describe(ch chan<- *prometheus.Desc) { describe(deliveryMetrics, nil, ch) }

func (c deliveryCollector) Collect(ch chan<- prometheus.Metric) {
	collect(deliveryMetrics, nil, c.source.Stats(), ch)
}
