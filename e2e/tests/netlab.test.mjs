// Calls between people behind NATs, firewalls and proxies (the quick half; `make netlab` holds all), and the pieces
// that those networks are made of.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { Resolver } from 'node:dns/promises'
import { connect, createServer } from 'node:net'
import path from 'node:path'
import { describe, test } from 'node:test'
import { createInterface } from 'node:readline'
import { here } from '../harness/server.mjs'
import { bytesOf, textOf } from '../netlab/address.mjs'
import { dnsAnswer } from '../netlab/dns.mjs'
import { startInspector } from '../netlab/inspector.mjs'
import { columns, quickCells, rows, table } from '../netlab/matrix.mjs'
import { profiles } from '../netlab/profiles.mjs'
import { rulesOf } from '../netlab/site.mjs'
import { answerTo, bindingRequest, mappedAddress, startStun } from '../netlab/stun.mjs'

const NO_NAMESPACES = 77

const enter = (...command) => spawn(path.join(here, 'netlab/enter'), command, { cwd: here, stdio: ['ignore', 'pipe', 'pipe'] })

const textFrom = stream => {
  const said = { text: '' }
  stream.setEncoding('utf8').on('data', data => { said.text += data })
  return said
}

describe('networks of our own', { concurrency: 1 }, () => {
  test('quick half of the matrix', { timeout: 290_000 }, async t => {
    const lab = enter(process.execPath, 'netlab/run.mjs', '--quick', '--json')
    const closed = once(lab, 'close')
    t.after(() => lab.kill())
    const complaint = textFrom(lab.stderr)
    let end = null
    for await (const line of createInterface({ input: lab.stdout })) {
      const result = JSON.parse(line)
      if (result.type === 'end') {
        end = result
        continue
      }
      const title = result.type === 'check' ? `network: ${result.name}` : `${result.row}: ${result.column}`
      await t.test(title, { skip: result.skipped ?? false }, inner => {
        if (result.again) inner.diagnostic(`played twice, the first time failed: ${result.again}`)
        if (result.frames) inner.diagnostic(`first frames after ${result.frames.join(' and ')} ms, over ${result.transports?.join(' and ')}`)
        if (result.error) assert.fail(`${result.error}${result.folder ? `\n(logs: ${result.folder})` : ''}`)
      })
    }
    const [code] = await closed
    if (code === NO_NAMESPACES) {
      t.skip(complaint.text.trim())
      return
    }
    assert.ok(end, `the lab ended with ${code} before its time: ${complaint.text}`)
  })

  test('nothing is left when the lab is ended by force', { timeout: 20_000 }, async t => {
    // What runs inside says who it is and then waits for ever.
    const lab = enter('sh', '-c', 'readlink /proc/self/ns/net; sleep 1000')
    const complaint = textFrom(lab.stderr)
    const closed = once(lab, 'close')
    const [inside] = await Promise.race([once(createInterface({ input: lab.stdout }), 'line'), closed])
    if (lab.exitCode === NO_NAMESPACES) {
      t.skip(complaint.text.trim())
      return
    }
    assert.match(inside, /^net:/)
    lab.kill('SIGTERM')
    // Its output stays open as long as one process of it lives.
    await closed
  })
})

