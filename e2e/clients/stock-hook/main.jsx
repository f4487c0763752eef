import '../common/instrument.js'
import { useEffect, useRef } from 'react'
import { createRoot } from 'react-dom/client'
import { io } from 'socket.io-client'
import { openSilentSockets, options, present, showStreams } from '../common/page.js'
import { useStockCall } from './useStockCall.js'

// once: the recruiter's camera starts once, as soon as the room is known; the candidate's when it is called.
function useCameraOnce (call) {
  const started = useRef(false)
  useEffect(() => {
    if (started.current || options.role !== 'recruiter' || Object.keys(call.participants).length === 0) return
    started.current = true
    call.startLocalStream()
  })
}

// app: the real pages' effect. startLocalStream is a new function on each change of participants, so
// the camera is stopped and started again on each; the candidate's also on a change of isScreenSharing.
function useCameraAsTheAppDoes (call) {
  const { startLocalStream, stopLocalStream, stopScreenShare, isScreenSharing } = call
  const sharing = options.role === 'candidate' && isScreenSharing
  useEffect(() => {
    startLocalStream()
    return () => {
      stopLocalStream()
      if (sharing) stopScreenShare()
    }
  }, [startLocalStream, stopLocalStream, stopScreenShare, sharing])
}

const useCamera = options.variant === 'app' ? useCameraAsTheAppDoes : useCameraOnce

function Page () {
  const call = useStockCall(options.server, options.room, options.role)
  const latest = useRef(call)
  latest.current = call
  useCamera(call)
  useEffect(() => showStreams(call.remoteStreams), [call.remoteStreams])
  useEffect(() => {
    present({
      id: () => latest.current.socketRef.current?.id ?? null,
      // A recruiter's hook calls nobody who joined before its camera was on, so nobody should.
      ready: () => options.role !== 'recruiter' || latest.current.localStreamRef.current !== null,
      people: () => latest.current.participants,
      connected: () => latest.current.isConnected,
      sharing: () => latest.current.isScreenSharing,
      error: () => latest.current.error,
      streams: () => latest.current.remoteStreams,
      events: () => latest.current.eventsRef.current,
      links: () => latest.current.linksRef.current,
      share: () => latest.current.startScreenShare(),
      stopShare: () => latest.current.stopScreenShare(),
      swapCamera: () => latest.current.startLocalStream().then(() => true),
      leave: () => root.unmount()
    })
    const sockets = openSilentSockets(io, options.extra)
    return () => sockets.forEach(socket => socket.disconnect())
  }, [])
  return null
}

const root = createRoot(document.getElementById('app'))
root.render(<Page />)
