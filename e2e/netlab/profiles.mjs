// The networks that people sit behind. A profile is one object:
//
//   title      what it is, for people
//   addresses  'private' (IPv4, by default), 'public' (IPv4) or 'ipv6' for the client's own
//   nat        how the router translates, in nftables' words; none without it
//   open       the router lets in what nobody inside asked for
//   out        nftables rules for what the client sends, the first that fits decides; what fits none passes, and so do
//              questions to the name server
//   proxy      the router has an HTTP proxy on it, which the browsers are set to use
//   inspects   the router lets only those connections to port 443 through that begin as TLS does
//   stock      false: a page that knows no TURN server can't get out of here
//   wire       both directions of the line to the provider, in the words of harness/impair.mjs
//   during     what happens in the middle of a call, one function after the other; media must come back after each
//   transport  the protocol that media must be seen to use: 'udp' or 'tcp'
//   reach      what such a network lets through, which check.mjs holds it to: `udp` is how a STUN server sees the client
//              ('itself', 'same' port for two servers, 'other' port for each, or null), `unasked` whether a stranger's
//              packet comes in, `tcp` the ports that a client gets to, `connect` the same through the proxy

import { setTimeout as sleep } from 'node:timers/promises'

const nat = 'masquerade'
const home = { udp: 'same', unasked: false, tcp: [443, 8080] } // what people have at home

const DARK_MS = 8000

// The line is dead for a while, and alive again.
async function dark (site) {
  await site.line({ loss: 1 })
  await sleep(DARK_MS)
  await site.line(site.profile.wire)
}

export const profiles = {
  open: {
    title: 'a public address of its own, nothing filtered',
    addresses: 'public',
    open: true,
    transport: 'udp',
    reach: { udp: 'itself', unasked: true, tcp: [443, 8080] }
  },
  cone: {
    title: 'a NAT that keeps the port for every destination, and lets in only answers, as most homes have',
    nat,
    transport: 'udp',
    reach: home
  },
  symmetric: {
    title: 'a NAT with another random port for each destination, as companies and mobile providers have',
    nat: 'masquerade random,fully-random',
    transport: 'udp',
    reach: { ...home, udp: 'other' }
  },
  'udp-blocked': {
    title: 'NAT, and no UDP gets out',
    nat,
    out: ['meta l4proto udp drop'],
    transport: 'tcp',
    reach: { udp: null, tcp: [443, 8080] }
  },
  'tcp443-only': {
    title: 'NAT, and only TCP to port 443 gets out',
    nat,
    out: ['tcp dport 443 accept', 'drop'],
    transport: 'tcp',
    reach: { udp: null, tcp: [443] }
  },
  'tls-only': {
    title: 'NAT, and only TCP to port 443 gets out, and of that only what begins as TLS',
    nat,
    out: ['drop'],
    inspects: true,
    stock: false,
    transport: 'tcp',
    reach: { udp: null, tcp: [443] }
  },
  'proxy-only': {
    title: 'nothing gets out but what an HTTP proxy fetches or connects to on port 443',
    proxy: true,
    out: ['drop'],
    transport: 'tcp',
    reach: { udp: null, tcp: [], connect: [443] }
  },
  'ipv6-only': {
    title: 'IPv6 alone, without NAT; the router lets in only answers',
    addresses: 'ipv6',
    transport: 'udp',
    reach: { ...home, udp: 'itself' }
  },
  lossy: {
    title: 'as cone; 5 % of all packets are lost and all take 100 ms longer, each way',
    nat,
    wire: { loss: 0.05, delayMs: 100 },
    transport: 'udp',
    reach: home
  },
  narrow: {
    title: 'as cone; 800 kbit/s each way',
    nat,
    wire: { rate: 800_000, queueMs: 300 },
    transport: 'udp',
    reach: home
  },
  flapping: {
    title: `as cone; twice in the call the line is dead for ${DARK_MS / 1000} s`,
    nat,
    wire: {},
    during: [dark, dark],
    transport: 'udp',
    reach: home
  },
  'new-local-address': {
    title: 'as cone; in the call the client gets another address in its own network',
    nat,
    during: [site => site.newLocalAddress()],
    transport: 'udp',
    reach: home
  },
  'new-public-address': {
    title: 'as cone; in the call the NAT gets another public address',
    nat,
    during: [site => site.newPublicAddress()],
    transport: 'udp',
    reach: home
  }
}
