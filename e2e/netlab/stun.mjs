// A STUN server (RFC 8489): it answers binding requests with the address that they came from.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { bytesOf, textOf } from './address.mjs'

const REQUEST = 0x0001
const SUCCESS = 0x0101
const XOR_MAPPED_ADDRESS = 0x0020
const COOKIE = 0x2112a442
const HEADER = 20 // type, length, cookie, and 12 bytes of transaction id from byte 8 on

// The cookie and the transaction id are what addresses are hidden with, from NATs that rewrite what looks like one.
const hidden = (bytes, message) => Buffer.from(bytes.map((byte, i) => byte ^ message[4 + i]))

// What a server sends to somebody who has not asked it anything.
export const UNASKED = 'unasked'

const isStun = message => message.length >= HEADER && message.readUInt32BE(4) === COOKIE

export function bindingRequest (transaction) {
  const message = Buffer.alloc(HEADER)
  message.writeUInt16BE(REQUEST)
  message.writeUInt32BE(COOKIE, 4)
  transaction.copy(message, 8)
  return message
}

// answerTo returns the answer to a binding request from there, or null if the message is none.
export function answerTo (message, { address, port }) {
  if (!isStun(message) || message.readUInt16BE() !== REQUEST) return null
  const mapped = hidden(bytesOf(address), message)
  const answer = Buffer.alloc(HEADER + 8 + mapped.length)
  answer.writeUInt16BE(SUCCESS)
  answer.writeUInt16BE(answer.length - HEADER, 2)
  message.copy(answer, 4, 4, HEADER)
  answer.writeUInt16BE(XOR_MAPPED_ADDRESS, HEADER)
  answer.writeUInt16BE(4 + mapped.length, HEADER + 2)
  answer.writeUInt8(mapped.length === 4 ? 1 : 2, HEADER + 5)
  answer.writeUInt16BE(port ^ (COOKIE >>> 16), HEADER + 6)
  mapped.copy(answer, HEADER + 8)
  return answer
}

// mappedAddress reads an answer to our transaction, as address:port; null for anything else.
export function mappedAddress (message, transaction) {
  if (!isStun(message) || message.readUInt16BE() !== SUCCESS || !message.subarray(8, HEADER).equals(transaction)) return null
  for (let at = HEADER; at + 8 <= message.length; at += 4 + (message.readUInt16BE(at + 2) + 3 & ~3)) {
    if (message.readUInt16BE(at) !== XOR_MAPPED_ADDRESS) continue
    const port = message.readUInt16BE(at + 6) ^ (COOKIE >>> 16)
    const address = textOf(hidden(message.subarray(at + 8, at + 4 + message.readUInt16BE(at + 2)), message))
    return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
  }
  return null
}

// startStun answers on an address until stop().
export async function startStun (address, port) {
  const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' })
  socket.on('message', (message, from) => {
    const answer = answerTo(message, from)
    if (answer) socket.send(answer, from.port, from.address)
  })
  socket.on('error', () => {}) // nobody is there any more
  socket.bind(port, address)
  await once(socket, 'listening')
  return {
    port: socket.address().port,
    send: (data, to, address) => socket.send(data, to, address),
    stop: () => new Promise(resolve => { socket.close(resolve) })
  }
}
