// Network namespaces, and the commands that furnish them.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

// A folder of this run alone. `enter` makes it, and only there may the network be furnished.
export const folder = process.env.NETLAB_FOLDER

// run waits for a command and returns what it printed; what it printed on its error output is in the error.
export async function run ([command, ...args], { input = '', env } = {}) {
  const child = spawn(command, args, { stdio: 'pipe', env: { ...process.env, ...env } })
  const text = { stdout: '', stderr: '' }
  for (const name of Object.keys(text)) child[name].setEncoding('utf8').on('data', data => { text[name] += data })
  child.stdin.on('error', () => {}) // it may end without reading
  child.stdin.end(input)
  const [code, signal] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${text.stderr.trim() || signal || `code ${code}`}`)
  return text.stdout
}

export class Space {
  // The name of a namespace that exists, or nothing for the one that this process is in.
  constructor (name = null) {
    this.name = name
    // What comes before a command to run it there, in its own process.
    this.enter = name ? ['nsenter', `--net=/run/netns/${name}`] : []
  }

  static async create (name) {
    await run(['ip', 'netns', 'add', name])
    const space = new Space(name)
    // What is configured holds at once: no search for somebody else with the same address.
    await space.set({ 'net/ipv6/conf/all/accept_dad': 0, 'net/ipv6/conf/default/accept_dad': 0 })
    await space.ip('link set lo up')
    return space
  }

  run (argv, options) {
    return run([...this.enter, ...argv], options)
  }

  // ip runs lines of iproute2, the first that fails ends it.
  ip (...lines) {
    return run(['ip', ...(this.name ? ['-n', this.name] : []), '-batch', '-'], { input: lines.join('\n') + '\n' })
  }

  nft (rules) {
    return this.run(['nft', '-f', '-'], { input: rules })
  }

  // set writes kernel settings, by their paths below /proc/sys.
  set (settings) {
    const lines = Object.entries(settings).map(([path, value]) => `echo ${value} > /proc/sys/${path}`)
    return this.run(['sh', '-ec', lines.join('\n')])
  }

  async remove () {
    await run(['ip', 'netns', 'del', this.name])
  }
}
