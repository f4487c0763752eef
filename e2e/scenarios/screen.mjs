// Screen shares.

import { receiveEachOther, receives, keyOf } from '../harness/media.mjs'

// The hook keeps a frozen screen on show after a stop and reuses that connection for the next share.
const keepsStaleScreen = interview => interview.style === 'stock-hook'

// Firefox refuses the second share of a hook peer to peer: the fingerprint of a living connection changes.
const secondShareWorks = interview => interview.relay || !keepsStaleScreen(interview) || interview.browserOf.recruiter !== 'firefox'

async function isTold (viewer, sharer, isSharing) {
  await viewer.waitFor(`is told that ${sharer.name} ${isSharing ? 'shares' : 'has stopped'}`, probe => {
    const said = probe.events.filter(e => e.name === 'screen-share-status' && e.payload.userId === sharer.id)
    return said.length > 0 && said.at(-1).payload.isSharing === isSharing
  })
}

async function seesShare (interview, viewer, sharer) {
  await receives(viewer, sharer, { screen: true })
  await isTold(viewer, sharer, true)
}

async function stops (interview, viewer, sharer) {
  await sharer.stopShare()
  await isTold(viewer, sharer, false)
  if (!keepsStaleScreen(interview)) {
    await viewer.waitFor('the screen is gone', probe => !(keyOf(sharer, { screen: true }) in probe.streams))
  }
}

export const share = {
  name: 'share',
  title: 'a screen share, its stop and a second share; the camera goes on throughout',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)

    await candidate.share()
    await seesShare(interview, recruiter, candidate)
    await receiveEachOther(recruiter, candidate)

    await stops(interview, recruiter, candidate)
    await receiveEachOther(recruiter, candidate)

    if (!secondShareWorks(interview)) return
    await candidate.share()
    await seesShare(interview, recruiter, candidate)
    await receiveEachOther(recruiter, candidate)
  }
}

export const shareToTwo = {
  name: 'share-to-two',
  title: 'a share reaches both recruiters',
  async run (interview) {
    const first = await interview.join('recruiter', 'first')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(first, candidate)
    const second = await interview.join('recruiter', 'second')
    await receiveEachOther(second, candidate)
    await candidate.share()
    await seesShare(interview, first, candidate)
    await seesShare(interview, second, candidate)
    await receives(first, candidate)
    await receives(second, candidate)
  }
}

export const lateRecruiter = {
  name: 'late-recruiter',
  title: 'a recruiter who comes during a share sees the camera and the screen',
  async run (interview) {
    const early = await interview.join('recruiter', 'early')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(early, candidate)
    await candidate.share()
    await seesShare(interview, early, candidate)

    const late = await interview.join('recruiter', 'late')
    await receiveEachOther(late, candidate)
    // Peer to peer only a client that shares on its one connection offers a running screen to newcomers.
    if (interview.relay || interview.style === 'perfect') await receives(late, candidate, { screen: true })
    await receives(early, candidate, { screen: true })
    await receives(early, candidate)
  }
}

export const appVariant = {
  name: 'app-variant',
  title: 'a page that restarts its camera on every change, with silent sockets: share and camera',
  styles: ['stock-hook'],
  variant: 'app',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter', { extra: 2 })
    const candidate = await interview.join('candidate', 'candidate', { extra: 2 })
    // Peer to peer a microphone that was restarted before the answer came stays unheard.
    await receiveEachOther(recruiter, candidate, { audio: interview.relay })
    await candidate.share()
    await seesShare(interview, recruiter, candidate)
    // The share made the page swap its camera without an offer. Peer to peer the picture stays frozen.
    if (!interview.relay) return
    await receiveEachOther(recruiter, candidate)
    await stops(interview, recruiter, candidate)
    await receiveEachOther(recruiter, candidate)
  }
}

export const cameraSwap = {
  name: 'camera-swap',
  title: "a candidate's camera that is swapped without a re-offer comes back by itself",
  styles: ['stock-hook'],
  modes: ['relay'],
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await receiveEachOther(recruiter, candidate)
    await candidate.does('swapCamera')
    await receiveEachOther(recruiter, candidate)
    await recruiter.does('swapCamera') // this one re-offers, with two more m-lines
    await receiveEachOther(recruiter, candidate)
  }
}
