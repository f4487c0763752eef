package httpapi

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"skillsage/network"
	"skillsage/network/front"
	"skillsage/network/icetcp"
	"skillsage/network/traffic"
	"skillsage/network/turn"
	"skillsage/sfu"
	"skillsage/signaling"
)

// SignalingStats is what the metrics need of signaling.Server.
type SignalingStats interface{ Stats() signaling.Stats }

// RelayStats is what the metrics and the debug page need of sfu.Engine.
type RelayStats interface {
	Stats() sfu.Stats
	Totals() sfu.Totals
	Snapshot(context.Context) ([]sfu.RoomStats, error)
}

// MediaStats is what the metrics need of network.Port.
type MediaStats interface{ Stats() network.Stats }

// FrontStats is what the metrics need of front.Front.
type FrontStats interface{ Stats() front.Stats }

// TCPStats is what the metrics need of icetcp.Mux.
type TCPStats interface{ Stats() icetcp.Stats }

// TURNStats is what the metrics need of turn.Server.
type TURNStats interface{ Stats() turn.Stats }

// metricsHandler answers in the Prometheus format.
func metricsHandler(o AdminOptions) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		signalingCollector{o.Signaling},
		frontCollector{o.Front},
	)
	if o.Relay != nil {
		registry.MustRegister(relayCollector{o.Relay}, streamCollector{o.Relay})
	}
	if o.Media != nil {
		registry.MustRegister(mediaCollector{o.Media})
	}
	if o.TCPMedia != nil {
		registry.MustRegister(tcpCollector{o.TCPMedia})
	}
	if o.TURN != nil {
		registry.MustRegister(turnCollector{o.TURN})
	}
	if o.Recording != nil {
		registry.MustRegister(recordingCollector{o.Recording})
	}
	if o.Delivery != nil {
		registry.MustRegister(deliveryCollector{o.Delivery})
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// metric is one time series of a snapshot of type S.
type metric[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(S) float64
}

func gauge[S any](name, help string, read func(S) float64) metric[S] {
	return metric[S]{prometheus.NewDesc("skillsage_"+name, help, nil, nil), prometheus.GaugeValue, read}
}

func counter[S any](name, help string, read func(S) uint64) metric[S] {
	return metric[S]{prometheus.NewDesc("skillsage_"+name+"_total", help, nil, nil), prometheus.CounterValue,
		func(s S) float64 { return float64(read(s)) }}
}

// labelled is a family of counters with one label. Its values come from fixed tables, never from a client.
type labelled[S any] struct {
	desc *prometheus.Desc
	read func(S) map[string]uint64
}

func family[S any](name, help, label string, read func(S) map[string]uint64) labelled[S] {
	return labelled[S]{prometheus.NewDesc("skillsage_"+name+"_total", help, []string{label}, nil), read}
}

func describe[S any](all []metric[S], families []labelled[S], ch chan<- *prometheus.Desc) {
	for _, m := range all {
		ch <- m.desc
	}
	for _, f := range families {
		ch <- f.desc
	}
}

func collect[S any](all []metric[S], families []labelled[S], s S, ch chan<- prometheus.Metric) {
	for _, m := range all {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(s))
	}
	for _, f := range families {
		for label, n := range f.read(s) {
			ch <- prometheus.MustNewConstMetric(f.desc, prometheus.CounterValue, float64(n), label)
		}
	}
}

type signalingCollector struct{ source SignalingStats }

