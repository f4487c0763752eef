package media

import (
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"skillsage/sfu/fmtp"
)

// audioLevelURI is the client-to-mixer audio level of RFC 6464.
const audioLevelURI = sdp.AudioLevelURI

// mimeTypeRED is the redundancy format of RFC 2198, here of Opus.
const mimeTypeRED = "audio/red"

// registerCodecs registers what the relay forwards, in the order in which it
// prefers them. Each video codec has its retransmission payload type (RFC 4588).
func registerCodecs(m *webrtc.MediaEngine) error {
	err := m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
			SDPFmtpLine:  "minptime=10;useinbandfec=1",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: webrtc.TypeRTCPFBTransportCC}},
		},
		PayloadType: 111,
	}, webrtc.RTPCodecTypeAudio)
	if err != nil {
		return err
	}
	err = m.RegisterCodec(webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: mimeTypeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111",
		},
		PayloadType: 63,
	}, webrtc.RTPCodecTypeAudio)
	if err != nil {
		return err
	}

	feedback := []webrtc.RTCPFeedback{
		{Type: webrtc.TypeRTCPFBGoogREMB},
		{Type: webrtc.TypeRTCPFBTransportCC},
		{Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
		{Type: webrtc.TypeRTCPFBNACK},
		{Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"},
	}
	for _, codec := range []struct {
		mime, fmtp           string
		payloadType, rtxType webrtc.PayloadType
	}{
		{webrtc.MimeTypeVP8, "", 96, 97},
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", 106, 107},
		{webrtc.MimeTypeVP9, "profile-id=0", 98, 99},
		{webrtc.MimeTypeAV1, "", 45, 46},
	} {
		err := m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: codec.mime, ClockRate: 90000, SDPFmtpLine: codec.fmtp, RTCPFeedback: feedback,
			},
			PayloadType: codec.payloadType,
		}, webrtc.RTPCodecTypeVideo)
		if err != nil {
			return err
		}
		err = m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeRTX, ClockRate: 90000,
				SDPFmtpLine: "apt=" + strconv.Itoa(int(codec.payloadType)),
			},
			PayloadType: codec.rtxType,
		}, webrtc.RTPCodecTypeVideo)
		if err != nil {
			return err
		}
	}
	return nil
}

// registerHeaderExtensions registers mid, rid, rrid, transport-cc, the audio
// level and the playout delay: what is not negotiated (such as the video orientation) a browser
// does by itself, which spares every forwarder and recorder the work.
func registerHeaderExtensions(m *webrtc.MediaEngine) error {
	for _, extension := range []struct {
		uri   string
		kinds []webrtc.RTPCodecType
	}{
		{sdp.SDESMidURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}},
		{sdp.SDESRTPStreamIDURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}},
		{sdp.SDESRepairRTPStreamIDURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}},
		{sdp.TransportCCURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo}},
		{audioLevelURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio}},
		{playoutDelayURI, []webrtc.RTPCodecType{webrtc.RTPCodecTypeVideo}},
	} {
		for _, kind := range extension.kinds {
			err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: extension.uri}, kind)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// isRTX reports whether a codec is a retransmission format (RFC 4588).
func isRTX(c webrtc.RTPCodecCapability) bool {
	return strings.EqualFold(c.MimeType, webrtc.MimeTypeRTX)
}

// associatedPayloadType is the apt parameter of a retransmission format
// (RFC 4588 section 8.1).
func associatedPayloadType(c webrtc.RTPCodecCapability) (webrtc.PayloadType, bool) {
	if !isRTX(c) {
		return 0, false
	}
	pt, err := strconv.ParseUint(fmtp.Value(c.SDPFmtpLine, "apt"), 10, 7)
	return webrtc.PayloadType(pt), err == nil
}

// isRED reports whether a codec carries Opus with copies of earlier packets (RFC 2198).
func isRED(c webrtc.RTPCodecCapability) bool { return strings.EqualFold(c.MimeType, mimeTypeRED) }

// sameFormat reports whether a payload of format a can be decoded by whoever
// negotiated b.
func sameFormat(a, b webrtc.RTPCodecCapability) bool {
	if !strings.EqualFold(a.MimeType, b.MimeType) || a.ClockRate != b.ClockRate {
		return false
	}
	_, codec, _ := strings.Cut(strings.ToLower(a.MimeType), "/")
	return fmtp.Same(codec, a.SDPFmtpLine, b.SDPFmtpLine)
}
