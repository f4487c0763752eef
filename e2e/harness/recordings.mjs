// What a server has recorded: folders, manifests, and what ffmpeg makes of the files.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { until } from './until.mjs'

const run = promisify(execFile)
const MOST = 64 << 20 // bytes of a program's output

export class Recordings {
  constructor (dir) {
    this.dir = dir
  }

  // all lists {folder, manifest} of each recording of an interview (of all without an id), oldest first.
  all (interview = null) {
    const found = []
    for (const escaped of readdirSync(this.dir).filter(name => !name.startsWith('.'))) {
      for (const id of readdirSync(path.join(this.dir, escaped)).filter(name => !name.startsWith('.')).sort()) {
        const folder = path.join(this.dir, escaped, id)
        const manifest = JSON.parse(readFileSync(path.join(folder, 'interview.json'), 'utf8'))
        if (interview === null || manifest.interview === interview) found.push({ folder, manifest })
      }
    }
    return found
  }

  // one waits for the only recording of an interview, in one of these states.
  one (interview, ...states) {
    return until(`a recording is ${states.join(' or ')}`, () => {
      const all = this.all(interview)
      assert.ok(all.length <= 1, `${all.length} recordings of one interview`)
      return states.includes(all[0]?.manifest.state) && new Recording(all[0].folder, all[0].manifest)
    }, { timeout: 20_000, interval: 100, describe: () => JSON.stringify(this.all(interview).map(({ manifest }) => manifest)) })
  }
}

export class Recording {
  constructor (folder, manifest) {
    Object.assign(this, { folder, manifest })
  }

  path (file) {
    return path.join(this.folder, file.name)
  }

  events (type) {
    return this.manifest.events.filter(event => event.type === type)
  }

  // file is the only one of a person, of a kind.
  file (person, kind = 'camera') {
    const files = this.manifest.files.filter(file => file.participant === person.id && file.kind === kind)
    assert.equal(files.length, 1, `${person.name} has ${files.length} files of the ${kind}: ${JSON.stringify(this.manifest.files)}`)
    return files[0]
  }

  // isWhole wants every file finished, private, as the manifest says, and decodable to the last frame.
  async isWhole () {
    assert.equal(statSync(this.folder).mode & 0o777, 0o700)
    // delivery.json comes a little later.
    const there = readdirSync(this.folder).filter(name => name !== 'delivery.json')
    assert.deepEqual(there.sort(), ['interview.json', ...this.manifest.files.map(file => file.name)].sort())
    for (const file of this.manifest.files) {
      const { size, mode } = statSync(this.path(file))
      assert.deepEqual([file.complete, size, mode & 0o777], [true, file.size, 0o600], file.name)
      await decodes(this.path(file))
      const { stdout } = await run('sha256sum', [this.path(file)])
      assert.equal(stdout.split(' ')[0], file.sha256)
      const { format, streams } = await probe(this.path(file))
      near(Number(format.duration), file.start + file.duration, 0.05, `the end of ${file.name}`)
      assert.deepEqual(streams.map(s => s.codec_type).sort(), file.tracks.map(track => track.kind).sort(), file.name)
      const first = Math.min(...streams.map(s => Number(s.start_time)))
      near(first, file.start, 0.05, `the start of ${file.name}`)
    }
  }
}

export function near (value, wanted, most, what) {
  assert.ok(Math.abs(value - wanted) <= most, `${what} is ${value}, not ${wanted}`)
}

export async function probe (file) {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-show_format', '-show_streams', '-of', 'json', file])
  return JSON.parse(stdout)
}

// decodes fails on the first complaint of a decoder. With the time base that ffmpeg takes by itself it complains of frames that
// are not quite regular, too.
export async function decodes (file) {
  const { stderr } = await run('ffmpeg', ['-nostdin', '-v', 'error', '-xerror', '-i', file, '-map', '0', '-fps_mode', 'passthrough', '-enc_time_base', '1:1000', '-f', 'null', '-'],
    { maxBuffer: MOST })
  assert.equal(stderr, '', file)
}

// frames are the times of all pictures, and their sizes as "640x480", decoded.
export async function frames (file) {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-select_streams', 'v', '-show_entries', 'frame=pts_time,width,height', '-of', 'csv=p=0', file], { maxBuffer: MOST })
  return stdout.trim().split('\n').map(line => line.split(',')).map(([at, width, height]) => ({ at: Number(at), size: `${width}x${height}` }))
}

// lines runs ffmpeg and gives each line of one of its outputs to `take`.
async function lines (args, output, take) {
  const child = spawn('ffmpeg', ['-nostdin', '-hide_banner', '-nostats', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  child[output === 'stdout' ? 'stderr' : 'stdout'].resume()
  const ended = once(child, 'close')
  for await (const line of createInterface({ input: child[output] })) take(line)
  const [code] = await ended
  assert.equal(code, 0, `ffmpeg ${args.join(' ')}`)
}

const PAUSE = 0.15 // s between two claps at least

function rises () {
  const at = []
  let last = -Infinity
  return { at, on (time) { if (time - last > PAUSE) at.push(time); last = time } }
}

// claps are the flashes and beeps of a page with `claps`, and how much later than its beep each flash is, in seconds of the file.
export async function claps (file) {
  const flashes = rises()
  let time = 0
  await lines(['-v', 'error', '-copyts', '-reinit_filter', '0', '-i', file, '-map', '0:v', '-vf', 'scale=16:16,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-',
    '-fps_mode', 'passthrough', '-enc_time_base', '1:1000', '-f', 'null', '/dev/null'], 'stdout', line => {
    const [, at] = /pts_time:(\S+)/.exec(line) ?? []
    if (at) time = Number(at)
    else if (Number(line.split('YAVG=')[1]) > 170) flashes.on(time)
  })
  const beeps = rises()
  // Of each hundredth of a second how loud it is.
  await lines(['-v', 'error', '-copyts', '-i', file, '-map', '0:a', '-af', 'aformat=sample_fmts=flt:channel_layouts=mono:sample_rates=48000,asetnsamples=n=240,astats=metadata=1:reset=1,ametadata=print:key=lavfi.astats.Overall.Peak_level:file=-',
    '-f', 'null', '/dev/null'], 'stdout', line => {
    const [, at] = /pts_time:(\S+)/.exec(line) ?? []
    if (at) time = Number(at)
    else if (Number(line.split('Peak_level=')[1]) > -20) beeps.on(time)
  })
  const apart = []
  for (const flash of flashes.at) {
    const beep = beeps.at.find(at => Math.abs(at - flash) < 0.45)
    if (beep !== undefined) apart.push(flash - beep)
  }
  return { flashes: flashes.at, beeps: beeps.at, apart }
}

export const median = values => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
