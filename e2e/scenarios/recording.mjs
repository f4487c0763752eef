// Interviews that are recorded, and what is in the files.

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { execFile, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { endWatch, startWatch, uploadsOnce } from '../harness/flow.mjs'
import { keyOf, receiveEachOther, receives } from '../harness/media.mjs'
import { plays } from '../harness/player.mjs'
import { claps, decodes, frames, median, near, probe } from '../harness/recordings.mjs'
import { binary } from '../harness/server.mjs'
import { heard, said } from '../harness/socketio.mjs'
import { until } from '../harness/until.mjs'

const run = promisify(execFile)

const modes = ['relay']
const styles = ['stock-hook']
const needs = { skillsage: true }

// What lies between a moment here and the one at which the server has it; a starved machine takes its time.
const SLACK_MS = 100
// Picture and voice of a page: what the browser itself is wrong by between a canvas and its sound is in it.
const APART = 0.06 // s

const ask = (socket, event, more = {}) => socket.timeout(10_000).emitWithAck(event, { interviewId: socket.room, ...more })

async function does (socket, event, more) {
  const answer = await ask(socket, event, more)
  assert.equal(answer.ok, true, `${event}: ${JSON.stringify(answer)}`)
}

const state = wanted => ({ state }) => state === wanted

export const recorded = {
  name: 'recorded',
  title: 'every interview is recorded: cameras, a screen, a change of size; flash and beep together; files whole; Chromium plays and seeks them',
  modes,
  styles,
  needs,
  async run (interview) {
    await interview.records({ env: { SKILLSAGE_RECORDING_MODE: 'always' } })
    const control = await interview.controls()
    const recruiter = await interview.join('recruiter', 'recruiter', { fps: 30 })
    const candidate = await interview.join('candidate', 'candidate', { claps: true })
    await heard(control, 'recording-status', state('recording'), 20_000)
    await receiveEachOther(recruiter, candidate)
    await sleep(2000)
    await candidate.share()
    await receives(recruiter, candidate, { screen: true })
    await sleep(2000)
    await candidate.stopShare()
    // On a busy machine Chromium sends two thirds of it, or less.
    await candidate.clap('resize', 400, 300)
    await recruiter.waitFor('the picture has its new size', ({ streams }) => ![0, 320].includes(streams[keyOf(candidate)].width))
    await sleep(2500)
    const asked = Date.now()
    await does(control, 'recording-stop')
    await heard(control, 'recording-status', state('off'))
    const answered = Date.now()

    const recording = await interview.recordings.one(interview.room, 'finished')
    const { manifest } = recording
    assert.deepEqual([manifest.reason, manifest.interview, manifest.version], ['requested', interview.room, 1])
    const finished = Date.parse(manifest.finished)
    assert.ok(finished >= asked - SLACK_MS && finished <= answered + SLACK_MS, `it was stopped at ${finished}, and asked to at ${asked}`)
    near(manifest.duration, (finished - Date.parse(manifest.started)) / 1000, 0.002, 'the duration')
    await recording.isWhole()

    const files = { candidate: recording.file(candidate), recruiter: recording.file(recruiter), screen: recording.file(candidate, 'screen') }
    assert.equal(manifest.files.length, 3)
    for (const { name, participant, start, duration, tracks } of [files.candidate, files.recruiter]) {
      assert.deepEqual(tracks.map(track => track.codec).sort(), ['Opus', 'VP8'])
      near(start + duration, manifest.duration, 0.1 + 1 / 30, `the end of ${name} (${participant})`)
    }
    const [on] = recording.events('share-on')
    const [off] = recording.events('share-off')
    assert.ok(files.screen.start > on.at - 0.5 && files.screen.start + files.screen.duration < off.at + 1.5, JSON.stringify([files.screen, on, off]))

    const pictures = await frames(recording.path(files.candidate))
    const sizes = new Set(pictures.map(({ size }) => size))
    assert.ok(sizes.size > 1, `all pictures are ${[...sizes]}`)
    near(pictures.at(-1).at, manifest.duration, 1, 'the last picture')

    const { apart, flashes, beeps } = await claps(recording.path(files.candidate))
    assert.ok(apart.length >= files.candidate.duration - 4, `${flashes.length} flashes and ${beeps.length} beeps in ${files.candidate.duration} s`)
    const third = Math.ceil(apart.length / 3)
    const [atStart, atEnd] = [median(apart.slice(0, third)), median(apart.slice(-third))]
    interview.say(`recorded: the flashes of a page come ${Math.round(atStart * 1000)} ms after its beeps at the start, ${Math.round(atEnd * 1000)} ms at the end`)
    assert.ok(Math.abs(atStart) <= APART && Math.abs(atEnd) <= APART, `flash and beep are ${atStart} and ${atEnd} s apart: ${apart}`)

    const seen = await plays(await interview.player(), recording, [0.7, 0.2])
    for (const file of manifest.files) {
      const { duration, width, positions } = seen[file.name]
      near(duration, file.start + file.duration, 0.1, `the duration of ${file.name} in Chromium`)
      assert.ok(width > 0)
      for (const { wanted, from } of positions) near(from, wanted, 0.1, `where Chromium is in ${file.name}`)
    }

    const composed = path.join(path.dirname(interview.recordings.dir), `${manifest.id}.mp4`)
    try {
      const { stderr } = await run(binary, ['compose', recording.folder, '-o', composed, '--size', '320x180'])
      assert.match(stderr, /^100 %/m)
      await decodes(composed)
      near(Number((await probe(composed)).format.duration), manifest.duration, 0.1, 'the duration of all in one file')
    } finally {
      rmSync(composed, { force: true })
    }
  }
}

// An id that would be a way out of the folder if it became a path.
const HOSTILE = '../../../../tmp/../e2e\\..\\%2e%2e/con:"*?<>|\u202e $(id)`x`'

export const twoRecorded = {
  name: 'two-recorded',
  title: 'two interviews are recorded at once, when their recruiters say so, one of them with an id like a path; the connection that carries a camera goes',
  modes,
  styles,
  needs,
  async run (interview) {
    await interview.records({ env: { SKILLSAGE_RECORDING_MODE: 'on-request' } })
    const rooms = [interview.room, `${HOSTILE}${interview.room}`]
    const people = []
    for (const room of rooms) {
      people.push({
        room,
        recruiter: await interview.join('recruiter', `recruiter-${people.length}`, { room }),
        candidate: await interview.join('candidate', `candidate-${people.length}`, { room }),
        control: await interview.controls(room)
      })
    }
    const second = await interview.join('recruiter', 'second')
    await Promise.all(people.map(({ recruiter, candidate }) => receiveEachOther(recruiter, candidate)))
    await receives(second, people[0].candidate)
    assert.deepEqual(interview.recordings.all(), [])
    assert.equal((await ask(people[0].control, 'recording-stop')).code, 'not-recording')

    const began = []
    for (const { control } of people) {
      const before = Date.now()
      await does(control, 'recording-start')
      await heard(control, 'recording-status', state('recording'), 10_000)
      began.push([before, Date.now()])
    }
    await sleep(2000)
    // The one leaves whose connection carries the camera.
    const { candidate } = people[0]
    const { key } = (await uploadsOnce(candidate)).find(s => s.source === 'camera' && s.kind === 'video')
    const [leaver, stayer] = key === keyOf(second) ? [second, people[0].recruiter] : [people[0].recruiter, second]
    await startWatch(stayer)
    await leaver.leave()
    await receives(stayer, candidate)
    await sleep(1500)
    const live = (await endWatch(stayer)).gap(candidate)
    for (const { control } of people) await does(control, 'recording-stop')

    assert.equal(interview.recordings.all().length, 2)
    for (const [n, { room, recruiter, candidate }] of people.entries()) {
      const recording = await interview.recordings.one(room, 'finished')
      assert.equal(path.dirname(path.dirname(recording.folder)), interview.recordings.dir)
      assert.match(path.basename(path.dirname(recording.folder)), /^[-a-z0-9_=]{1,160}$/)
      await recording.isWhole()
      const started = Date.parse(recording.manifest.started)
      assert.ok(started >= began[n][0] - SLACK_MS && started <= began[n][1] + SLACK_MS, `it began at ${started}, not between ${began[n]}`)
      const strangers = recording.manifest.participants.map(p => p.id).filter(id => people.some(o => o.room !== room && [o.recruiter.id, o.candidate.id].includes(id)))
      assert.deepEqual(strangers, [])
      const file = recording.file(candidate)
      recording.file(recruiter)
      near(file.start + file.duration, recording.manifest.duration, 0.3, `the end of ${file.name}`)
      const times = (await frames(recording.path(file))).map(frame => frame.at)
      const longest = Math.max(...times.slice(1).map((at, i) => at - times[i]))
      interview.say(`recorded: ${n === 0 ? `when the carrying connection goes (who watches sees ${live} ms of it)` : 'undisturbed'} a recorded camera is without a new frame for ${Math.round(longest * 1000)} ms at most`)
      // A machine that starves its browsers makes them stand still by itself.
      assert.ok(n > 0 || longest < Math.max(1.5, live / 1000 + 1), `${file.name} has no picture for ${longest} s, who watched had none for ${live} ms`)
    }
  }
}

export const recordingKilled = {
  name: 'recording-killed',
  title: 'a server that is killed loses a second of its recordings at most, and finishes them when it starts again',
  modes,
  styles,
  needs,
  async run (interview) {
    const env = { SKILLSAGE_RECORDING_MODE: 'always' }
    await interview.records({ env })
    const recruiter = await interview.join('recruiter', 'recruiter', { fps: 30 })
    const candidate = await interview.join('candidate', 'candidate', { fps: 30 })
    await receiveEachOther(recruiter, candidate)
    await sleep(4000)
    const ids = [recruiter, candidate].map(person => ({ id: person.id, name: person.name }))
    const killed = Date.now()
    await interview.server.kill()
    const before = interview.recordings.all(interview.room)[0].manifest
    assert.equal(before.state, 'recording')

    // As it is, it plays.
    const [{ folder }] = interview.recordings.all(interview.room)
    for (const { name } of before.files) await decodes(path.join(folder, name))

    await interview.records({ env, again: true })
    const recording = await until('the orphan is finished', () => {
      const found = interview.recordings.all(interview.room).find(({ manifest }) => manifest.id === before.id)
      return found.manifest.state === 'finished' && found
    })
    assert.equal(recording.manifest.reason, 'crash')
    const lived = (killed - Date.parse(before.started)) / 1000
    assert.equal(recording.manifest.files.length, 2)
    for (const file of recording.manifest.files) {
      assert.ok(ids.some(({ id }) => id === file.participant))
      const name = path.join(recording.folder, file.name)
      await decodes(name)
      const { format } = await probe(name)
      near(Number(format.duration), file.start + file.duration, 0.05, `the end of ${file.name}`)
      const lost = lived - file.start - file.duration
      interview.say(`recorded: of ${file.name} a kill took ${Math.round(lost * 1000)} ms`)
      assert.ok(lost < 1.2, `of ${file.name} ${lost} s are lost`)
    }
    const seen = await plays(await interview.player(), recording, [0.6])
    for (const file of recording.manifest.files) near(seen[file.name].duration, file.start + file.duration, 0.1, `the duration of ${file.name} in Chromium`)

    // The pages come back, and are recorded anew.
    await until('another recording', () => interview.recordings.all(interview.room).length === 2, { timeout: 30_000 })
  }
}

export const recordingFull = {
  name: 'recording-full',
  title: 'a disk that is full ends the recording with whole files, everybody is told, and the call goes on',
  modes,
  styles,
  needs,
  async run (interview) {
    // A file system of 8 MiB that only the server sees.
    const enter = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', 'mount -t tmpfs -o size=8m,mode=700 tmpfs "$0" && exec "$@"', '/mnt']
    if (spawnSync(enter[0], [...enter.slice(1), 'true']).status !== 0) {
      interview.say('recorded: a full disk was not tried, since namespaces are not permitted here')
      return
    }
    await interview.records({ env: { SKILLSAGE_RECORDING_MODE: 'always' }, enter, dir: '/mnt/recordings', where: ({ pid }, folder) => `/proc/${pid}/root${folder}` })
    const control = await interview.controls()
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await heard(control, 'recording-status', state('recording'), 20_000)
    await receiveEachOther(recruiter, candidate)
    await sleep(1500)
    // Somebody else takes what there is.
    const filler = path.join(interview.recordings.dir, '../filler')
    try {
      writeFileSync(filler, Buffer.alloc(16 << 20))
      assert.fail('8 MiB hold 16')
    } catch (err) {
      assert.equal(err.code, 'ENOSPC')
    }
    const status = await heard(control, 'recording-status', state('failed'), 10_000)
    assert.equal(status.reason, 'disk')
    await receiveEachOther(recruiter, candidate)

    const recording = await interview.recordings.one(interview.room, 'failed')
    assert.equal(recording.manifest.reason, 'disk')
    assert.equal(recording.manifest.files.length, 2)
    await recording.isWhole()
    for (const person of [recruiter, candidate]) assert.ok(recording.file(person).duration > 1)

    // With room again it can be started again.
    rmSync(filler)
    await until('it records again', async () => (await ask(control, 'recording-start')).ok, { timeout: 20_000, interval: 1000 })
    await until('it is told so', () => said(control, 'recording-status').at(-1).args[0].state === 'recording')
    await does(control, 'recording-stop')
  }
}
