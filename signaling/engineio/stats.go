package engineio

// Stats is a snapshot of a server's counters. All but Sessions and Polling only ever grow.
type Stats struct {
	Sessions int64 // open now, on either transport
	Polling  int64 // of these, on polling

	Opened       uint64 // sessions, ever
	Upgrades     uint64 // polling sessions that moved to WebSocket
	ProbesFailed uint64 // probing WebSockets that did not complete the upgrade

	MessagesIn, MessagesOut uint64
	BytesIn, BytesOut       uint64 // of messages and packets, as on a WebSocket

	WritesDeferred uint64 // writes that could not be done at once and went to a writer goroutine
	Panics         uint64 // in Handlers and Receivers
	Unframable     uint64 // packets refused with ErrSeparator

	Closed  map[Reason]uint64 // sessions by why they ended
	Refused map[string]uint64 // requests by why they were refused, e.g. "unknown session"
}
