// A client built on simple-peer: one Peer per person and one per screen, and a person counts as
// connected only when the data channel of their Peer is open.

import '../common/instrument.js'
import { io } from 'socket.io-client'
import SimplePeer from 'simple-peer/simplepeer.min.js'
import { marks, now, openSilentSockets, options, present, recordEvents, showStreams } from '../common/page.js'

const SCREEN = '-screen'
const peers = new Map() // by user id, or `<user id>-screen`
const early = new Map() // candidates that came before their Peer, by the same key
const open = new Set()
const messages = []
let people = {}
let streams = {}
let lastError = null
let screen = null

const camera = await navigator.mediaDevices.getUserMedia({ video: true, audio: true })
const socket = io(options.server)
const events = recordEvents(socket)

function setStream (key, stream) {
  streams = { ...streams }
  if (stream) streams[key] = stream
  else delete streams[key]
  showStreams(streams)
}

function openPeer (userId, { isScreenShare, initiator, stream }) {
  const key = isScreenShare ? userId + SCREEN : userId
  const peer = new SimplePeer({ initiator, stream, config: { iceServers: [] } })
  peers.set(key, peer)
  peer.on('signal', data => {
    if (data.candidate) {
      socket.emit('ice-candidate', { to: userId, candidate: data.candidate, isScreenShare })
    } else {
      socket.emit('signal', { to: userId, from: socket.id, signal: data, type: data.type, isScreenShare })
    }
  })
  peer.on('stream', remote => setStream(key, remote))
  peer.on('connect', () => open.add(key))
  peer.on('data', data => messages.push({ key, text: new TextDecoder().decode(data) }))
  peer.on('error', err => { lastError = `${key}: ${err.message}` })
  peer.on('close', () => {
    if (peers.get(key) === peer) closePeer(key)
  })
  for (const candidate of early.get(key) ?? []) peer.signal({ type: 'candidate', candidate })
  early.delete(key)
  return peer
}

function closePeer (key) {
  const peer = peers.get(key)
  peers.delete(key)
  early.delete(key)
  open.delete(key)
  peer?.destroy()
  setStream(key, null)
}

function callIfCandidate (userId, { userRole }) {
  if (options.role !== 'recruiter' || userRole !== 'candidate' || peers.has(userId)) return
  openPeer(userId, { isScreenShare: false, initiator: true, stream: camera })
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
  closePeer(userId)
  closePeer(userId + SCREEN)
})
socket.on('screen-share-status', ({ userId, isSharing }) => {
  if (!isSharing) closePeer(userId + SCREEN)
})
socket.on('signal', ({ from, signal, type, isScreenShare = false }) => {
  const key = isScreenShare ? from + SCREEN : from
  let peer = peers.get(key)
  if (!peer && type === 'offer') {
    peer = openPeer(from, { isScreenShare, initiator: false, stream: isScreenShare ? undefined : camera })
  }
  peer?.signal(signal)
})
socket.on('ice-candidate', ({ from, candidate, isScreenShare = false }) => {
  const key = isScreenShare ? from + SCREEN : from
  const peer = peers.get(key)
  if (peer) peer.signal({ type: 'candidate', candidate })
  else early.set(key, [...(early.get(key) ?? []), candidate])
})

const silent = openSilentSockets(io, options.extra)

present({
  id: () => socket.id ?? null,
  people: () => people,
  connected: () => open.size > 0,
  openChannels: () => [...open],
  sharing: () => screen !== null,
  error: () => lastError,
  streams: () => streams,
  events: () => events,
  messages: () => messages,
  send: (key, text) => peers.get(key).send(text),
  share: async () => {
    screen = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true })
    socket.emit('screen-share-status', { interviewId: options.room, isSharing: true })
    for (const userId of [...peers.keys()]) {
      if (!userId.endsWith(SCREEN)) openPeer(userId, { isScreenShare: true, initiator: true, stream: screen })
    }
  },
  stopShare: () => {
    screen.getTracks().forEach(track => track.stop())
    screen = null
    for (const key of [...peers.keys()]) {
      if (key.endsWith(SCREEN)) closePeer(key)
    }
    socket.emit('screen-share-status', { interviewId: options.room, isSharing: false })
  },
  leave: () => {
    for (const key of [...peers.keys()]) closePeer(key)
    for (const s of [socket, ...silent]) s.disconnect()
  }
})
