// A TCP proxy that can cut every connection at once, as a failing network does, or stop passing bytes.

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

export async function startProxy (target) {
  const { hostname, port } = new URL(target)
  const pairs = new Set()
  let refusing = false
  let frozen = false
  const server = createServer(inbound => {
    if (refusing) {
      inbound.resetAndDestroy()
      return
    }
    const outbound = connect(Number(port), hostname)
    const pair = [inbound, outbound]
    pairs.add(pair)
    if (frozen) pair.forEach(socket => socket.pause())
    for (const [a, b] of [[inbound, outbound], [outbound, inbound]]) {
      a.on('error', () => {})
      a.on('close', () => { b.destroy(); pairs.delete(pair) })
      a.on('end', () => b.end())
      if (!frozen) a.pipe(b)
    }
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const reset = () => { for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy() }
  return {
    url: `http://localhost:${server.address().port}`,
    connections: () => pairs.size,
    cut: reset, // every connection ends with a reset; new ones are taken
    block: () => { refusing = true; reset() }, // and new ones are reset as well
    unblock: () => { refusing = false },
    freeze: () => { // silence: nothing passes, nothing ends
      frozen = true
      for (const pair of pairs) for (const socket of pair) socket.unpipe().pause()
    },
    stop: async () => {
      reset()
      server.close()
      await once(server, 'close')
    }
  }
}
