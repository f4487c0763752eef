// A site: a client in a namespace of its own, and before it a router that makes the network what its profile says.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { binaries, Browsers } from '../harness/browsers.mjs'
import { startWire } from '../harness/impair.mjs'
import { until } from '../harness/until.mjs'
import { address, connect, core, dnsHost, whole } from './internet.mjs'
import { folder, Space } from './space.mjs'

const PROXY_PORT = 8888
const FIREFOX_PORT = 30_000 // and the site's number: Firefox and gate.mjs need the same one, free in both namespaces

// Sites have routers with these numbers; the second of each pair is for another public address.
const routerHost = number => 256 + 2 * number

// Networks behind the routers, by the kind of the client's addresses: the prefix without the last part.
const networks = {
  private: number => ({ family: 4, prefix: `10.0.${number}.`, bits: 24 }),
  public: number => ({ family: 4, prefix: `11.1.${number}.`, bits: 24 }),
  ipv6: number => ({ family: 6, prefix: `2a11:22:0:${number}::`, bits: 64 })
}

// Ports of a router on which an inspector takes what is meant for port 443 of a host of the net.
const inspected = Array.from({ length: 15 }, (_, i) => [10_000 + i, address(core + i)])

// rulesOf writes a router's ruleset for nftables. Names can be resolved from everywhere.
export function rulesOf ({ nat, open, inspects, out = [] }) {
  const closed = open ? '' : 'iifname "wan" meta l4proto != ipv6-icmp drop'
  return `
table inet router {
  chain input {
    type filter hook input priority 0
    ct state established,related accept
    ${closed}
  }
  chain forward {
    type filter hook forward priority 0
    ct state established,related accept
    ${closed}
    udp dport 53 meta nfproto ipv4 ip daddr ${address(dnsHost, 4)} accept
    udp dport 53 meta nfproto ipv6 ip6 daddr ${address(dnsHost, 6)} accept
    ${out.map(rule => `iifname "lan" ${rule}`).join('\n    ')}
  }
  chain inspection {
    type nat hook prerouting priority dstnat
    ${inspects ? inspected.map(([port, host]) => `iifname "lan" ip daddr ${host} tcp dport 443 redirect to :${port}`).join('\n    ') : ''}
  }
  chain nat {
    type nat hook postrouting priority srcnat
    ${nat ? `oifname "wan" ${nat}` : ''}
  }
}
`
}

export class Site {
  #net
  #number
  #network
  #router
  #wire = null
  #programs = [] // on the router
  #hosts // numbers of the client and of the router
  #wan

  // open makes a site; its number, from 1 to 120, is its own.
  static async open (net, number, profile) {
    const site = new Site()
    Object.assign(site, { profile })
    site.#net = net
    site.#number = number
    site.#network = networks[profile.addresses ?? 'private'](number)
    site.#hosts = { router: 1, client: 2 }
    site.#wan = routerHost(number)
    try {
      await site.#build()
    } catch (err) {
      await site.close()
      throw err
    }
    return site
  }

  get family () {
    return this.#network.family
  }

  // Addresses of the client's network start with this.
  get prefix () {
    return this.#network.prefix
  }

