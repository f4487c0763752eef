package media

// A viewer who comes late gets the last key frame and what followed it at once,
// if that is little.
const (
	replayAge     = int64(500e6) // either the key frame is at most this old,
	replayPackets = 100          // or not more packets are to be sent
	replaySpan    = 90000 / 10   // ticks into which the timestamps are squeezed
	replayBatch   = 32           // packets sent at a time
	replayPause   = int64(5e6)   // between two batches
)

// keyFrame says where the last key frame of a source begins.
type keyFrame struct {
	format   *format // nil: there was none yet
	frame    frame   // what its first packet says
	sequence uint64
	arrival  int64
}

// replay begins a feed with the last key frame of the layer that it wants, or of
// another one; false: the feed has to wait for the next key frame.
func (s *Source) replay(f *Feed, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		return false
	}
	if now-s.surveyed >= surveyInterval {
		s.survey(now)
	}
	first := s.choose(int32(f.Target().Spatial))
	if first.replay(f, now) {
		return true
	}
	for _, l := range s.order {
		if l != first && l.active.Load() && l.replay(f, now) {
			if first.active.Load() && first.keys.expect(now) {
				s.pokeTarget()
			}
			return true
		}
	}
	return false
}

// replay begins a feed with the layer's last key frame, if that is recent enough
// and all that followed is still in the ring. Packets that are missing get a
// number nevertheless. The source's mutex is held.
func (l *layer) replay(f *Feed, now int64) bool {
	key := l.key
	if key.format == nil || !l.live {
		return false
	}
	packets := l.mapper.highest - key.sequence + 1
	recent := now-key.arrival < replayAge
	if !recent && packets >= replayPackets || packets > uint64(l.cache.Len())*3/4 {
		return false
	}
	first, ok := l.cache.Info(key.sequence)
	if !ok {
		return false
	}
	span := l.mapper.timestamp - first.Timestamp
	var shift uint8
	for span>>shift > replaySpan {
		shift++
	}
	before := first.Timestamp
	for n := key.sequence + 1; n <= l.mapper.highest; n++ {
		info, ok := l.cache.Info(n)
		if !ok {
			if !recent {
				return false // lost for good: what follows can't be decoded
			}
			continue
		}
		if step := int32(info.Timestamp - before); step < 0 || step > 0 && step>>shift == 0 {
			return false // two frames would become one
		}
		before = info.Timestamp
	}
	return f.replayFrom(l, key, span, shift)
}

// replayFrom begins a feed with the packets from key on. The source's mutex is
// held.
func (f *Feed) replayFrom(l *layer, key keyFrame, span uint32, shift uint8) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.source != l.source || !f.ready() || f.target.Load()&targetPaused != 0 {
		return false
	}
	if f.format != key.format && !f.adopt(key.format) {
		return false
	}
	m := &l.mapper
	// The last packet gets the timestamp that fits its arrival.
	timestamp := f.timestamp + span>>shift + 1
	if f.sentAt != 0 && m.arrival > f.sentAt {
		fit := f.timestamp + elapsedTicks(m.arrival-f.sentAt, key.format.codec.ClockRate)
		if int32(fit-timestamp) > 0 {
			timestamp = fit
		}
	}
	next := segment{
		layer:    l,
		from:     f.sequence.highest + 1,
		first:    key.sequence,
		tsOffset: timestamp - m.timestamp,
		squeeze:  squeeze{before: m.highest + 1, timestamp: m.timestamp, shift: shift},
		describe: key.format.describe,
		limit:    unlimited, // who is shown all at once had better get all of it
	}
	f.follow(&next, &key.frame)
	f.push(next)
	f.layer, f.picture.limit = l, unlimited
	f.start()
	f.replaying, f.cursor = true, key.sequence
	f.counters.replays.Add(1)
	f.replayDue.Store(true)
	f.port.poke(taskReplay | taskSenderReport)
	return true
}

// sendReplay sends the next packets of a replay, on the goroutine of the port's
// reporter, until the feed has all that the layer has delivered: from then on
// the source's packets are forwarded as they come. next is when to call again; 0:
// not before the next replay.
func (f *Feed) sendReplay(now int64) (next int64) {
	if !f.replayDue.Load() {
		return 0
	}
	w := passages.Get().(*passage)
	defer passages.Put(w)
	for range replayBatch {
		if !f.sendReplayed(w, now) {
			return 0
		}
	}
	return now + replayPause
}

// sendReplayed sends one packet; false: there is none left.
func (f *Feed) sendReplayed(w *passage, now int64) bool {
	f.mu.Lock()
	source, layer, cursor := f.source, f.layer, f.cursor
	if !f.replaying {
		f.replayDue.Store(false)
		f.mu.Unlock()
		return false
	}
	f.mu.Unlock()

	source.mu.Lock()
	delivered, admitted := layer.mapper.highest, source.admitted
	info, size, stored := layer.cache.Get(cursor, w.payload[:maxPayload])
	overrun := delivered-cursor >= uint64(layer.cache.Len()) && delivered > cursor
	f.mu.Lock()
	if f.source != source || f.layer != layer || f.cursor != cursor || !f.replaying || !f.ready() {
		f.mu.Unlock()
		source.mu.Unlock()
		return true // it has begun anew, or ends with the next call
	}
	if overrun || cursor > delivered {
		f.replaying, f.running = false, !overrun
		f.settled = admitted
		f.replayDue.Store(false)
		f.mu.Unlock()
		source.mu.Unlock()
		if overrun { // it came faster than it could be sent
			layer.requestKeyFrame()
		}
		return false
	}
	source.mu.Unlock()
	f.cursor++
	if !stored {
		f.mu.Unlock()
		return true
	}
	segment := f.segments.last()
	sequence := segment.from + cursor - segment.first
	f.sequence.saw(sequence)
	w.header = outgoingHeader{
		marker: info.Marker, payloadType: f.payload.number, index: rolled(sequence), ssrc: f.bound.ssrc,
		timestamp:   segment.timestamp(cursor, info.Timestamp),
		transportID: f.transportID(),
	}
	payload := w.payload[:size]
	if segment.describe != nil {
		d := segment.describe(payload)
		f.picture.started, f.picture.timestamp, f.picture.dropped = true, info.Timestamp, false
		f.sentPicture(segment, &d)
		if d.key {
			f.counters.keyFrames.Add(1)
		}
		payload = segment.rewrite(payload)
	}
	f.timestamp, f.sentAt, f.captured = w.header.timestamp, now, 0
	writer := f.bound.writer
	f.packets++
	f.bytes += uint64(len(payload))
	f.mu.Unlock()
	f.write(w, writer, payload, now)
	return true
}
