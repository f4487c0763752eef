// A path of a person's own to the server: an HTTP and WebSocket proxy for the signaling, and a bad network for
// the media. The proxy puts the network's port into every description that the server sends, and hides the page's own
// addresses from the server, so that neither side knows a way around it.

import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { networkInterfaces } from 'node:os'
import { WebSocket, WebSocketServer } from 'ws'
import { startImpairment } from './impair.mjs'

// The address that the server offers its media on: loopback only where there is no other.
function mediaAddress () {
  const all = Object.values(networkInterfaces()).flat()
  return all.find(a => a.family === 'IPv4' && !a.internal && !a.address.startsWith('169.254.'))?.address ?? '127.0.0.1'
}

// Descriptions stand in JSON strings, where the end of a line is written as \r\n.
const SERVER_CANDIDATE = /a=candidate:(\S+) (\d+) (\w+) (\d+) (\S+) (\d+) typ ((?:[^\\"]|\\(?!r|n))*)(?:\\r)?\\n/g
const CLIENT_CANDIDATE = /(candidate:\S+ \d+ \w+ \d+ )\S+( \d+ typ )/g

// toClient leaves one candidate in a description: the one on `address`, with the network's port.
export function toClient (packet, { address, serverPort, port }) {
  let found = 0
  return packet.replace(SERVER_CANDIDATE, (line, foundation, component, protocol, priority, at, number) => {
    const wanted = component === '1' && protocol.toLowerCase() === 'udp' && at === address && Number(number) === serverPort
    return wanted && found++ === 0 ? line.replace(` ${at} ${number} `, ` ${at} ${port} `) : ''
  })
}

// toServer gives every candidate a name that nobody can resolve, as browsers do that hide their addresses.
export const toServer = packet => packet.replace(CLIENT_CANDIDATE, '$1hidden.local$2')

const PACKETS = '\x1e' // between the packets of a polling body (Engine.IO v4)

const eachPacket = (body, rewrite) => body.split(PACKETS).map(rewrite).join(PACKETS)

async function bodyOf (stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

// startPath returns the way; `url` is for the page, `port` is where its media goes. set, rebind and counters are of the
// media; move gives the person another network; freeze and thaw stop the signaling for a while.
export async function startPath (server, { up, down, seed } = {}) {
  const { hostname, port: httpPort } = new URL(server.url)
  const address = mediaAddress()
  const links = [] // the newest is in use
  const connect = async () => links.push(await startImpairment({ address, target: server.port, seed, up, down }))
  await connect()
  const downwards = packet => toClient(packet, { address, serverPort: server.port, port: links.at(-1).port })
  let thawed = Promise.resolve()
  let thaw = () => {}

  async function forward (req, res) {
    const body = eachPacket(await bodyOf(req), toServer)
    const headers = { ...req.headers, 'accept-encoding': 'identity' }
    delete headers['transfer-encoding']
    if (body) headers['content-length'] = Buffer.byteLength(body)
    await thawed
    const out = request({ hostname, port: httpPort, path: req.url, method: req.method, headers })
    res.once('close', () => out.destroy())
    out.end(body)
    const [answer] = await once(out, 'response')
    const text = eachPacket(await bodyOf(answer), downwards)
    const { 'content-length': _length, 'transfer-encoding': _encoding, ...kept } = answer.headers
    await thawed
    res.writeHead(answer.statusCode, kept).end(text)
  }
  const http = createServer((req, res) => forward(req, res).catch(() => res.destroy()))

  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  const pairs = new Set()
  http.on('upgrade', async (req, socket, head) => {
    socket.on('error', () => {})
    await thawed
    const far = new WebSocket(`ws://${hostname}:${httpPort}${req.url}`, { perMessageDeflate: false, origin: req.headers.origin })
    far.on('error', () => socket.destroy())
    far.once('open', () => sockets.handleUpgrade(req, socket, head, near => couple({ near, far })))
  })
  function couple (pair) {
    const { near, far } = pair
    pairs.add(pair)
    for (const [from, to, rewrite] of [[near, far, toServer], [far, near, downwards]]) {
      from.on('error', () => {})
      from.on('message', (data, binary) => to.send(binary ? data : rewrite(data.toString()), { binary }))
      from.on('close', code => {
        if (pair.lost) return
        pairs.delete(pair)
        // 1005 is a goodbye without a code; 1006 is none at all.
        if (code === 1006) to.terminate()
        else if (code === 1005) to.close()
        else to.close(code)
      })
    }
  }

  http.listen(0, 'localhost')
  await once(http, 'listening')
  return {
    url: `http://localhost:${http.address().port}`,
    get port () { return links.at(-1).port },
    set: directions => links.at(-1).set(directions),
    counters: () => links.at(-1).counters(),

    // rebind gives every connection of the page's another port towards the server, as a NAT does.
    rebind: () => links.at(-1).set({ rebind: true }),

    // move takes the old network away: what was open ends at the page, of which the server hears nothing, and media
    // have to go another way.
    async move () {
      const nothing = { loss: 1 }
      await links.at(-1).set({ up: nothing, down: nothing })
      await connect()
      for (const pair of pairs) {
        pair.lost = true
        pair.near.terminate()
      }
      http.closeAllConnections()
    },

    // freeze stops the signaling without ending anything; thaw lets it go on.
    freeze () {
      thawed = new Promise(resolve => { thaw = resolve })
      for (const { near, far } of pairs) for (const socket of [near, far]) socket.pause()
    },
    thaw () {
      thaw()
      for (const { near, far } of pairs) for (const socket of [near, far]) socket.resume()
    },

    stop: async () => {
      thaw()
      for (const { near, far } of pairs) for (const socket of [near, far]) socket.terminate()
      http.closeAllConnections()
      http.close()
      await Promise.all([once(http, 'close'), ...links.map(link => link.stop())])
    }
  }
}
