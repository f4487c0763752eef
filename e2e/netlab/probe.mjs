// What gets out of the namespace that this runs in. Its argument says as JSON what to try, and it prints what came of it:
//   stun     servers as [address, port]  ->  udp: [as each of them sees us, or null]; ms: how long the first answer took;
//                                            local: our own address
//   tcp      [address, port]             ->  tcp: [whether it connected]
//   connect  [host, port]                ->  connect: [whether the proxy connected to it]; `proxy` is [host, port]
// If it is to `wait`, in ms, it then prints whether a stranger's packet came in that time: {unasked}.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { isIPv6, connect as open } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { bindingRequest, mappedAddress, UNASKED } from './stun.mjs'

const LIMIT_MS = 3500 // with time for a second and a third attempt of TCP
// A line may lose packets.
const TRIES = 12
const TRY_MS = 250

const { stun, tcp, connect, proxy, wait } = JSON.parse(process.argv[2])

const socket = createSocket({ type: isIPv6(stun[0][0]) ? 'udp6' : 'udp4' })
socket.on('error', () => {}) // unreachable: then there is no answer
let ms = null

async function seenBy ([address, port]) {
  const transaction = randomBytes(12)
  const answer = new Promise(resolve => {
    socket.on('message', message => {
      const mapped = mappedAddress(message, transaction)
      if (mapped) resolve(mapped)
    })
  })
  const start = performance.now()
  for (let i = 0; i < TRIES; i++) {
    socket.send(bindingRequest(transaction), port, address, () => {})
    const mapped = await Promise.race([answer, sleep(TRY_MS, null)])
    if (!mapped) continue
    ms ??= Math.round(performance.now() - start)
    return mapped
  }
  return null
}

async function reaches ([address, port]) {
  const stream = open({ host: address, port })
  const connected = once(stream, 'connect').then(() => true, () => false)
  const result = await Promise.race([connected, sleep(LIMIT_MS, false)])
  stream.destroy()
  return result
}

async function reachesThrough ([host, port]) {
  const asked = request({ host: proxy[0], port: proxy[1], method: 'CONNECT', path: `${host}:${port}`, timeout: LIMIT_MS, agent: false })
  const result = new Promise(resolve => {
    asked.once('connect', (answer, stream) => { stream.destroy(); resolve(answer.statusCode === 200) })
    for (const event of ['response', 'error', 'timeout']) asked.once(event, () => resolve(false))
  })
  asked.end()
  const connected = await result
  asked.destroy()
  return connected
}

const all = (list, ask) => Promise.all(list.map(ask))
const [udp, direct, proxied] = await Promise.all([all(stun, seenBy), all(tcp, reaches), all(proxy ? connect : [], reachesThrough)])
const local = networkInterfaces().eth0.find(({ scopeid }) => !scopeid)?.address
console.log(JSON.stringify({ udp, ms, local, tcp: direct, connect: proxied }))
if (wait) {
  const stranger = new Promise(resolve => { socket.on('message', message => { if (String(message) === UNASKED) resolve(true) }) })
  const unasked = await Promise.race([stranger, sleep(wait, false)])
  console.log(JSON.stringify({ unasked }))
}
socket.close()
