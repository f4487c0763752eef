// The network between the clients and the servers: a bridge in the namespace that this process is in, which is also the
// router of all that has a public address. Addresses look public, because software treats documentation and
// private ones differently; none of it gets out of here.

import { readFileSync, realpathSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import { startPages } from '../harness/pages.mjs'
import { binary, launch } from '../harness/server.mjs'
import { Authority } from './authority.mjs'
import { startDNS } from './dns.mjs'
import { folder, run, Space } from './space.mjs'
import { startStun } from './stun.mjs'

// Hosts of the bridge by their number in both families. Sites have the numbers of their routers from 256 on.
export const address = (number, family = 4) => family === 4 ? `11.0.${number >> 8}.${number & 255}` : `2a11:22::${number.toString(16)}`
const mask = { 4: 16, 6: 64 }
export const whole = { 4: 32, 6: 128 } // the mask of a single address
export const core = 1
const pagesHost = 2
export const dnsHost = 5
export const stunHosts = [3, 4]

// Public STUN servers by the names that pages and the server have in them; here they are the lab's.
const stunServers = [['stun.l.google.com', 19302], ['stun.cloudflare.com', 3478]]
export const STUN_PORT = stunServers[0][1]

// The port for all that only 443 is not: it stands for every other one.
export const OTHER_PORT = 8080

// The servers under test. All of them serve everything on port 443 of their host. One with an `inside` is not on the net:
// the host before it sends what comes for that port on to this port of its private address.
const servers = {
  relay: { mode: 'relay', host: 10 },
  p2p: { mode: 'p2p', host: 11 },
  mapped: { mode: 'relay', host: 12, inside: 5000, env: { SKILLSAGE_NETWORK_ADVERTISE: `${address(12)}:443` } }
}

const PORT = 443
const nameOf = server => `${server}.test`

export class Internet {
  #here = new Space()
  #authority
  #pages
  #others = [] // what else has a stop()
  #servers = new Map() // name -> Promise<server>
  #outDir

  // start makes the network, with the pages and STUN servers on it. `outDir` is for the servers' logs.
  static async start ({ outDir }) {
    const net = new Internet()
    net.#outDir = outDir
    try {
      await net.#build()
    } catch (err) {
      await net.stop()
      throw err
    }
    return net
  }

  async #build () {
    if (!folder) throw new Error('the network lab runs inside of netlab/enter only')
    await this.#here.set({
      'net/ipv4/ip_forward': 1,
      'net/ipv4/conf/all/send_redirects': 0,
      'net/ipv4/conf/default/send_redirects': 0,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv6/conf/default/accept_dad': 0
    })
    const own = [core, pagesHost, dnsHost, ...stunHosts]
    await this.#here.ip(
      // Without an address of its own it would take another one whenever an interface comes.
      'link add internet address 02:00:00:00:00:01 type bridge',
      'link set internet up',
      ...own.flatMap(n => [4, 6].map(family => `addr add ${address(n, family)}/${mask[family]} dev internet`)),
      // Strangers' addresses swallow what is sent to them without a word, as on the real one.
      'route add blackhole 0.0.0.0/0',
      'route add blackhole ::/0'
    )
    const names = Object.fromEntries([
      ['pages.test', pagesHost],
      ...stunServers.map(([name], i) => [name, stunHosts[i]]),
      ...Object.entries(servers).map(([name, { host }]) => [nameOf(name), host])
    ].map(([name, host]) => [name, [address(host, 4), address(host, 6)]]))
    const resolvers = [address(dnsHost, 4), address(dnsHost, 6)]
    const file = path.join(folder, 'resolv.conf')
    writeFileSync(file, resolvers.map(resolver => `nameserver ${resolver}\n`).join(''))
    await run(['mount', '--bind', file, realpathSync('/etc/resolv.conf')])
    for (const resolver of resolvers) this.#others.push(await startDNS(resolver, names))
    for (const host of stunHosts) {
      for (const family of [4, 6]) {
        for (const [, port] of stunServers) this.#others.push(await startStun(address(host, family), port))
      }
    }
    this.#authority = await Authority.create(folder)
    this.#pages = await startPages({ host: '::', port: 443, name: 'pages.test', tls: await this.#tls('pages.test') })
    this.#others.push(this.#pages)
  }

  get pages () {
    return this.#pages
  }

  get authority () {
    return this.#authority
  }

  // here is the namespace of the bridge.
  get here () {
    return this.#here
  }

  // server returns {url, port, mode, logFile, stop(), ended()}, started when first asked for.
  server (name) {
    if (!this.#servers.has(name)) this.#servers.set(name, this.#serve(name, servers[name]))
    return this.#servers.get(name)
  }

  async #serve (name, { mode, host, inside, env }) {
    const space = await Space.create(name)
    if (inside) await this.#map(space, host, inside)
    else await this.plug(space, 'eth0', host)
    const { cert, key } = await this.#authority.issue(nameOf(name))
    const url = `https://${nameOf(name)}`
    const logFile = path.join(this.#outDir, `server-${name}.log`)
    const running = await launch({
      enter: space.enter,
      file: binary,
      args: [],
      env: {
        PORT: String(inside ?? PORT),
        SKILLSAGE_RELAY_MODE: mode,
        SKILLSAGE_SERVER_TLS_CERT: cert,
        SKILLSAGE_SERVER_TLS_KEY: key,
        SKILLSAGE_TURN_HOST: nameOf(name),
        ...env
      },
      logFile,
      ready: () => this.#answers(`${url}/healthz`),
      make: 'make build'
    })
    return { url, port: PORT, mode, logFile, ...running }
  }

  // map puts a namespace behind a host that sends everything for the one port on to the port `inside` of it.
  async #map (space, host, inside) {
    const [outer, inner] = ['10.200.0.1', '10.200.0.2']
    const router = await Space.create(`${space.name}-host`)
    await this.plug(router, 'wan', host)
    await router.set({ 'net/ipv4/ip_forward': 1 })
    await router.ip(`link add lan type veth peer name eth0 netns ${space.name}`, `addr add ${outer}/24 dev lan`, 'link set lan up')
    await space.ip(`addr add ${inner}/24 dev eth0`, 'link set eth0 up', `route add default via ${outer}`)
    await router.nft(`
table ip mapping {
  chain in {
    type nat hook prerouting priority dstnat
    iifname "wan" meta l4proto { tcp, udp } th dport ${PORT} dnat to ${inner}:${inside}
  }
  chain out {
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade
  }
}
`)
  }

  #answers (url) {
    return new Promise((resolve, reject) => {
      https.get(url, { ca: this.#authority.certificate }, answer => resolve(answer.resume().statusCode === 200)).on('error', reject)
    })
  }

  async #tls (name) {
    const { cert, key } = await this.#authority.issue(name)
    return { cert: readFileSync(cert), key: readFileSync(key) }
  }

  // plug gives a namespace an interface on the bridge with a host's addresses, and routes to everywhere.
  async plug (space, name, host) {
    await this.#here.ip(
      `link add h${host} type veth peer name ${name} netns ${space.name}`,
      `link set h${host} master internet up`
    )
    await connect(space, name, host)
  }

  async stop () {
    for (const started of await Promise.allSettled(this.#servers.values())) await started.value?.stop()
    for (const other of this.#others) await other.stop()
  }
}

// connect configures an interface that is on the bridge already. Its only neighbour is the core, as on a provider's line.
export async function connect (space, name, host) {
  await space.ip(`link set ${name} up`, ...[4, 6].flatMap(family => [
    `addr add ${address(host, family)}/${whole[family]} dev ${name}`,
    `route add ${address(core, family)} dev ${name}`,
    `route add default via ${address(core, family)} dev ${name}`
  ]))
}