  #at (host) {
    return `${this.#network.prefix}${host}`
  }

  async #build () {
    const { profile } = this
    const { family, bits } = this.#network
    this.#router = await Space.create(`router${this.#number}`)
    this.client = await Space.create(`client${this.#number}`)
    await this.#router.set({ 'net/ipv4/ip_forward': 1, 'net/ipv6/conf/all/forwarding': 1 })
    if (profile.wire) await this.#layWire()
    else await this.#net.plug(this.#router, 'wan', this.#wan)

    await this.#router.ip(
      `link add lan type veth peer name eth0 netns ${this.client.name}`,
      `addr add ${this.#at(this.#hosts.router)}/${bits} dev lan`,
      'link set lan up'
    )
    await this.client.ip(`addr add ${this.#at(this.#hosts.client)}/${bits} dev eth0`, 'link set eth0 up',
      `route add default via ${this.#at(this.#hosts.router)}`)
    // A change of the link a moment after its browser has started breaks all that it loads.
    await until('the client is on the net', async () => {
      const link = await this.client.run(['ip', '-o', 'address', 'show', 'dev', 'eth0'])
      return link.includes('scope link') && !link.includes('tentative') &&
        (await this.client.run(['ip', '-o', 'link', 'show', 'dev', 'eth0'])).includes('state UP')
    }, { interval: 50, timeout: 5000 })
    if (!profile.nat) {
      await this.#net.here.ip(`route add ${this.#at(0)}/${bits} via ${address(this.#wan, family)}`)
    }
    await this.#router.nft(rulesOf(profile))
    if (profile.proxy) await this.#startProxy()
    if (profile.inspects) {
      const inspector = this.#start([process.execPath, fileURLToPath(new URL('inspector.mjs', import.meta.url)), JSON.stringify(inspected)])
      await once(inspector.stdout, 'data') // it is ready
    }
    this.browsers = new Browsers(this.#place())
  }

  async #layWire () {
    const [near, far] = [`w${this.#number}`, `i${this.#number}`]
    this.#wire = await startWire(near, far, { seed: this.#number, up: this.profile.wire, down: this.profile.wire })
    await this.#net.here.ip(`link set ${near} name wan netns ${this.#router.name}`, `link set ${far} master internet up`)
    await connect(this.#router, 'wan', this.#wan)
    // What the line does to packets is no reason to lose the neighbour.
    const hardware = async (space, name) => JSON.parse(await space.run(['ip', '-j', 'link', 'show', 'dev', name]))[0].address
    await this.#router.ip(`neigh replace ${address(core)} lladdr ${await hardware(this.#net.here, 'internet')} dev wan nud permanent`)
    await this.#net.here.ip(`neigh replace ${address(this.#wan)} lladdr ${await hardware(this.#router, 'wan')} dev internet nud permanent`)
  }

  async #startProxy () {
    const config = path.join(folder, `proxy${this.#number}.conf`)
    writeFileSync(config, [`Port ${PROXY_PORT}`, `Listen ${this.#at(this.#hosts.router)}`, 'Timeout 600', 'MaxClients 100',
      'ConnectPort 443', 'DisableViaHeader Yes', `LogFile "${path.join(folder, `proxy${this.#number}.log`)}"`, 'LogLevel Connect'].join('\n') + '\n')
    this.#start(['tinyproxy', '-d', '-c', config]).stdout.resume()
    await until('the proxy listens', async () => (await this.#router.run(['ss', '-Hltn'])).includes(`:${PROXY_PORT}`), { interval: 50, timeout: 5000 })
  }

  #start (program) {
    const [command, ...args] = [...this.#router.enter, ...program]
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#programs.push(child)
    return child
  }

  // Where the proxy is, as [host, port]; null without one.
  get proxy () {
    return this.profile.proxy ? [this.#at(this.#hosts.router), PROXY_PORT] : null
  }

  #place () {
    const home = path.join(folder, this.client.name)
    const profile = path.join(home, 'firefox')
    for (const database of [path.join(home, '.pki', 'nssdb'), profile]) {
      mkdirSync(database, { recursive: true })
      this.#net.authority.trustIn(database)
    }
    const program = (name, ...command) => {
      const file = path.join(home, name)
      writeFileSync(file, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`)
      chmodSync(file, 0o755)
      return file
    }
    const gate = fileURLToPath(new URL('gate.mjs', import.meta.url))
    const [host, port] = this.proxy ?? []
    return {
      programs: {
        chromium: program('chromium', ...this.client.enter, binaries.chromium),
        firefox: program('firefox-in', process.execPath, gate, this.client.name, binaries.firefox)
      },
      env: { HOME: home },
      profile,
      port: FIREFOX_PORT + this.#number,
      args: host ? [`--proxy-server=http://${host}:${port}`] : [],
      prefs: host
        ? { 'network.proxy.type': 1, 'network.proxy.http': host, 'network.proxy.http_port': port, 'network.proxy.ssl': host, 'network.proxy.ssl_port': port }
        : {}
    }
  }

  // line changes both directions of the wire.
  line (direction) {
    return this.#wire.set({ up: direction, down: direction })
  }

  // newLocalAddress is what a client gets that comes to another access point.
  async newLocalAddress () {
    const { bits } = this.#network
    const old = this.#at(this.#hosts.client++)
    await this.client.ip(
      `addr del ${old}/${bits} dev eth0`,
      `addr add ${this.#at(this.#hosts.client)}/${bits} dev eth0`,
      `route replace default via ${this.#at(this.#hosts.router)}`
    )
  }

  // newPublicAddress is what a provider does to a line once a day: with the address go all mappings of the NAT.
  async newPublicAddress () {
    const old = this.#wan
    this.#wan = old === routerHost(this.#number) ? old + 1 : old - 1
    await this.#router.ip(`addr add ${address(this.#wan)}/${whole[4]} dev wan`, `addr del ${address(old)}/${whole[4]} dev wan`)
  }

  async close () {
    await this.browsers?.stop()
    for (const program of this.#programs) program.kill('SIGKILL') // asked politely, tinyproxy waits for its connections
    await this.#wire?.stop()
    for (const space of [this.client, this.#router]) await space?.remove()
  }
}