var signalingMetrics = []metric[signaling.Stats]{
	gauge("rooms", "Rooms with somebody in them.", func(s signaling.Stats) float64 { return float64(s.Rooms) }),
	gauge("members", "Sockets in rooms, those that may come back included.", func(s signaling.Stats) float64 { return float64(s.Members) }),
	counter("joins", "Joins that others were told of.", func(s signaling.Stats) uint64 { return s.Joined }),
	counter("leaves", "Leaves of every kind.", func(s signaling.Stats) uint64 { return s.Left }),
	counter("evictions", "Members with a broken connection removed to make room.", func(s signaling.Stats) uint64 { return s.Evicted }),
	counter("signals_forwarded", "Session descriptions forwarded in p2p mode.", func(s signaling.Stats) uint64 { return s.SignalsForwarded }),
	counter("candidates_forwarded", "ICE candidates forwarded in p2p mode.", func(s signaling.Stats) uint64 { return s.CandidatesForwarded }),
	counter("relay_signals", "Session descriptions handed to the relay.", func(s signaling.Stats) uint64 { return s.RelaySignals }),
	counter("relay_candidates", "ICE candidates handed to the relay.", func(s signaling.Stats) uint64 { return s.RelayCandidates }),
	counter("relay_sent", "Session descriptions sent by the relay.", func(s signaling.Stats) uint64 { return s.RelaySent }),
	counter("events_delayed", "Events of sockets above their rate.", func(s signaling.Stats) uint64 { return s.Delayed }),
	gauge("sessions", "Engine.IO sessions open now.", func(s signaling.Stats) float64 { return float64(s.SocketIO.Engine.Sessions) }),
	gauge("sessions_polling", "Engine.IO sessions open now that use long-polling.", func(s signaling.Stats) float64 { return float64(s.SocketIO.Engine.Polling) }),
	gauge("sockets", "Socket.IO sockets, those that may come back included.", func(s signaling.Stats) float64 { return float64(s.SocketIO.Sockets) }),
	gauge("sockets_suspended", "Socket.IO sockets whose connection broke and that may come back.", func(s signaling.Stats) float64 { return float64(s.SocketIO.Suspended) }),
	counter("sessions_opened", "Engine.IO sessions ever opened.", func(s signaling.Stats) uint64 { return s.SocketIO.Engine.Opened }),
	counter("session_upgrades", "Sessions that moved from polling to WebSocket.", func(s signaling.Stats) uint64 { return s.SocketIO.Engine.Upgrades }),
	counter("received_bytes", "Bytes of messages from clients.", func(s signaling.Stats) uint64 { return s.SocketIO.Engine.BytesIn }),
	counter("sent_bytes", "Bytes of messages to clients.", func(s signaling.Stats) uint64 { return s.SocketIO.Engine.BytesOut }),
	counter("events_received", "Socket.IO events from clients.", func(s signaling.Stats) uint64 { return s.SocketIO.EventsIn }),
	counter("events_sent", "Socket.IO events to clients.", func(s signaling.Stats) uint64 { return s.SocketIO.EventsOut }),
	counter("sockets_recovered", "Sockets whose client came back in time.", func(s signaling.Stats) uint64 { return s.SocketIO.Recovered }),
	counter("sockets_expired", "Sockets whose client did not come back in time.", func(s signaling.Stats) uint64 { return s.SocketIO.RecoveryExpired }),
	counter("protocol_violations", "Connections closed because of what the client sent.", func(s signaling.Stats) uint64 { return s.SocketIO.Violations }),
	counter("handler_panics", "Panics caught in the handling of events.", func(s signaling.Stats) uint64 { return s.SocketIO.Panics + s.SocketIO.Engine.Panics }),
	counter("signaling_panics", "Panics caught in calls of the relay.", func(s signaling.Stats) uint64 { return s.Panics }),
}

var signalingFamilies = []labelled[signaling.Stats]{
	family("events_refused", "Events answered with an error.", "code", func(s signaling.Stats) map[string]uint64 { return s.Refused }),
	family("events_dropped", "Events dropped silently.", "reason", func(s signaling.Stats) map[string]uint64 { return s.Dropped }),
	family("leg_states", "Changes of state of media connections.", "state", func(s signaling.Stats) map[string]uint64 { return s.LegStates }),
	family("requests_refused", "HTTP requests of the signaling that were refused.", "reason", func(s signaling.Stats) map[string]uint64 { return s.SocketIO.Engine.Refused }),
	family("sessions_closed", "Engine.IO sessions by why they ended.", "reason", func(s signaling.Stats) map[string]uint64 {
		closed := make(map[string]uint64, len(s.SocketIO.Engine.Closed))
		for reason, n := range s.SocketIO.Engine.Closed {
			closed[string(reason)] = n
		}
		return closed
	}),
}