describe('pieces of the network lab', () => {
  test('a STUN server tells where a request came from', async () => {
    for (const address of ['127.0.0.1', '::1']) {
      const server = await startStun(address, 0)
      const client = createSocket(address === '::1' ? 'udp6' : 'udp4')
      try {
        client.bind(0, address)
        await once(client, 'listening')
        const transaction = Buffer.from('0123456789ab')
        client.send('no STUN', server.port, address)
        client.send(bindingRequest(transaction), server.port, address)
        const [answer] = await once(client, 'message')
        const { port } = client.address()
        assert.equal(mappedAddress(answer, transaction), address === '::1' ? `[::1]:${port}` : `127.0.0.1:${port}`)
        assert.equal(mappedAddress(answer, Buffer.alloc(12)), null)
      } finally {
        await server.stop()
        client.close()
      }
    }
    assert.equal(answerTo(Buffer.alloc(19), { address: '127.0.0.1', port: 1 }), null)
  })

  test('addresses survive the way through packets', () => {
    for (const address of ['11.0.0.1', '::1', '2a11:22::a', 'fe80::1:2', '2a11:22:0:1::2']) assert.equal(textOf(bytesOf(address)), address)
  })

  test('the name server knows the names of the lab and no others', async () => {
    const names = { 'relay.test': ['11.0.0.10', '2a11:22::a'] }
    const server = createSocket('udp4')
    server.on('message', (query, from) => server.send(dnsAnswer(query, names), from.port, from.address))
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    const resolver = new Resolver({ timeout: 2000, tries: 1 })
    resolver.setServers([`127.0.0.1:${server.address().port}`])
    try {
      assert.deepEqual(await resolver.resolve4('Relay.test'), ['11.0.0.10'])
      assert.deepEqual(await resolver.resolve6('relay.test'), ['2a11:22::a'])
      await assert.rejects(resolver.resolve4('example.com'), { code: 'ENOTFOUND' })
      await assert.rejects(resolver.resolveTxt('relay.test'), { code: 'ENODATA' })
    } finally {
      server.close()
    }
    for (const bad of [Buffer.alloc(0), Buffer.alloc(11), Buffer.alloc(12), Buffer.from('000000010001000000000000ff', 'hex')]) assert.equal(dnsAnswer(bad, names), null)
  })

  test('the firewall that looks for TLS passes on what begins as it, and nothing else', async () => {
    const echo = createServer({ allowHalfOpen: true }, stream => stream.on('error', () => {}).pipe(stream))
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    const inspector = await startInspector({ port: 0, host: '127.0.0.1', target: { host: '127.0.0.1', port: echo.address().port } })
    const say = async hex => {
      const stream = connect(inspector.port, '127.0.0.1')
      stream.on('error', () => {})
      stream.end(Buffer.from(hex, 'hex'))
      const chunks = []
      for await (const chunk of stream) chunks.push(chunk)
      return Buffer.concat(chunks).toString('hex')
    }
    try {
      assert.equal(await say('160301004a01'), '160301004a01')
      // A page's request, ICE-TCP, and libwebrtc's imitation of a TLS handshake.
      for (const other of ['474554202f', '001400010000', '8046010301']) assert.equal(await say(other), '')
    } finally {
      await inspector.stop()
      echo.close()
    }
  })

  test('rows and columns are of profiles and pages that there are', () => {
    for (const name of rows.flatMap(row => row.profiles)) assert.ok(profiles[name], name)
    for (const { row, column } of quickCells) assert.ok(row && column)
    // Every profile is in some row.
    const used = new Set(rows.flatMap(row => row.profiles))
    assert.deepEqual(Object.keys(profiles).filter(name => !used.has(name)), [])
  })

  test('a router lets in strangers only where the profile says so', () => {
    assert.doesNotMatch(rulesOf(profiles.open), /iifname "wan".* drop/)
    for (const [name, profile] of Object.entries(profiles)) {
      if (!profile.open) assert.equal(rulesOf(profile).match(/iifname "wan".* drop/g).length, 2, name)
    }
  })

  test('the matrix shows what came of each call', () => {
    const [relay, , p2p] = columns // the stock page's
    const good = { frames: [400, 350], transports: ['udp', 'tcp'] }
    const results = [
      { cell: { row: rows[0], column: relay }, result: good },
      { cell: { row: rows[0], column: p2p }, result: { ...good, transports: ['udp', 'udp'], recoveries: [[900, 800]] } },
      { cell: { row: rows[1], column: relay }, result: { error: 'no picture' } },
      { cell: { row: rows[1], column: p2p }, result: { ...good, error: 'not back' } },
      { cell: { row: rows[2], column: relay }, result: { skipped: 'no TAP devices' } }
    ]
    assert.equal(table(results), `
|  | relay, stock page, chromium | p2p, stock page, chromium |
| --- | --- | --- |
| open + open | 400 / 350 udp / tcp | 400 / 350 udp; back in 900 / 800 |
| cone + cone | **FAILED** | 400 / 350 udp / tcp; back: no |
| symmetric + symmetric | not here |  |`.slice(1))
  })
})
