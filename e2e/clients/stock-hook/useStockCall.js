// The behaviour of the hook that pages in production carry, faults included. The tests need
// the faults: a server that only works with tidy clients would pass without them. So
// nothing here is to be "fixed"; each oddity that a server can notice is marked ODD.

import { useCallback, useEffect, useRef, useState } from 'react'
import { io } from 'socket.io-client'
import { marks, now, options, recordEvents } from '../common/page.js'

const SCREEN = '-screen'
const isScreenKey = key => key.includes(SCREEN)
const config = options.ownIce ? { iceServers: [{ urls: 'stun:stun.l.google.com:19302' }] } : undefined
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

export function useStockCall (server, interviewId, userRole) {
  const [isConnected, setIsConnected] = useState(false)
  const [remoteStreams, setRemoteStreams] = useState({})
  const [isScreenSharing, setIsScreenSharing] = useState(false)
  const [participants, setParticipants] = useState({})
  const [error, setError] = useState(null)

  const socketRef = useRef(null)
  const eventsRef = useRef([])
  const localStreamRef = useRef(null)
  const screenStreamRef = useRef(null)
  const linksRef = useRef({}) // RTCPeerConnection by user id, or by `<user id>-screen`

  const calls = userRole === 'recruiter'

  const say = (event, payload) => socketRef.current.emit(event, payload)

  // ODD: the key itself goes out as `to`, and without isScreenShare. For a screen key that is the
  // stray offer to an id that no socket has.
  const sendOffer = (key, offer) => say('signal', { to: key, from: socketRef.current.id, signal: offer, type: 'offer' })

  const openLink = async key => {
    try {
      if (linksRef.current[key]) return linksRef.current[key]
      const pc = new RTCPeerConnection(config)
      linksRef.current[key] = pc

      // ODD: one flag for all connections; whichever changed last decides.
      pc.onconnectionstatechange = () => {
        if (pc.connectionState === 'connected') setIsConnected(true)
        else if (['disconnected', 'failed', 'closed'].includes(pc.connectionState)) setIsConnected(false)
      }
      pc.onicecandidate = ({ candidate }) => {
        if (!candidate) return
        say('ice-candidate', { to: key.replace(SCREEN, ''), candidate, isScreenShare: isScreenKey(key) })
      }
      // ODD: a track without a stream is lost, and the last track event's stream is the one on show.
      pc.ontrack = ({ streams: [stream] }) => {
        if (stream) setRemoteStreams(before => ({ ...before, [key]: stream }))
        else console.error(`a track from ${key} has no stream`)
      }

      const own = isScreenKey(key) ? screenStreamRef.current : localStreamRef.current
      for (const track of own?.getTracks() ?? []) {
        if (pc.signalingState !== 'closed') pc.addTrack(track, own)
      }

      // ODD: a recruiter offers on every connection it makes, even one made to answer an offer.
      if (calls) {
        const offer = await pc.createOffer()
        await pc.setLocalDescription(offer)
        sendOffer(key, offer)
      }
      return pc
    } catch (err) {
      console.error(`openLink: ${err}`)
      setError(`Peer connection error: ${err.message}`)
      return null
    }
  }

  // Candidates that came before the description they belong to.
  const addHeldCandidates = async pc => {
    if (!pc.heldCandidates?.length) return
    await sleep(100)
    const held = pc.heldCandidates
    pc.heldCandidates = []
    for (const candidate of held) {
      try {
        await pc.addIceCandidate(new RTCIceCandidate(candidate))
      } catch (err) {
        console.error(`held candidate: ${err}`)
      }
    }
  }

  const takeOffer = async (from, signal, isScreenShare) => {
    const key = isScreenShare ? from + SCREEN : from
    let pc = linksRef.current[key]
    // ODD: two offers that come close together both find no stream and both ask for the camera.
    if (!calls && !localStreamRef.current && !isScreenShare) await startLocalStream()
    if (!pc) pc = await openLink(key)
    // ODD: in have-local-offer the offer is taken anyway, by the browser's implicit rollback.
    if (pc.signalingState !== 'stable' && pc.signalingState !== 'have-local-offer') {
      pc.close()
      pc = await openLink(key)
    }
    if (pc.signalingState === 'closed') return
    await pc.setRemoteDescription(new RTCSessionDescription(signal))
    await addHeldCandidates(pc)
    const answer = await pc.createAnswer()
    await pc.setLocalDescription(answer)
    say('signal', { to: from, from: socketRef.current.id, signal: answer, type: 'answer', isScreenShare })
  }

  const takeAnswer = async (from, signal, isScreenShare) => {
    const pc = linksRef.current[isScreenShare ? from + SCREEN : from]
    if (!pc || pc.signalingState === 'closed') return
    // ODD: an answer to an offer that was rolled back is dropped.
    if (pc.signalingState !== 'have-local-offer') {
      console.warn(`answer from ${from} ignored in ${pc.signalingState}`)
      return
    }
    await pc.setRemoteDescription(new RTCSessionDescription(signal))
    await addHeldCandidates(pc)
  }

  const takeCandidate = async (from, candidate, isScreenShare) => {
    const key = isScreenShare ? from + SCREEN : from
    let pc = linksRef.current[key]
    const hold = () => { (pc.heldCandidates ??= []).push(candidate) }
    if (!pc) {
      // ODD: a candidate alone makes a connection (and, at a recruiter, an offer).
      pc = await openLink(key)
      hold()
      return
    }
    if (!pc.remoteDescription?.type) {
      hold()
      return
    }
    try {
      await pc.addIceCandidate(new RTCIceCandidate(candidate))
    } catch {
      hold()
    }
  }

  const forget = userId => {
    for (const key of [userId, userId + SCREEN]) {
      linksRef.current[key]?.close()
      delete linksRef.current[key]
    }
    setRemoteStreams(({ [userId]: _camera, [userId + SCREEN]: _screen, ...rest }) => rest)
    setParticipants(({ [userId]: _gone, ...rest }) => rest)
  }

  useEffect(() => {
    const socket = io(server)
    socketRef.current = socket
    eventsRef.current = recordEvents(socket)
    socket.on('connect', () => {
      marks.joined = now()
      socket.emit('join-room', { interviewId, userRole })
    })
    socket.on('room-users', users => setParticipants(users))
    socket.on('user-joined', ({ userId, userRole: role }) => {
      setParticipants(before => ({ ...before, [userId]: { userRole: role } }))
      // ODD: whoever joins is called, a chat socket and another recruiter too.
      if (calls && localStreamRef.current) openLink(userId)
    })
    socket.on('user-left', ({ userId }) => forget(userId))
    socket.on('signal', async ({ from, signal, type, isScreenShare }) => {
      try {
        if (type === 'offer') await takeOffer(from, signal, isScreenShare)
        else if (type === 'answer') await takeAnswer(from, signal, isScreenShare)
      } catch (err) {
        console.error(`signal ${type}: ${err}`)
        setError(`Signal handling error: ${err.message}`)
      }
    })
    socket.on('ice-candidate', async ({ from, candidate, isScreenShare }) => {
      try {
        await takeCandidate(from, candidate, isScreenShare)
      } catch (err) {
        console.error(`ice-candidate: ${err}`)
        setError(`ICE candidate error: ${err.message}`)
      }
    })
    return () => {
      stopLocalStream()
      stopScreenShare()
      for (const pc of Object.values(linksRef.current)) pc.close()
      linksRef.current = {}
      socket.disconnect()
    }
    // ODD: the handlers keep the functions of the first render for good.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [interviewId, userRole, calls])

  const startLocalStream = useCallback(async () => {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true })
      localStreamRef.current?.getTracks().forEach(track => track.stop())
      localStreamRef.current = stream

      for (const [key, pc] of Object.entries(linksRef.current)) {
        if (isScreenKey(key)) continue
        // ODD: the video sender goes, the audio sender stays with a stopped track, and both new
        // tracks get new m-lines, which only a recruiter in `stable` ever offers.
        for (const sender of pc.getSenders()) {
          if (sender.track?.kind === 'video' && pc.signalingState !== 'closed') pc.removeTrack(sender)
        }
        for (const track of stream.getTracks()) {
          if (pc.signalingState !== 'closed') pc.addTrack(track, stream)
        }
        if (calls && pc.signalingState === 'stable') {
          pc.createOffer()
            .then(offer => pc.setLocalDescription(offer))
            .then(() => sendOffer(key, pc.localDescription))
            .catch(err => console.error(`re-offer: ${err}`))
        }
      }

      // ODD: only those people are called whom the render that made this function knew of.
      if (calls) {
        for (const userId of Object.keys(participants)) {
          if (userId !== socketRef.current.id && !linksRef.current[userId]) openLink(userId)
        }
      }
      return stream
    } catch (err) {
      console.error(`startLocalStream: ${err}`)
      setError(`Media error: ${err.message}`)
      return null
    }
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [participants, calls])

  const stopLocalStream = useCallback(() => {
    localStreamRef.current?.getTracks().forEach(track => track.stop())
    localStreamRef.current = null
  }, [])

  const startScreenShare = useCallback(async () => {
    try {
      if (screenStreamRef.current) return screenStreamRef.current
      const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true })
      screenStreamRef.current = stream
      setIsScreenSharing(true)
      say('screen-share-status', { interviewId, isSharing: true })

      for (const key of Object.keys(linksRef.current)) {
        if (isScreenKey(key)) continue
        try {
          const pc = await openLink(key + SCREEN)
          // ODD: openLink has added the tracks already; a clone of each makes the same picture go twice.
          for (const track of stream.getTracks()) {
            const clone = track.clone()
            if (pc.signalingState !== 'closed') pc.addTrack(clone, stream)
            clone.onended = () => stopScreenShare()
          }
          const offer = await pc.createOffer()
          await pc.setLocalDescription(offer)
          say('signal', { to: key, from: socketRef.current.id, signal: offer, type: 'offer', isScreenShare: true })
        } catch (err) {
          console.error(`share to ${key}: ${err}`)
        }
      }
      return stream
    } catch (err) {
      console.error(`startScreenShare: ${err}`)
      setError(`Screen share error: ${err.message}`)
      return null
    }
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [interviewId])

  const stopScreenShare = useCallback(() => {
    if (!screenStreamRef.current) return
    screenStreamRef.current.getTracks().forEach(track => track.stop())
    screenStreamRef.current = null
    setIsScreenSharing(false)
    // ODD: closed without a word to the other side.
    for (const key of Object.keys(linksRef.current)) {
      if (!isScreenKey(key)) continue
      linksRef.current[key].close()
      delete linksRef.current[key]
    }
    setRemoteStreams(before => Object.fromEntries(Object.entries(before).filter(([key]) => !isScreenKey(key))))
    if (socketRef.current) say('screen-share-status', { interviewId, isSharing: false })
     
  }, [interviewId])

  return {
    isConnected,
    remoteStreams,
    isScreenSharing,
    participants,
    error,
    startLocalStream,
    stopLocalStream,
    startScreenShare,
    stopScreenShare,
    localStreamRef,
    screenStreamRef,
    socketRef,
    eventsRef,
    linksRef
  }
}
