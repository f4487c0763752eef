// Runs a Firefox in another namespace for Puppeteer, which speaks to it through a port of its loopback address: the same
// port is opened here and joined to that one by a socket file.
//   node gate.mjs NAMESPACE PROGRAM ARGUMENT...

import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { folder, Space } from './space.mjs'

const join = (listen, target) => {
  const server = createServer(near => {
    const far = connect(target)
    for (const [from, to] of [[near, far], [far, near]]) from.on('error', () => to.destroy()).on('close', () => to.destroy()).pipe(to)
  })
  return new Promise((resolve, reject) => server.once('error', reject).listen(listen, resolve))
}

const [space, ...command] = process.argv.slice(2)
if (space === '--far') {
  const [file, port] = command
  await join({ path: file }, { host: '127.0.0.1', port })
  console.log('ready')
} else {
  const { enter: [nsenter, ...enter] } = new Space(space)
  const browser = spawn(nsenter, [...enter, ...command], { stdio: ['ignore', 'inherit', 'pipe'] })
  browser.once('exit', code => process.exit(code ?? 1))
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => browser.kill(signal))
  for await (const line of createInterface({ input: browser.stderr })) {
    const [, port] = /^WebDriver BiDi listening on ws:\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? []
    if (port) await bridge(port)
    console.error(line)
  }

  async function bridge (port) {
    const file = path.join(folder, `${space}-${port}.sock`)
    const far = spawn(nsenter, [...enter, process.execPath, fileURLToPath(import.meta.url), '--far', file, port], { stdio: ['ignore', 'pipe', 'inherit'] })
    browser.once('exit', () => far.kill())
    await new Promise(resolve => far.stdout.once('data', resolve))
    await join({ host: '127.0.0.1', port }, { path: file })
  }
}
