// The server under test: bin/skillsage on a free port of its own, or one that runs elsewhere
// (E2E_SERVER_URL, with its mode in E2E_SERVER_MODE).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, mkdirSync } from 'node:fs'
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { until } from './until.mjs'

export const here = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
export const binary = process.env.E2E_SERVER_BIN ?? path.join(here, '..', 'bin', 'skillsage')

const bindable = async (type, address, port) => {
  const socket = createSocket(type)
  try {
    socket.bind(port, address)
    await once(socket, 'listening')
    return true
  } catch {
    return false
  } finally {
    socket.close()
  }
}

// freePort finds a number that is free in TCP (signaling) and in UDP (media). It stays below the range that the
// system hands out by itself, from which browsers take their media ports at any moment.
export async function freePort () {
  for (let i = 0; i < 50; i++) {
    const port = 15_000 + Math.floor(Math.random() * 15_000)
    const tcp = createServer()
    const free = await new Promise(resolve => {
      tcp.once('error', () => resolve(false))
      tcp.listen(port, () => resolve(true))
    })
    if (!free) continue
    const media = await bindable('udp4', '0.0.0.0', port) && await bindable('udp6', '::', port)
    tcp.close()
    await once(tcp, 'close')
    if (media) return port
  }
  throw new Error('no port is free in both TCP and UDP')
}

export const externalServer = () => process.env.E2E_SERVER_URL
  ? { url: process.env.E2E_SERVER_URL.replace(/\/$/, ''), mode: process.env.E2E_SERVER_MODE ?? 'p2p' }
  : null

// launch starts a program, keeps its output in a file and waits until `ready` says that it serves. `enter` is a command
// that runs the program elsewhere, in its own process.
export async function launch ({ enter = [], file, args, env, logFile, ready, make }) {
  if (!existsSync(file)) throw new Error(`${file} is missing: run "${make}" first`)
  mkdirSync(path.dirname(logFile), { recursive: true })
  const log = createWriteStream(logFile)
  const [command, ...rest] = [...enter, file, ...args]
  const child = spawn(command, rest, {
    cwd: path.join(here, '..'),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  let exit = null
  child.once('error', err => { exit = `could not be started: ${err.message}` })
  child.once('exit', (code, signal) => { exit = `ended with ${signal ?? `code ${code}`}` })

  const stop = async () => {
    if (exit) return
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    const late = await Promise.race([gone.then(() => false), sleep(5_000, true, { ref: false })])
    if (late) {
      child.kill('SIGKILL')
      await gone
      throw new Error(`${path.basename(file)} did not end within 5 s of SIGTERM`)
    }
  }
  try {
    await until(`${file} serves`, async () => exit !== null || ready(), { timeout: 15_000, interval: 100 })
  } catch (err) {
    child.kill('SIGKILL')
    throw err
  }
  if (exit) throw new Error(`${path.basename(file)} ${exit}; its log is ${logFile}`)
  const kill = async () => {
    if (exit) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  return { pid: child.pid, stop, kill, ended: () => exit }
}

// startServer returns {url, port, mode, logFile, pid, stop(), kill(), ended()}. `env` adds SKILLSAGE_ variables; `enter` is as
// with launch.
export async function startServer ({ mode, env = {}, outDir, enter, port: wanted = null }) {
  const external = externalServer()
  if (external) {
    if (external.mode !== mode) throw new Error(`the server at ${external.url} is in mode ${external.mode}, not ${mode}`)
    return { ...external, port: Number(new URL(external.url).port), logFile: null, stop: async () => {} }
  }
  const port = wanted ?? await freePort()
  const url = `http://localhost:${port}`
  const logFile = path.join(outDir, `server-${mode}-${port}${wanted ? '-again' : ''}.log`)
  const running = await launch({
    enter,
    file: binary,
    args: [],
    env: { PORT: String(port), SKILLSAGE_RELAY_MODE: mode, SKILLSAGE_NETWORK_STUN_SERVERS: '', ...env },
    logFile,
    ready: async () => (await fetch(`${url}/healthz`)).ok,
    make: 'make build'
  })
  return { url, port, mode, logFile, ...running }
}

// startConformance runs the fixture of the public protocol suites; `url` is its Socket.IO echo server.
export async function startConformance ({ outDir }) {
  const [a, b] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${a}`
  const running = await launch({
    file: path.join(path.dirname(binary), 'conformance'),
    args: ['-a', `127.0.0.1:${a}`, '-b', `127.0.0.1:${b}`],
    env: {},
    logFile: path.join(outDir, `conformance-${a}.log`),
    ready: async () => (await fetch(`${url}/socket.io/?EIO=4&transport=polling`)).ok,
    make: 'make conformance'
  })
  return { url, ...running }
}