func (c signalingCollector) Describe(ch chan<- *prometheus.Desc) {
	describe(signalingMetrics, signalingFamilies, ch)
}

func (c signalingCollector) Collect(ch chan<- prometheus.Metric) {
	collect(signalingMetrics, signalingFamilies, c.source.Stats(), ch)
}

type frontCollector struct{ source FrontStats }

var frontMetrics = []metric[front.Stats]{
	gauge("tcp_connections_pending", "TCP connections that are being told apart now.", func(s front.Stats) float64 { return float64(s.Pending) }),
	counter("tcp_connections_accepted", "TCP connections ever accepted.", func(s front.Stats) uint64 { return s.Accepted }),
	counter("tcp_accept_errors", "Times that TCP connections could not be accepted, for lack of files for example.", func(s front.Stats) uint64 { return s.AcceptErrors }),
}

var frontFamilies = []labelled[front.Stats]{
	family("tcp_connections", "TCP connections by what they turned out to carry.", "protocol", func(s front.Stats) map[string]uint64 { return s.Delivered }),
	family("tcp_connections_closed", "TCP connections closed before they carried anything, by the reason.", "reason", func(s front.Stats) map[string]uint64 { return s.Closed }),
}

func (c frontCollector) Describe(ch chan<- *prometheus.Desc) {
	describe(frontMetrics, frontFamilies, ch)
}

func (c frontCollector) Collect(ch chan<- prometheus.Metric) {
	collect(frontMetrics, frontFamilies, c.source.Stats(), ch)
}

type relayCollector struct{ source RelayStats }

var relayMetrics = []metric[sfu.Stats]{
	gauge("relay_rooms", "Rooms that the relay knows.", func(s sfu.Stats) float64 { return float64(s.Rooms) }),
	gauge("legs", "Media connections open now.", func(s sfu.Stats) float64 { return float64(s.Legs) }),
	counter("legs_opened", "Media connections ever opened.", func(s sfu.Stats) uint64 { return s.LegsOpened }),
	counter("legs_refused", "Media connections refused at a limit.", func(s sfu.Stats) uint64 { return s.LegsRefused }),
	counter("legs_connected", "Media connections that came up.", func(s sfu.Stats) uint64 { return s.LegsConnected }),
	counter("legs_failed", "Media connections that failed.", func(s sfu.Stats) uint64 { return s.LegsFailed }),
	counter("offers_held", "Offers held until the far side answered.", func(s sfu.Stats) uint64 { return s.OffersHeld }),
	counter("offers_unanswered", "Offers of the server that nobody answered in time.", func(s sfu.Stats) uint64 { return s.OffersUnanswered }),
	counter("glares", "Offers that crossed one of the server's.", func(s sfu.Stats) uint64 { return s.Glares }),
	counter("rehomed", "Calls that had to be set up anew.", func(s sfu.Stats) uint64 { return s.Rehomed }),
	counter("ice_restarts", "ICE restarts of the server, for clients that it did not hear of.", func(s sfu.Stats) uint64 { return s.ICERestarts }),
	counter("refilled", "Sources asked for again after their packets stopped.", func(s sfu.Stats) uint64 { return s.Refilled }),
	counter("late_answers", "Answers that came after their offer was given up.", func(s sfu.Stats) uint64 { return s.LateAnswers }),
	counter("candidates_dropped", "ICE candidates that belonged to nothing.", func(s sfu.Stats) uint64 { return s.CandidatesDropped }),
	counter("data_channels", "Data channels bridged.", func(s sfu.Stats) uint64 { return s.DataChannels }),
	counter("data_channel_messages_lost", "Messages that a data channel could not pass on.", func(s sfu.Stats) uint64 { return s.DataChannelsLost }),
	counter("upstreams_started", "Streams of clients that began to arrive.", func(s sfu.Stats) uint64 { return s.UpstreamsStarted }),
	counter("uploads_moved", "Uploads that another leg of the same client took over.", func(s sfu.Stats) uint64 { return s.UploadsMoved }),
	counter("small_uploads", "Times that a leg changed between the common and a small upload.", func(s sfu.Stats) uint64 { return s.SmallUploads }),
	counter("second_uploads", "Tracks sent a second time in another codec.", func(s sfu.Stats) uint64 { return s.SecondUploads }),
	counter("unsupported", "Calls whose members share no codec of a kind.", func(s sfu.Stats) uint64 { return s.Unsupported }),
	counter("carrier_switches", "Sources that moved to another connection.", func(s sfu.Stats) uint64 { return s.CarrierSwitch }),
}

