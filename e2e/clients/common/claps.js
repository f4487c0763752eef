// With `claps` in its address the page's camera is a canvas that flashes at each full second of its clock, and its microphone
// beeps at the same instants: what the two are apart where they are recorded can be measured.

import { now } from './instrument.js'

const FLASH = 0.1 // s
const FRAME = 1000 / 30 // ms
const TURN = 4 // ms between two looks at the clock

function clapper () {
  const audio = new AudioContext({ sampleRate: 48000, latencyHint: 'interactive' })
  const tone = new OscillatorNode(audio, { frequency: 1000 })
  const gate = new GainNode(audio, { gain: 0 })
  const sound = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 })
  tone.connect(gate).connect(sound)
  tone.start()
  const first = Math.ceil(audio.currentTime) + 1
  for (let second = first; second < first + 600; second++) {
    gate.gain.setValueAtTime(0.5, second).setValueAtTime(0, second + FLASH)
  }

  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 })
  const pen = canvas.getContext('2d', { alpha: false })
  const [picture] = canvas.captureStream(0).getVideoTracks()
  let drawn = -Infinity
  let bright = false
  const turn = () => {
    const time = audio.currentTime
    const flash = time >= first && time % 1 < FLASH
    if (flash === bright && performance.now() - drawn < FRAME) return
    bright = flash
    drawn = performance.now()
    pen.fillStyle = flash ? '#fff' : '#301040'
    pen.fillRect(0, 0, canvas.width, canvas.height)
    if (!flash) {
      pen.fillStyle = '#402060'
      pen.fillRect((time * 60) % canvas.width, 20, 40, 40) // something that moves
    }
    picture.requestFrame()
  }
  setInterval(turn, TURN)
  return {
    stream: () => new MediaStream([picture, sound.stream.getAudioTracks()[0]]),
    resize: (width, height) => Object.assign(canvas, { width, height }),
    now
  }
}

if (new URLSearchParams(location.search).get('claps')) {
  navigator.mediaDevices.getUserMedia = async () => {
    window.claps ??= clapper()
    return new MediaStream(window.claps.stream().getTracks().map(track => track.clone()))
  }
}
