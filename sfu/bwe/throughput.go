package bwe

const (
	rateWindow   = int64(500e6) // over which rates are measured
	rateLeast    = int64(200e6) // less says nothing
	rateBreak    = int64(1e9)   // a pause that is left out
	peakInterval = int64(2500e6)
)

// throughput measures what arrives, by the receiver's clock, and what was sent
// for it, by ours: bytes and durations of the last feedbacks. Feedback that went
// missing leaves a hole in neither, for its time is not counted.
type throughput struct {
	entries [32]struct {
		received, receivedIn int64 // bytes, ns
		sent, sentIn         int64
	}
	last, count      int
	arrival, sending int64 // up to where has been counted
	started          bool

	peak, peakBefore float64 // the highest rates of arrival of this interval and the one before
	peakSince        int64
}

// add takes one feedback, whose packets have been checked.
func (t *throughput) add(packets []Packet, contiguous bool) {
	var received, sent, firstSize int64
	var first, last, firstSent, lastSent int64
	any := false
	for i := range packets {
		p := &packets[i]
		if p.Size == 0 {
			continue
		}
		if !p.Late {
			if sent == 0 {
				firstSent, lastSent = p.Sent, p.Sent
			}
			sent += int64(p.Size)
			firstSent, lastSent = min(firstSent, p.Sent), max(lastSent, p.Sent)
		}
		if p.Lost {
			continue
		}
		if !any || p.Received < first {
			first, firstSize = p.Received, int64(p.Size)
		}
		if !any || p.Received > last {
			last = p.Received
		}
		any = true
		received += int64(p.Size)
	}
	if sent == 0 { // nothing new
		return
	}
	if !any { // to be counted with what comes next
		if t.count > 0 && contiguous {
			t.entries[t.last].sent += sent
			t.entries[t.last].sentIn += max(0, lastSent-t.sending)
			t.sending = max(t.sending, lastSent)
		}
		return
	}
	gone := last - t.arrival
	if !t.started || !contiguous || gone > rateBreak || gone < -rateBreak || lastSent-t.sending > rateBreak {
		t.started = true
		t.arrival, t.sending = first, firstSent
		received -= firstSize
		sent = max(0, sent-firstSize)
	}
	if last > t.arrival || t.count == 0 {
		t.last = (t.last + 1) % len(t.entries)
		t.count = min(t.count+1, len(t.entries))
		t.entries[t.last].received, t.entries[t.last].receivedIn = 0, 0
		t.entries[t.last].sent, t.entries[t.last].sentIn = 0, 0
	}
	e := &t.entries[t.last]
	e.received += received
	e.sent += sent
	e.receivedIn += max(0, last-t.arrival)
	e.sentIn += max(0, lastSent-t.sending)
	t.arrival, t.sending = max(t.arrival, last), max(t.sending, lastSent)
}

// rates are those of arrival and of sending in bit/s, and over how much of the
// receiver's time; 0: not known.
func (t *throughput) rates() (acknowledged, sent float64, span int64) {
	var received, receivedIn, out, outIn int64
	for i := range t.count {
		e := &t.entries[(t.last-i+len(t.entries))%len(t.entries)]
		received += e.received
		receivedIn += e.receivedIn
		out += e.sent
		outIn += e.sentIn
		if receivedIn >= rateWindow && outIn >= rateWindow {
			break
		}
	}
	if receivedIn < rateLeast {
		return 0, 0, 0
	}
	acknowledged = float64(received) * 8e9 / float64(receivedIn)
	if outIn >= rateLeast {
		sent = float64(out) * 8e9 / float64(outIn)
	}
	return acknowledged, sent, receivedIn
}

// notePeak remembers the highest rate of arrival of the last seconds.
func (t *throughput) notePeak(now int64, rate float64) float64 {
	if now-t.peakSince > peakInterval {
		t.peakBefore, t.peak, t.peakSince = t.peak, 0, now
	}
	t.peak = max(t.peak, rate)
	return max(t.peak, t.peakBefore)
}