// mediaTroubles counts by two labels, which come from sfu.MediaReasons.
var mediaTroubles = prometheus.NewDesc("skillsage_media_missing_total",
	"Times that the members of a call were told that no media come of one of them.", []string{"state", "reason"}, nil)

func (c relayCollector) Describe(ch chan<- *prometheus.Desc) {
	describe(relayMetrics, nil, ch)
	ch <- mediaTroubles
}

func (c relayCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Stats()
	collect(relayMetrics, nil, s, ch)
	for i, n := range s.MediaTroubles {
		why := sfu.MediaReasons[i]
		ch <- prometheus.MustNewConstMetric(mediaTroubles, prometheus.CounterValue, float64(n), string(why.State), string(why.Reason))
	}
}

type mediaCollector struct{ source MediaStats }

var mediaMetrics = []metric[network.Stats]{
	gauge("udp_mux_connections", "Connections that ICE agents hold on the media port: one for each leg and address of the port.", func(s network.Stats) float64 { return float64(s.Connections) }),
	counter("udp_packets_received", "Packets received on the media port.", func(s network.Stats) uint64 { return s.PacketsIn }),
	counter("udp_packets_direct", "Of the packets received, media that went past the WebRTC stack.", func(s network.Stats) uint64 { return s.Direct }),
	counter("udp_reads", "System calls that received them.", func(s network.Stats) uint64 { return s.Reads }),
	counter("udp_packets_sent", "Packets sent from the media port.", func(s network.Stats) uint64 { return s.PacketsOut }),
	counter("udp_writes", "System calls that sent them.", func(s network.Stats) uint64 { return s.Writes }),
	counter("udp_packets_dropped", "Packets not sent because the kernel took no more.", func(s network.Stats) uint64 { return s.Dropped }),
	counter("udp_packets_failed", "Packets that the kernel refused to send.", func(s network.Stats) uint64 { return s.Failed }),
	counter("udp_packets_malformed", "Packets received that were too large to be WebRTC.", func(s network.Stats) uint64 { return s.Malformed }),
	counter("udp_packets_turn", "Of the packets received, those for the TURN server.", func(s network.Stats) uint64 { return s.TURN }),
	counter("udp_packets_overrun", "Packets for the TURN server, or relayed by it to the media port, that found their queue full.", func(s network.Stats) uint64 { return s.Overrun }),
}

func (c mediaCollector) Describe(ch chan<- *prometheus.Desc) { describe(mediaMetrics, nil, ch) }

func (c mediaCollector) Collect(ch chan<- prometheus.Metric) {
	collect(mediaMetrics, nil, c.source.Stats(), ch)
}

type turnCollector struct{ source TURNStats }

