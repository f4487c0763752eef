// The stock socket.io-client of npm against the server: every transport, every event, and what becomes of
// broken connections.

import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import { outDir } from '../harness/lab.mjs'
import { startProxy } from '../harness/proxy.mjs'
import { startConformance, startServer } from '../harness/server.mjs'
import { heard, said, Sockets, transports } from '../harness/socketio.mjs'
import { holds, until } from '../harness/until.mjs'

const offer = { type: 'offer', sdp: 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns="\\ <&> ü 𝄞 \u2028"\r\n' }
const GRACE_MS = 2000

for (const [name, options] of Object.entries(transports)) {
  describe(`socket.io-client, ${name}`, { concurrency: 1 }, () => {
    let server
    let sockets
    let proxy
    before(async () => {
      server = await startServer({
        mode: 'p2p',
        outDir,
        env: { SKILLSAGE_SIGNALING_GRACE: `${GRACE_MS}ms`, SKILLSAGE_SIGNALING_PING_INTERVAL: '1s', SKILLSAGE_SIGNALING_PING_TIMEOUT: '1s' }
      })
    })
    after(() => server?.stop())
    beforeEach(() => { sockets = new Sockets(server, options) })
    afterEach(async () => {
      sockets.close()
      await proxy?.stop()
      proxy = null
    })

    test('joining: acknowledgement, order of what a joiner gets, user-joined for the others', async () => {
      const recruiter = await sockets.join('recruiter')
      assert.deepEqual(recruiter.answer, { ok: true, userId: recruiter.id, userRole: 'recruiter', mode: 'p2p' })
      assert.deepEqual(recruiter.log.map(e => e.name), ['room-users', 'chat-history', 'code-state', 'ice-servers'])
      // (The second argument of each is the offset from which a broken connection is recovered.)
      assert.deepEqual(recruiter.log.slice(0, 3).map(e => e.args[0]), [
        { [recruiter.id]: { userRole: 'recruiter' } }, [], { codeUpdates: {}, currentQuestionIndex: 0 }
      ])
      const candidate = await sockets.join('candidate')
      assert.deepEqual(await heard(recruiter, 'user-joined'), { userId: candidate.id, userRole: 'candidate' })
      assert.deepEqual(await heard(candidate, 'room-users'),
        { [recruiter.id]: { userRole: 'recruiter' }, [candidate.id]: { userRole: 'candidate' } })
      assert.deepEqual(said(candidate, 'user-joined'), [])
    })

    test('signals and candidates arrive unchanged, from the real sender', async () => {
      const recruiter = await sockets.join('recruiter')
      const candidate = await sockets.join('candidate')
      const answer = await recruiter.timeout(5000).emitWithAck('signal',
        { to: candidate.id, from: 'somebody else', signal: offer, type: 'offer' })
      assert.deepEqual(answer, { ok: true })
      assert.deepEqual(await heard(candidate, 'signal'), { from: recruiter.id, signal: offer, type: 'offer' })
      candidate.emit('signal', { to: recruiter.id, from: candidate.id, signal: { ...offer, type: 'answer' }, type: 'answer', isScreenShare: true })
      assert.deepEqual(await heard(recruiter, 'signal'),
        { from: candidate.id, signal: { ...offer, type: 'answer' }, type: 'answer', isScreenShare: true })
      const ice = { candidate: 'candidate:1 1 udp 2122260223 192.0.2.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0, usernameFragment: null }
      candidate.emit('ice-candidate', { to: recruiter.id, candidate: ice, isScreenShare: false })
      assert.deepEqual(await heard(recruiter, 'ice-candidate'), { from: candidate.id, candidate: ice, isScreenShare: false })
      recruiter.emit('screen-share-status', { interviewId: sockets.room, isSharing: true })
      assert.deepEqual(await heard(candidate, 'screen-share-status'), { userId: recruiter.id, isSharing: true })
    })

    test('chat and code reach everybody and are kept for who comes later', async () => {
      const recruiter = await sockets.join('recruiter')
      const candidate = await sockets.join('candidate')
      const interviewId = sockets.room
      candidate.emit('chat-message', { interviewId, content: 'Grüß Gott 👋', userRole: 'candidate' })
      for (const socket of [recruiter, candidate]) {
        const message = await heard(socket, 'chat-message')
        assert.deepEqual({ ...message, id: typeof message.id, timestamp: !isNaN(Date.parse(message.timestamp)) },
          { id: 'number', content: 'Grüß Gott 👋', timestamp: true, sender: 'candidate', isOwn: false })
      }
      candidate.emit('code-update', { interviewId, questionId: 'q1', code: 'x = "\u0000"', language: 'python', currentQuestionIndex: 1 })
      const update = await heard(recruiter, 'code-update')
      assert.equal(update.code, 'x = "\u0000"')
      recruiter.emit('language-change', { interviewId, questionId: 'q1', language: 'go', currentQuestionIndex: 1 })
      assert.equal((await heard(candidate, 'language-change')).language, 'go')
      recruiter.emit('question-change', { interviewId, questionId: 'q2', currentQuestionIndex: 2 })
      assert.equal((await heard(candidate, 'question-change')).currentQuestionIndex, 2)

      const late = await sockets.join('recruiter')
      assert.deepEqual((await heard(late, 'chat-history')).map(m => [m.content, m.sender, 'isOwn' in m]), [['Grüß Gott 👋', 'candidate', false]])
      const { codeUpdates: { q1 }, currentQuestionIndex } = await heard(late, 'code-state')
      assert.deepEqual([q1.code, q1.language, q1.updatedBy, currentQuestionIndex], ['x = "\u0000"', 'go', candidate.id, 2])
    })

    test('bad payloads are named to their sender and change nothing', async () => {
      const recruiter = await sockets.join('recruiter')
      const socket = await sockets.connect()
      const refused = async (event, payload, code) => {
        const answer = await socket.timeout(5000).emitWithAck(event, payload)
        assert.equal(answer.ok, false, `${event} ${JSON.stringify(payload)}`)
        assert.equal(answer.code, code)
        assert.ok(answer.message.length > 5, answer.message)
      }
      await refused('join-room', { interviewId: sockets.room, userRole: 'spectator' }, 'unknown-role')
      await heard(socket, 'join-error', ({ code }) => code === 'unknown-role')
      await refused('join-room', 'a string', 'bad-payload')
      await refused('join-room', { interviewId: '', userRole: 'candidate' }, 'bad-payload')
      await refused('chat-message', { interviewId: sockets.room, content: Buffer.from('binary'), userRole: 'candidate' }, 'bad-payload')
      socket.emit('chat-message', { interviewId: sockets.room, content: 7 })
      await heard(socket, 'error-message', ({ event, code }) => event === 'chat-message' && code === 'bad-payload')
      // The socket is as good as before.
      assert.equal((await socket.timeout(5000).emitWithAck('join-room', { interviewId: sockets.room, userRole: 'candidate' })).ok, true)
      await heard(recruiter, 'user-joined')
      assert.deepEqual(said(recruiter, 'chat-message'), [])
    })

    test('attachments have no place in these events: refused, and nobody is cut off', async () => {
      const recruiter = await sockets.join('recruiter')
      const candidate = await sockets.join('candidate')
      const answer = await recruiter.timeout(5000).emitWithAck('signal',
        { to: candidate.id, signal: { bytes: Buffer.from([0, 1, 254, 255]) }, type: 'offer' })
      assert.deepEqual([answer.ok, answer.code], [false, 'bad-payload'])
      recruiter.emit('signal', { to: candidate.id, signal: offer, type: 'offer' })
      await heard(candidate, 'signal', ({ signal }) => signal.sdp === offer.sdp)
      assert.equal(said(candidate, 'signal').length, 1)
    })

    test('order is kept, also across an upgrade', async () => {
      const candidate = await sockets.join('candidate')
      const recruiter = await sockets.join('recruiter')
      for (let i = 0; i < 300; i++) {
        recruiter.emit('ice-candidate', { to: candidate.id, candidate: { candidate: '', sdpMLineIndex: i } })
      }
      await heard(candidate, 'ice-candidate', ({ candidate: ice }) => ice.sdpMLineIndex === 299)
      assert.deepEqual(said(candidate, 'ice-candidate').map(e => e.args[0].candidate.sdpMLineIndex), [...Array(300).keys()])
      const wanted = { 'polling only': 'polling' }[name] ?? 'websocket'
      await until(`the transport is ${wanted}`, () => candidate.io.engine.transport.name === wanted)
    })

    test('a goodbye is user-left at once, and once', async () => {
      const recruiter = await sockets.join('recruiter')
      for (const goodbye of [s => s.disconnect(), s => s.io.engine.close()]) {
        const candidate = await sockets.join('candidate')
        const { id } = candidate
        candidate.io.reconnection(false)
        const start = performance.now()
        goodbye(candidate)
        await heard(recruiter, 'user-left', ({ userId }) => userId === id)
        const took = performance.now() - start
        assert.ok(took < GRACE_MS / 2, `user-left came after ${took} ms`)
        await holds('user-left comes once', () => said(recruiter, 'user-left').filter(e => e.args[0].userId === id).length === 1, { duration: GRACE_MS + 500 })
      }
    })

    test('a broken connection is recovered: same id, nothing missed, nobody told', async () => {
      proxy = await startProxy(server.url)
      const recruiter = await sockets.join('recruiter')
      const candidate = await sockets.join('candidate', { url: proxy.url })
      const { id } = candidate
      // Recovery starts from the last event that was received, so there must have been one.
      recruiter.emit('chat-message', { interviewId: sockets.room, content: 'before', userRole: 'recruiter' })
      await heard(candidate, 'chat-message')

      proxy.block()
      await until('the client notices', () => !candidate.connected)
      for (const content of ['one', 'two', 'three']) {
        recruiter.emit('chat-message', { interviewId: sockets.room, content, userRole: 'recruiter' })
      }
      recruiter.emit('signal', { to: id, signal: offer, type: 'offer' })
      await heard(recruiter, 'chat-message', ({ content }) => content === 'three')
      proxy.unblock()

      await until('the client is back', () => candidate.connected)
      assert.deepEqual(candidate.reconnections.at(-1), { id, recovered: true })
      await heard(candidate, 'signal')
      assert.deepEqual(said(candidate, 'chat-message').map(e => e.args[0].content), ['before', 'one', 'two', 'three'])
      candidate.emit('chat-message', { interviewId: sockets.room, content: 'still here', userRole: 'candidate' })
      await heard(recruiter, 'chat-message', ({ content }) => content === 'still here')
      await holds('no user-left', () => said(recruiter, 'user-left').length === 0, { duration: GRACE_MS + 500 })
      assert.equal(said(recruiter, 'user-joined').length, 1)
    })

    test('a connection that stays broken is user-left after the grace, and comes back as a new user', async () => {
      proxy = await startProxy(server.url)
      const recruiter = await sockets.join('recruiter')
      const candidate = await sockets.join('candidate', { url: proxy.url })
      const { id } = candidate
      const start = performance.now()
      proxy.block()
      await heard(recruiter, 'user-left', ({ userId }) => userId === id, 15_000)
      const took = performance.now() - start
      assert.ok(took > GRACE_MS - 200, `user-left came after ${took} ms, before the grace was over`)
      proxy.unblock()
      await until('the client is back', () => candidate.connected)
      assert.equal(candidate.recovered, false)
      assert.notEqual(candidate.id, id)
      assert.equal((await candidate.timeout(5000).emitWithAck('join-room', { interviewId: sockets.room, userRole: 'candidate' })).ok, true)
      await heard(recruiter, 'user-joined', ({ userId }) => userId === candidate.id)
      assert.equal(said(recruiter, 'user-left').length, 1)
    })

    test('a connection that falls silent is found by the heartbeat', async () => {
      proxy = await startProxy(server.url)
      const recruiter = await sockets.join('recruiter')
      const candidate = await sockets.join('candidate', { url: proxy.url })
      const { id } = candidate
      candidate.io.reconnection(false)
      proxy.freeze()
      await heard(recruiter, 'user-left', ({ userId }) => userId === id, 15_000)
      assert.equal(said(recruiter, 'user-left').length, 1)
    })
  })
}

// The interview's own events carry no binary, so this is shown on bin/conformance, which runs the same Socket.IO server.
describe('socket.io-client, binary', { concurrency: 1 }, () => {
  let fixture
  before(async () => { fixture = await startConformance({ outDir }) })
  after(() => fixture?.stop())

  for (const [name, options] of Object.entries(transports)) {
    test(`attachments go both ways, in events and acknowledgements (${name})`, async () => {
      const sockets = new Sockets(fixture, options)
      try {
        const socket = await sockets.connect()
        const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256))
        const args = [{ deep: [bytes, 'text', { more: Buffer.from([0, 255]) }] }, Buffer.alloc(0), null]
        socket.emit('message', ...args)
        await heard(socket, 'message-back')
        assert.deepEqual(said(socket, 'message-back')[0].args, args)
        const answer = await new Promise((resolve, reject) => {
          socket.timeout(5000).emit('message-with-ack', ...args, (err, ...values) => err ? reject(err) : resolve(values))
        })
        assert.deepEqual(answer, args)
      } finally {
        sockets.close()
      }
    })
  }
})

test('SIGTERM ends the server within 2 s though clients are connected', async () => {
  const server = await startServer({ mode: 'p2p', outDir })
  const sockets = new Sockets(server, { reconnection: false })
  try {
    const all = await Promise.all(Object.values(transports).map(options => sockets.join('recruiter', options)))
    const start = performance.now()
    await server.stop()
    const took = performance.now() - start
    assert.ok(took < 2000, `it took ${took} ms`)
    assert.equal(server.ended(), 'ended with code 0')
    await until('every client knows', () => all.every(socket => !socket.connected))
  } finally {
    sockets.close()
    await server.stop()
  }
})
