// A DNS server (RFC 1035, over UDP) for the names of the lab: /etc/hosts is not enough, Chromium's WebRTC does not read it.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import { bytesOf } from './address.mjs'

const HEADER = 12
const A = 1
const AAAA = 28
const INTERNET = 1
const RESPONSE = 0x8180 // recursion desired and available
const NO_SUCH_NAME = 3
const TTL = 60 // seconds
const TO_THE_QUESTION = 0xc000 | HEADER // a name that stands there

// questionIn reads the one question of a query; null if there is none.
function questionIn (query) {
  if (query.length < HEADER || query.readUInt16BE(4) !== 1) return null
  const labels = []
  let at = HEADER
  while (query[at] > 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]))
    at += 1 + query[at]
  }
  const end = at + 5
  if (query[at] === undefined || end > query.length) return null
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), bytes: query.subarray(HEADER, end) }
}

// dnsAnswer answers a query from `names`: a name's addresses of both families. Null if the query is none.
export function dnsAnswer (query, names) {
  const question = questionIn(query)
  if (!question) return null
  const known = names[question.name]
  const found = (known ?? []).filter(address => question.type === (isIPv6(address) ? AAAA : A)).map(bytesOf)
  const header = Buffer.alloc(HEADER)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(RESPONSE | (known ? 0 : NO_SUCH_NAME), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(found.length, 6)
  const records = found.map(bytes => {
    const record = Buffer.alloc(12)
    record.writeUInt16BE(TO_THE_QUESTION)
    record.writeUInt16BE(question.type, 2)
    record.writeUInt16BE(INTERNET, 4)
    record.writeUInt32BE(TTL, 6)
    record.writeUInt16BE(bytes.length, 10)
    return Buffer.concat([record, bytes])
  })
  return Buffer.concat([header, question.bytes, ...records])
}

// startDNS answers on port 53 of an address until stop().
export async function startDNS (address, names) {
  const socket = createSocket({ type: isIPv6(address) ? 'udp6' : 'udp4' })
  socket.on('message', (query, from) => {
    const answer = dnsAnswer(query, names)
    if (answer) socket.send(answer, from.port, from.address)
  })
  socket.on('error', () => {}) // who asked is gone
  socket.bind(53, address)
  await once(socket, 'listening')
  return { stop: () => new Promise(resolve => { socket.close(resolve) }) }
}