var (
	turnMetrics = []metric[turn.Stats]{
		gauge("turn_allocations", "Relayed addresses that clients have now.", func(s turn.Stats) float64 { return float64(s.Allocations) }),
		counter("turn_allocations_made", "Relayed addresses that were given to clients.", func(s turn.Stats) uint64 { return s.AllocationsMade }),
		counter("turn_bytes_received", "Data that clients had relayed.", func(s turn.Stats) uint64 { return s.BytesReceived }),
		counter("turn_bytes_sent", "Data that was relayed to clients.", func(s turn.Stats) uint64 { return s.BytesSent }),
		counter("turn_packets_dropped", "Packets not relayed: no bandwidth left, a client too slow, or an address that may not be reached.", func(s turn.Stats) uint64 { return s.PacketsDropped }),
	}
	turnRefused = prometheus.NewDesc("skillsage_turn_refused_total", "Requests of TURN clients that were refused, by reason.", []string{"reason"}, nil)
)

func (c turnCollector) Describe(ch chan<- *prometheus.Desc) {
	describe(turnMetrics, nil, ch)
	ch <- turnRefused
}

func (c turnCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Stats()
	collect(turnMetrics, nil, s, ch)
	for reason, n := range s.Refused {
		ch <- prometheus.MustNewConstMetric(turnRefused, prometheus.CounterValue, float64(n), reason)
	}
}

type tcpCollector struct{ source TCPStats }

var tcpMetrics = []metric[icetcp.Stats]{
	gauge("ice_tcp_connections", "TCP connections that carry media.", func(s icetcp.Stats) float64 { return float64(s.Connections) }),
	gauge("ice_tcp_strangers", "TCP connections that have not said yet whose they are.", func(s icetcp.Stats) float64 { return float64(s.Strangers) }),
	gauge("ice_tcp_endpoints", "Endpoints that ICE agents hold for TCP: one for each leg and address of the port.", func(s icetcp.Stats) float64 { return float64(s.Endpoints) }),
	gauge("ice_tcp_queued_bytes", "Bytes that wait for the peers of TCP connections.", func(s icetcp.Stats) float64 { return float64(s.Queued) }),
	counter("ice_tcp_accepted", "TCP connections for media ever accepted.", func(s icetcp.Stats) uint64 { return s.Accepted }),
	counter("ice_tcp_packets_received", "Packets received over TCP.", func(s icetcp.Stats) uint64 { return s.PacketsIn }),
	counter("ice_tcp_packets_direct", "Of the packets received over TCP, media that went past the WebRTC stack.", func(s icetcp.Stats) uint64 { return s.Direct }),
	counter("ice_tcp_packets_unread", "Of the packets received over TCP, those that no ICE agent wanted or had room for.", func(s icetcp.Stats) uint64 { return s.Unread }),
	counter("ice_tcp_packets_sent", "Packets sent over TCP.", func(s icetcp.Stats) uint64 { return s.PacketsOut }),
	counter("ice_tcp_writes", "System calls that sent them.", func(s icetcp.Stats) uint64 { return s.Writes }),
}

var tcpFamilies = []labelled[icetcp.Stats]{
	family("ice_tcp_packets_dropped", "Packets not sent because the peer's TCP connection took too little.", "kind", func(s icetcp.Stats) map[string]uint64 {
		dropped := make(map[string]uint64, len(s.Dropped))
		for kind, n := range s.Dropped {
			dropped[traffic.Kind(kind).String()] = n
		}
		return dropped
	}),
	family("ice_tcp_closed", "TCP connections for media by why they ended.", "reason", func(s icetcp.Stats) map[string]uint64 { return s.Closed }),
}

func (c tcpCollector) Describe(ch chan<- *prometheus.Desc) {
	describe(tcpMetrics, tcpFamilies, ch)
}

func (c tcpCollector) Collect(ch chan<- prometheus.Metric) {
	collect(tcpMetrics, tcpFamilies, c.source.Stats(), ch)
}
