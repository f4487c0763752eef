// A firewall that looks into what it lets through: it passes connections on that begin as TLS does, and ends others.
//   node inspector.mjs '[[PORT, HOST], ...]'     what comes in on PORT goes to port 443 of HOST

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

// A record of the type handshake (RFC 8446, 5.1).
const beginsAsTLS = data => data[0] === 0x16 && (data.length < 2 || data[1] === 0x03)

// startInspector returns {port, stop}.
export async function startInspector ({ port, host = '::', target }) {
  const open = new Set()
  const server = createServer({ allowHalfOpen: true }, near => {
    open.add(near)
    near.on('error', () => {}).on('close', () => open.delete(near))
    near.once('data', data => {
      if (!beginsAsTLS(data)) {
        near.destroy()
        return
      }
      const far = connect({ ...target, allowHalfOpen: true })
      for (const [from, to] of [[near, far], [far, near]]) from.on('error', () => to.destroy()).on('close', () => to.destroy())
      far.write(data)
      near.pipe(far).pipe(near)
    })
  })
  server.listen(port, host)
  await once(server, 'listening')
  return {
    port: server.address().port,
    stop: async () => {
      for (const near of open) near.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [port, host] of JSON.parse(process.argv[2])) await startInspector({ port, target: { host, port: 443 } })
  console.log('ready')
}
