// The project's own hook, from web/hook, used as a page would use it.

import '../common/instrument.js'
import { useEffect, useRef } from 'react'
import { createRoot } from 'react-dom/client'
import { io } from 'socket.io-client'
import { useWebRTC } from '../../../web/hook/src/index.ts'
import { marks, now, openSilentSockets, options, present, recordEvents, showStreams } from '../common/page.js'

const socket = io(options.server)
const events = recordEvents(socket)
socket.on('connect', () => { marks.joined = now() })

function Page () {
  const call = useWebRTC(options.room, options.role, { socket, iceServers: options.ownIce ? undefined : [] })
  const latest = useRef(call)
  useEffect(() => { latest.current = call })
  const { startLocalStream } = call
  useEffect(() => { startLocalStream() }, [startLocalStream])
  useEffect(() => showStreams(call.remoteStreams), [call.remoteStreams])
  useEffect(() => {
    present({
      id: () => latest.current.selfId,
      ready: () => latest.current.localStreamRef.current !== null,
      people: () => latest.current.participants,
      connected: () => latest.current.isConnected,
      sharing: () => latest.current.isScreenSharing,
      error: () => latest.current.error,
      streams: () => latest.current.remoteStreams,
      events: () => events,
      share: () => latest.current.startScreenShare(),
      stopShare: () => latest.current.stopScreenShare(),
      leave: () => { root.unmount(); socket.disconnect() }
    })
    const sockets = openSilentSockets(io, options.extra)
    return () => sockets.forEach(silent => silent.disconnect())
  }, [])
  return null
}

const root = createRoot(document.getElementById('app'))
root.render(<Page />)
