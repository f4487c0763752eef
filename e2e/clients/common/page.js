// What every client style shows to the tests: `window.call` (what the client can do),
// `window.probe()` (what it sees) and one <video> per remote stream.

import './claps.js'
import { connectionSummary, marks, now, streamCounters } from './instrument.js'
import { provideMeasures } from './measure.js'

const query = new URLSearchParams(location.search)

export const options = {
  server: query.get('server'),
  room: query.get('room'),
  role: query.get('role'),
  variant: query.get('variant') ?? 'once',
  extra: Number(query.get('extra') ?? 0),
  ownIce: query.get('ice') === 'own', // use the ICE servers that such a client has by itself
  delay: Number(query.get('delay') ?? 0)
}

const elements = new Map()

// showStreams makes the page show exactly these streams, keyed by person.
export function showStreams (streams) {
  for (const [key, element] of elements) {
    if (streams[key]) continue
    element.srcObject = null
    element.remove()
    elements.delete(key)
    delete marks.firstFrame[key]
  }
  for (const [key, stream] of Object.entries(streams)) {
    let element = elements.get(key)
    if (!element) {
      element = document.createElement('video')
      element.autoplay = true
      element.playsInline = true
      element.dataset.key = key
      document.getElementById('remote').append(element)
      elements.set(key, element)
      element.requestVideoFrameCallback?.(() => { marks.firstFrame[key] = now() })
    }
    if (element.srcObject !== stream) element.srcObject = stream
  }
}

// present publishes the client to the tests. `client` has: id(), people(), connected(),
// streams(), and what else the style can do; links() are its connections by key, where it can tell.
export function present (client) {
  window.call = client
  provideMeasures(client)
  document.getElementById('share').onclick = () => {
    marks.shared = now()
    client.share().catch(err => console.error(`share: ${err}`))
  }
  window.probe = async () => {
    const streams = {}
    for (const [key, stream] of Object.entries(client.streams())) {
      streams[key] = await streamCounters(stream, elements.get(key))
    }
    return {
      id: client.id(),
      people: client.people(),
      connected: client.connected(),
      sharing: client.sharing(),
      error: client.error?.() ?? null,
      messages: client.messages?.() ?? [],
      events: client.events(),
      marks,
      streams,
      connections: await connectionSummary(),
      visibility: document.visibilityState
    }
  }
}

// One line for a description: its m-lines as mid:kind:direction, and its ICE user fragment.
function outline ({ type, sdp } = {}) {
  if (!sdp) return type
  const lines = sdp.split('\nm=').slice(1).map(section => {
    const mid = /a=mid:(\S+)/.exec(section)?.[1]
    const direction = /a=(sendrecv|sendonly|recvonly|inactive)/.exec(section)?.[1] ?? ''
    const stream = /a=msid:(\S+)/.exec(section)?.[1].slice(0, 6) ?? ''
    return `${mid}:${section.split(' ')[0]}${/^\w+ 0 /.test(section) ? '(0)' : ''}:${direction}:${stream}`
  })
  return `${type} ufrag ${/a=ice-ufrag:(\S+)/.exec(sdp)?.[1]} [${lines.join(' ')}]`
}

// The console gets every signal and candidate that comes and goes: with the server's log it tells what went wrong.
function traceSignals (socket) {
  const line = (arrow, other, { signal, isScreenShare }) => console.debug(`${arrow} ${other}${isScreenShare ? ' screen' : ''} ${outline(signal)}`)
  const candidateLine = (arrow, other, { candidate }) => console.debug(`${arrow} ${other} ${candidate?.candidate || 'no more candidates'}`)
  const lines = { signal: line, 'ice-candidate': candidateLine }
  socket.onAny((name, payload) => lines[name]?.('<-', payload.from, payload))
  socket.onAnyOutgoing((name, payload) => lines[name]?.('->', payload.to, payload))
}

// recordEvents keeps the life events a test may ask for, oldest first, bounded.
export function recordEvents (socket) {
  const events = []
  traceSignals(socket)
  for (const name of ['user-joined', 'user-left', 'screen-share-status', 'room-users', 'error-message', 'join-error', 'media-unsupported', 'media-status', 'connection-quality']) {
    socket.on(name, payload => {
      console.debug(`<- ${name} ${JSON.stringify(payload)}`)
      if (events.length < 500) events.push({ name, payload, at: now() })
    })
  }
  socket.on('disconnect', reason => events.push({ name: 'disconnect', payload: reason, at: now() }))
  socket.on('connect', () => events.push({ name: 'connect', payload: { id: socket.id, recovered: socket.recovered }, at: now() }))
  return events
}

// openSilentSockets joins the same interview as the chat box and the code editor of a real
// page do: in the same role, and without ever answering an offer.
export function openSilentSockets (io, count) {
  const sockets = []
  for (let i = 0; i < count; i++) {
    const socket = io(options.server, { forceNew: true })
    socket.on('connect', () => socket.emit('join-room', { interviewId: options.room, userRole: options.role }))
    sockets.push(socket)
  }
  return sockets
}

export { marks, now }
