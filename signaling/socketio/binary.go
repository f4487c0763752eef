package socketio

import (
	"bytes"
	"time"
)

// partial is a packet whose attachments are still arriving. It belongs to the connection's executor.
type partial struct {
	text        []byte // a copy; packet points into it
	packet      packet
	attachments [][]byte
	bytes       int
	deadline    *time.Timer
}

// beginBinary keeps a packet until its attachments are there.
func (c *conn) beginBinary(text []byte) error {
	text = bytes.Clone(text)
	p, err := parsePacket(text, c.server.opts.MaxAttachments)
	if err != nil {
		return err
	}
	if p.payload == nil {
		return errPayload
	}
	part := &partial{text: text, packet: p, attachments: make([][]byte, 0, p.attachments), bytes: len(text)}
	part.deadline = time.AfterFunc(c.server.opts.AttachmentTimeout, func() {
		c.exec.post(func() {
			if c.partial == part {
				c.fail(errAttachmentsLate)
			}
		})
	})
	c.partial = part
	return nil
}

// addBinary takes the next attachment and, when it was the last, the whole packet.
func (c *conn) addBinary(data []byte) error {
	part := c.partial
	if part == nil {
		return errTextExpected
	}
	if part.bytes += len(data); part.bytes > c.server.opts.Engine.MaxPayload {
		return errAttachmentBytes
	}
	part.attachments = append(part.attachments, bytes.Clone(data))
	if len(part.attachments) < part.packet.attachments {
		return nil
	}
	c.dropPartial()
	if err := checkPlaceholders(part.packet.payload, len(part.attachments)); err != nil {
		return err
	}
	return c.dispatch(part.packet, part.attachments)
}

func (c *conn) dropPartial() {
	if c.partial != nil {
		c.partial.deadline.Stop()
		c.partial = nil
	}
}
