package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"skillsage/sfu"
)

// streamCollector tells the sums over all streams and the distributions over legs. No label names a member or a room.
type streamCollector struct{ source RelayStats }

// perMedia are counters with the label media: audio, camera or screen.
var perMedia = [sfu.Counters]*prometheus.Desc{
	sfu.ReceivedPackets:          mediaDesc("rtp_received_packets", "RTP packets from clients, repaired ones among them."),
	sfu.ReceivedBytes:            mediaDesc("rtp_received_bytes", "Their payloads."),
	sfu.ReceivedExpected:         mediaDesc("rtp_expected_packets", "RTP packets that clients have sent, by the sequence numbers, without retransmissions."),
	sfu.ReceivedMissing:          mediaDesc("rtp_missing_packets", "Packets from clients found missing, those that came later among them."),
	sfu.ReceivedRepaired:         mediaDesc("rtp_repaired_packets", "Packets from clients that came as retransmissions."),
	sfu.ReceivedGivenUp:          mediaDesc("rtp_given_up_packets", "Missing packets that were not waited for any longer."),
	sfu.ReceivedMalformed:        mediaDesc("rtp_malformed_packets", "Packets from clients that were not RTP or had a format that was not negotiated."),
	sfu.NACKsSent:                mediaDesc("nacks_sent", "Packets that clients were asked for again."),
	sfu.KeyFramesReceived:        mediaDesc("key_frames_received", "Key frames of sources."),
	sfu.KeyFrameRequestsSent:     mediaDesc("key_frame_requests_sent", "Key frames that clients were asked for."),
	sfu.SentPackets:              mediaDesc("rtp_sent_packets", "RTP packets to viewers, without retransmissions."),
	sfu.SentBytes:                mediaDesc("rtp_sent_bytes", "Their payloads."),
	sfu.SentLost:                 mediaDesc("rtp_sent_lost_packets", "Packets to viewers that got lost, by the viewers' receiver reports."),
	sfu.SentRetransmitted:        mediaDesc("rtp_retransmitted_packets", "Packets sent to viewers again: requests that the cache could serve."),
	sfu.SentRepeated:             mediaDesc("rtp_repeated_packets", "Of them, those sent twice, because the viewer loses repairs too."),
	sfu.SentErrors:               mediaDesc("rtp_send_errors", "Packets to viewers that could not be written."),
	sfu.NACKsReceived:            mediaDesc("nacks_received", "Packets that viewers asked for again."),
	sfu.NACKsMissed:              mediaDesc("nack_misses", "Of them, those that were not in the cache."),
	sfu.NACKsLimited:             mediaDesc("nacks_limited", "Of them, those sent again too recently or too often."),
	sfu.KeyFramesSent:            mediaDesc("key_frames_sent", "Key frames to viewers."),
	sfu.KeyFrameRequestsReceived: mediaDesc("key_frame_requests_received", "Key frames that viewers asked for (PLI and FIR)."),
	sfu.Gaps:                     mediaDesc("forwarding_gaps", "Times over 500 ms without a packet of a running camera at a viewer."),
	sfu.LayerSwitches:            mediaDesc("layer_switches", "Times a viewer went on with another simulcast layer."),
	sfu.Replays:                  mediaDesc("replays", "Times a viewer began with packets of the cache."),
}

func mediaDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("skillsage_"+name+"_total", help, []string{"media"}, nil)
}

// distributions are histograms, some of which share a name and differ by the label direction: received is from the
// client to the server.
var distributions = func() [sfu.Distributions]distribution {
	jitter := prometheus.NewDesc("skillsage_leg_jitter_seconds", "Interarrival jitter (RFC 3550) of each connected leg's worst stream, once a second.", []string{"direction"}, nil)
	loss := prometheus.NewDesc("skillsage_leg_loss_ratio", "Packets lost before repair on each connected leg, 0 to 1, once a second.", []string{"direction"}, nil)
	plain := func(name, help string) distribution {
		return distribution{desc: prometheus.NewDesc("skillsage_"+name, help, nil, nil)}
	}
	return [sfu.Distributions]distribution{
		sfu.RoundTrip:      plain("leg_round_trip_seconds", "Round trip time of each connected leg, once a second."),
		sfu.ReceivedJitter: {jitter, []string{"received"}},
		sfu.SentJitter:     {jitter, []string{"sent"}},
		sfu.ReceivedLoss:   {loss, []string{"received"}},
		sfu.SentLoss:       {loss, []string{"sent"}},
		sfu.Estimate:       plain("leg_estimate_bytes_per_second", "What goes through to each connected leg's client at least, where that is known, once a second."),
		sfu.SetUp:          plain("leg_setup_seconds", "From the answer of a leg to its connection, once for each leg."),
	}
}()

type distribution struct {
	desc   *prometheus.Desc
	labels []string
}

var connectedDesc = prometheus.NewDesc("skillsage_connected_legs", "Media connections that are up now, by transport and by the type of the client's ICE candidate.",
	[]string{"transport", "candidate_type"}, nil)

func (c streamCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range perMedia {
		ch <- desc
	}
	for _, d := range distributions {
		ch <- d.desc
	}
	ch <- connectedDesc
}

func (c streamCollector) Collect(ch chan<- prometheus.Metric) {
	totals := c.source.Totals()
	for class, counts := range totals.Media {
		for counter, n := range counts {
			ch <- prometheus.MustNewConstMetric(perMedia[counter], prometheus.CounterValue, float64(n), sfu.Class(class).String())
		}
	}
	for d, h := range totals.Distributions {
		buckets, below := make(map[float64]uint64), uint64(0)
		for i, bound := range sfu.Distribution(d).Bounds() {
			below += h.Buckets[i]
			buckets[bound] = below
		}
		ch <- prometheus.MustNewConstHistogram(distributions[d].desc, h.Count, h.Sum, buckets, distributions[d].labels...)
	}
	connected := map[[2]string]int{{"udp", "host"}: 0, {"udp", "srflx"}: 0, {"udp", "prflx"}: 0, {"udp", "relay"}: 0}
	for path, n := range totals.Connected {
		connected[[2]string{path.Transport, path.Remote}] += n
	}
	for labels, n := range connected {
		ch <- prometheus.MustNewConstMetric(connectedDesc, prometheus.GaugeValue, float64(n), labels[0], labels[1])
	}
}
