// Perfect negotiation (W3C webrtc-pc 10.7): one connection per person, the screen is a second stream
// on it, added and removed by a re-offer from whoever shares. The recruiter is the impolite side.

import '../common/instrument.js'
import { io } from 'socket.io-client'
import { marks, now, openSilentSockets, options, present, recordEvents, showStreams } from '../common/page.js'

const polite = options.role === 'candidate'
const links = new Map() // by user id: {pc, makingOffer, ignoreOffer, settingAnswer, streamIds, screenSenders}
let people = {}
let streams = {}
let screen = null
let lastError = null

// simulcast: whoever offers sends a large camera in three sizes (RFC 8853); an answer can't ask for that.
const simulcast = options.variant === 'simulcast' && !polite
const layers = [{ rid: 'q', scaleResolutionDownBy: 4 }, { rid: 'h', scaleResolutionDownBy: 2 }, { rid: 'f' }]

const camera = await navigator.mediaDevices.getUserMedia({ video: simulcast ? { width: 1280, height: 720 } : true, audio: true })
const socket = io(options.server)
const events = recordEvents(socket)

function setStream (key, stream) {
  streams = { ...streams }
  if (stream) streams[key] = stream
  else delete streams[key]
  showStreams(streams)
}

function openLink (userId) {
  const pc = new RTCPeerConnection()
  const link = { pc, makingOffer: false, ignoreOffer: false, settingAnswer: false, streamIds: [], screenSenders: [] }
  links.set(userId, link)

  pc.onnegotiationneeded = async () => {
    try {
      link.makingOffer = true
      await pc.setLocalDescription()
      sendDescription(userId, pc.localDescription)
    } catch (err) {
      fail(userId, err)
    } finally {
      link.makingOffer = false
    }
  }
  pc.onicecandidate = ({ candidate }) => {
    if (candidate) socket.emit('ice-candidate', { to: userId, candidate })
  }
  pc.oniceconnectionstatechange = () => {
    if (pc.iceConnectionState === 'failed') pc.restartIce()
  }
  pc.ontrack = ({ streams: [stream] }) => {
    if (!stream) return
    // The first stream of a connection is the camera, whatever comes later is a screen.
    if (!link.streamIds.includes(stream.id)) link.streamIds.push(stream.id)
    const key = link.streamIds.indexOf(stream.id) === 0 ? userId : `${userId}-screen`
    setStream(key, stream)
    stream.onremovetrack = () => {
      if (stream.getTracks().length > 0) return
      link.streamIds = link.streamIds.filter((id, i) => i === 0 || id !== stream.id)
      if (streams[key] === stream) setStream(key, null)
    }
  }

  for (const track of camera.getTracks()) {
    if (simulcast && track.kind === 'video') pc.addTransceiver(track, { streams: [camera], sendEncodings: layers })
    else pc.addTrack(track, camera)
  }
  if (screen) addScreen(link)
  return link
}

const addScreen = link => {
  link.screenSenders = screen.getTracks().map(track => link.pc.addTrack(track, screen))
}

const sendDescription = (userId, description) => {
  socket.emit('signal', { to: userId, from: socket.id, signal: description, type: description.type })
}

const fail = (userId, err) => {
  lastError = `${userId}: ${err.message}`
  console.error(`negotiation: ${err}`)
}

function closeLink (userId) {
  links.get(userId)?.pc.close()
  links.delete(userId)
  setStream(userId, null)
  setStream(`${userId}-screen`, null)
}

function callIfCandidate (userId, { userRole }) {
  if (options.role === 'recruiter' && userRole === 'candidate' && !links.has(userId)) openLink(userId)
}

socket.on('connect', () => {
  marks.joined = now()
  socket.emit('join-room', { interviewId: options.room, userRole: options.role })
})
socket.on('room-users', users => {
  people = users
  for (const [userId, user] of Object.entries(users)) callIfCandidate(userId, user)
})
socket.on('user-joined', ({ userId, userRole }) => {
  people = { ...people, [userId]: { userRole } }
  callIfCandidate(userId, { userRole })
})
socket.on('user-left', ({ userId }) => {
  delete people[userId]
  closeLink(userId)
})
socket.on('signal', async ({ from, signal: description }) => {
  const link = links.get(from) ?? openLink(from)
  const { pc } = link
  try {
    const ready = !link.makingOffer && (pc.signalingState === 'stable' || link.settingAnswer)
    link.ignoreOffer = !polite && description.type === 'offer' && !ready
    if (link.ignoreOffer) return
    link.settingAnswer = description.type === 'answer'
    await pc.setRemoteDescription(description)
    link.settingAnswer = false
    if (description.type === 'offer') {
      await pc.setLocalDescription()
      sendDescription(from, pc.localDescription)
    }
  } catch (err) {
    link.settingAnswer = false
    fail(from, err)
  }
})
socket.on('ice-candidate', async ({ from, candidate }) => {
  const link = links.get(from)
  try {
    await link?.pc.addIceCandidate(candidate)
  } catch (err) {
    if (!link.ignoreOffer) fail(from, err)
  }
})

const silent = openSilentSockets(io, options.extra)

present({
  id: () => socket.id ?? null,
  people: () => people,
  connected: () => [...links.values()].some(({ pc }) => pc.connectionState === 'connected'),
  sharing: () => screen !== null,
  error: () => lastError,
  streams: () => streams,
  events: () => events,
  links: () => Object.fromEntries([...links].map(([userId, { pc }]) => [userId, pc])),
  share: async () => {
    screen = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true })
    socket.emit('screen-share-status', { interviewId: options.room, isSharing: true })
    for (const link of links.values()) addScreen(link)
  },
  stopShare: () => {
    for (const link of links.values()) {
      for (const sender of link.screenSenders) link.pc.removeTrack(sender)
      link.screenSenders = []
    }
    screen.getTracks().forEach(track => track.stop())
    screen = null
    socket.emit('screen-share-status', { interviewId: options.room, isSharing: false })
  },
  // sends turns the camera and the microphone off in the directions of the transceivers, or on again.
  sends: on => {
    for (const transceiver of [...links.values()].flatMap(({ pc }) => pc.getTransceivers())) {
      if (camera.getTracks().includes(transceiver.sender.track)) transceiver.direction = on ? 'sendrecv' : 'recvonly'
    }
  },
  restartIce: () => {
    for (const { pc } of links.values()) pc.restartIce()
  },
  leave: () => {
    for (const userId of [...links.keys()]) closeLink(userId)
    for (const s of [socket, ...silent]) s.disconnect()
  }
})
