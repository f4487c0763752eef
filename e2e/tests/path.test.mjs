// The tools that give a person a bad network do what they say.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { startImpairment } from '../harness/impair.mjs'
import { toClient, toServer } from '../harness/path.mjs'
import { until } from '../harness/until.mjs'

const where = { address: '192.0.2.7', serverPort: 5000, port: 41234 }

const description = lines => `42["signal",${JSON.stringify({ from: 'x', signal: { type: 'offer', sdp: lines.join('\r\n') + '\r\n' }, type: 'offer' })}]`

describe('a path of its own', () => {
  test('a description keeps one candidate, which is the network', () => {
    const rest = ['v=0', 'a=group:BUNDLE 0 1', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=ice-ufrag:abcd']
    const sent = description([...rest,
      'a=candidate:1 1 udp 2130706431 fd00::7 5000 typ host ufrag abcd',
      'a=candidate:2 1 udp 2130706431 192.0.2.7 5000 typ host ufrag abcd',
      'a=candidate:2 2 udp 2130706431 192.0.2.7 5000 typ host ufrag abcd',
      'a=candidate:3 1 tcp 1671430143 192.0.2.7 5000 typ host tcptype passive',
      'a=end-of-candidates', 'm=video 9 UDP/TLS/RTP/SAVPF 96',
      'a=candidate:2 1 udp 2130706431 192.0.2.7 5000 typ host'])
    const got = toClient(sent, where)
    assert.equal(got, description([...rest, 'a=candidate:2 1 udp 2130706431 192.0.2.7 41234 typ host ufrag abcd',
      'a=end-of-candidates', 'm=video 9 UDP/TLS/RTP/SAVPF 96']))
  })

  test('a page shows no address', () => {
    const candidate = '42["ice-candidate",{"candidate":{"candidate":"candidate:1 1 udp 2122 192.0.2.9 50000 typ host generation 0","sdpMid":"0"}}]'
    assert.equal(toServer(candidate), candidate.replace('192.0.2.9', 'hidden.local'))
    const sent = description(['v=0', 'a=candidate:1 1 UDP 2122 fd00::9 50000 typ host', 'a=candidate:2 1 tcp 1 fd00::9 9 typ host tcptype active'])
    assert.equal(toServer(sent), sent.replaceAll('fd00::9', 'hidden.local'))
  })

  test('the network forwards, loses what it is told to, and counts', async () => {
    const server = createSocket('udp4')
    const client = createSocket('udp4')
    server.on('message', (data, { port, address }) => server.send(data, port, address))
    server.bind(0, '127.0.0.1')
    client.bind(0, '127.0.0.1')
    await Promise.all([once(server, 'listening'), once(client, 'listening')])
    const link = await startImpairment({ address: '127.0.0.1', target: server.address().port, down: { delayMs: 30 } })
    try {
      const begin = performance.now()
      client.send('hello', link.port, '127.0.0.1')
      const [data] = await once(client, 'message')
      assert.equal(String(data), 'hello')
      assert.ok(performance.now() - begin >= 30)
      await link.set({ up: { loss: 1 } })
      client.send('gone', link.port, '127.0.0.1')
      const { up, down } = await until('the loss is counted', async () => {
        const counters = await link.counters()
        return counters.up.lost === 1 && counters
      }, { interval: 20 })
      assert.equal(up.forwarded, 1)
      assert.equal(down.packets, 1)
      await assert.rejects(link.set({ up: { loss: 2 } }), /loss is 2/)
    } finally {
      await link.stop()
      server.close()
      client.close()
    }
  })
})
