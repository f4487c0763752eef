// Stock socket.io-client sockets for tests without a browser.

import { randomUUID } from 'node:crypto'
import { io } from 'socket.io-client'
import { until } from './until.mjs'

export const transports = {
  'polling only': { transports: ['polling'] },
  'WebSocket only': { transports: ['websocket'] },
  'polling, then upgraded': {}
}

// Sockets opens clients and closes them all at the end of a test.
export class Sockets {
  #open = []

  constructor (server, options = {}) {
    this.server = server
    this.options = options
    this.room = `e2e-${randomUUID()}`
  }

  // connect returns a connected client. Its `log` holds every event that came, oldest first.
  async connect (options = {}) {
    const socket = io(options.url ?? this.server.url, {
      forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 200, randomizationFactor: 0, ...this.options, ...options
    })
    this.#open.push(socket)
    socket.log = []
    socket.reconnections = []
    socket.onAny((name, ...args) => socket.log.push({ name, args, at: performance.now() }))
    socket.on('connect', () => socket.reconnections.push({ id: socket.id, recovered: socket.recovered }))
    socket.on('disconnect', reason => socket.log.push({ name: 'disconnect', args: [reason], at: performance.now() }))
    await until('the socket is connected', () => socket.connected, { interval: 10, timeout: 10_000 })
    return socket
  }

  // join returns a client that is in the room and has got all that a joiner gets.
  async join (userRole, { showsRecording, ...options } = {}) {
    const socket = await this.connect(options)
    socket.answer = await socket.timeout(5000).emitWithAck('join-room', { interviewId: this.room, userRole, showsRecording })
    await heard(socket, 'code-state')
    return socket
  }

  close () {
    for (const socket of this.#open.splice(0)) socket.disconnect()
  }
}

export const said = (socket, name) => socket.log.filter(event => event.name === name)

// heard waits for an event (that `matches`) and returns its first argument.
export async function heard (socket, name, matches = () => true, timeout = 5000) {
  const find = () => said(socket, name).find(event => matches(...event.args))
  const event = await until(`${name} arrives`, find, {
    interval: 10, timeout, describe: () => socket.log.map(e => e.name).join(' ')
  })
  return event.args[0]
}
