// Holds sites to what their profiles promise, without a browser.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { address, core, OTHER_PORT, STUN_PORT, stunHosts } from './internet.mjs'
import { profiles } from './profiles.mjs'
import { Site } from './site.mjs'
import { startStun, UNASKED } from './stun.mjs'

const PORTS = [443, OTHER_PORT]
const UNASKED_MS = 1500

// startChecks gives the network what the checks need: {check(name, number), stop()}.
export async function startChecks (net) {
  const other = createServer(stream => stream.destroy())
  other.listen(OTHER_PORT, '::')
  await once(other, 'listening')
  const stranger = { 4: await startStun(address(core, 4), 0), 6: await startStun(address(core, 6), 0) }

  // check opens a site of this profile, with this number, and tries what gets through.
  async function check (name, number) {
    const profile = profiles[name]
    const site = await Site.open(net, number, profile)
    const { reach } = profile
    const line = probe(site, UNASKED_MS)
    try {
      const { udp, ms, tcp, connect } = (await line.next()).value
      assert.equal(seenAs(udp, site), reach.udp, `STUN servers see it as ${udp.join(' and ')}`)
      assert.deepEqual(PORTS.filter((_, i) => tcp[i]), reach.tcp, 'TCP ports it gets to')
      assert.deepEqual(PORTS.filter((_, i) => connect[i]), reach.connect ?? [], 'ports it gets to through a proxy')
      if (!reach.udp) return
      const roundTrip = 2 * (profile.wire?.delayMs ?? 0)
      assert.ok(ms >= roundTrip, `a round trip takes ${ms} ms, which is less than ${roundTrip}`)
      const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(udp[0])
      for (let i = 0; i < 5; i++) stranger[site.family].send(UNASKED, Number(port), host) // one may get lost
      assert.equal((await line.next()).value.unasked, reach.unasked, 'whether a stranger gets in')
    } finally {
      await line.return()
      await site.close()
    }
  }

  return {
    check,
    stop: async () => {
      other.close()
      for (const one of Object.values(stranger)) await one.stop()
    }
  }
}

// checkMoves opens a site and lets its addresses change.
export async function checkMoves (net, number) {
  const site = await Site.open(net, number, profiles.cone)
  const hostOf = ([seen]) => seen?.slice(0, seen.lastIndexOf(':'))
  const look = async () => {
    const line = probe(site)
    const { value: { udp, local } } = await line.next()
    await line.return()
    return { local, mapped: hostOf(udp), toString () { return `${this.local} seen as ${this.mapped}` } }
  }
  try {
    const before = await look()
    await site.newLocalAddress()
    const moved = await look()
    assert.ok(moved.local !== before.local && moved.mapped === before.mapped, `a new local address: from ${before} to ${moved}`)
    await site.newPublicAddress()
    const renumbered = await look()
    assert.ok(renumbered.local === moved.local && renumbered.mapped && renumbered.mapped !== moved.mapped, `a new public address: from ${moved} to ${renumbered}`)
  } finally {
    await site.close()
  }
}

// seenAs names, in the words of a profile's `reach.udp`, how two servers see a client.
function seenAs ([first, second], { prefix }) {
  if (!first || !second) return first ?? second
  if (first.startsWith(prefix) || first.startsWith(`[${prefix}`)) return 'itself'
  return first === second ? 'same' : 'other'
}

// probe yields what probe.mjs prints in the client's namespace.
async function * probe (site, wait = 0) {
  const { family, proxy } = site
  const ports = PORTS.map(port => [address(core, family), port])
  const what = { stun: stunHosts.map(host => [address(host, family), STUN_PORT]), tcp: ports, connect: ports, proxy, wait }
  const [command, ...args] = [...site.client.enter, process.execPath, fileURLToPath(new URL('probe.mjs', import.meta.url)), JSON.stringify(what)]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line)
  } finally {
    child.kill()
  }
}
