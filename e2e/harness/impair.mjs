// A bad network before a UDP port of this machine, or between two network devices: bin/impair, steered by lines of JSON.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { here } from './server.mjs'

const binary = process.env.E2E_IMPAIR_BIN ?? path.join(here, '..', 'bin', 'impair')

const ANSWER_MS = 10_000

// A direction is {loss, delayMs, jitterMs, rate, queueMs, queueBytes}, all optional.

// startImpairment returns {port, set, counters, stop}: what is sent to `port` at `address` arrives at `target` there;
// `up` is towards the server. set({rebind: true}) gives every client another port there.
export async function startImpairment ({ address, target, seed, up, down }) {
  const { hello, ...network } = await start(['-listen', `${address}:0`, '-target', `${address}:${target}`], { seed, up, down })
  return { port: Number(hello.listen.slice(hello.listen.lastIndexOf(':') + 1)), ...network }
}

// startWire makes two TAP devices of these names and joins them: {set, counters, stop}; `up` is from the first to the
// second. They are gone when it stops.
export async function startWire (first, second, { seed, up, down } = {}) {
  const { hello: _, ...network } = await start(['-taps', `${first},${second}`], { seed, up, down })
  return network
}

async function start (args, { seed = 1, up, down }) {
  if (!existsSync(binary)) throw new Error(`${binary} is missing: run "make impair" first`)
  const child = spawn(binary, [...args, '-seed', String(seed)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting = [] // answers come in the order of the requests; the first line is the address
  let ended = null
  const end = reason => {
    ended ??= new Error(`${path.basename(binary)} ${reason}`)
    for (const { reject } of waiting.splice(0)) reject(ended)
  }
  child.once('error', err => end(`could not be started: ${err.message}`))
  child.once('exit', (code, signal) => end(`ended with ${signal ?? `code ${code}`}`))
  child.stdin.on('error', () => {})
  const exited = once(child, 'exit')
  exited.catch(() => {})

  const line = () => {
    const answer = withResolvers()
    if (ended) answer.reject(ended)
    else waiting.push(answer)
    const late = setTimeout(() => answer.reject(new Error(`${path.basename(binary)} does not answer`)), ANSWER_MS)
    return answer.promise.finally(() => clearTimeout(late))
  }
  createInterface({ input: child.stdout }).on('line', text => waiting.shift()?.resolve(JSON.parse(text)))

  let id = 0
  const request = async what => {
    const answer = line()
    child.stdin.write(JSON.stringify({ id: ++id, ...what }) + '\n')
    const { error, ...rest } = await answer
    if (error) throw new Error(`${path.basename(binary)}: ${error}`)
    return rest
  }
  const stop = async () => {
    child.stdin.end()
    await exited.catch(() => {})
  }
  try {
    const hello = await line()
    if (up || down) await request({ up, down })
    return {
      hello,
      set: directions => request(directions),
      counters: () => request({}),
      stop
    }
  } catch (err) {
    child.kill('SIGKILL')
    throw err
  }
}

function withResolvers () {
  const answer = {}
  answer.promise = new Promise((resolve, reject) => Object.assign(answer, { resolve, reject }))
  return answer
}
