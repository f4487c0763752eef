// How long things take. Nothing here is compared with a limit: the table is for people to read.

import { keyOf } from '../harness/media.mjs'

// Milliseconds from `start` to the first frame that the viewer's page shows of somebody.
async function note (interview, what, viewer, from, start, options) {
  const key = keyOf(from, options)
  const { marks } = await viewer.waitFor(`the first frame of ${from.name}`, probe => probe.marks.firstFrame[key] && probe, { interval: 100 })
  interview.note(what, marks.firstFrame[key] - start)
}

export const durations = {
  name: 'durations',
  title: 'how long it takes until a picture is there',
  async run (interview) {
    const recruiter = await interview.join('recruiter', 'recruiter')
    const candidate = await interview.join('candidate', 'candidate')
    await note(interview, 'candidate joins, recruiter sees the first frame', recruiter, candidate, (await candidate.probe()).marks.joined)
    await candidate.share()
    await note(interview, 'candidate shares, recruiter sees the first frame', recruiter, candidate, (await candidate.probe()).marks.shared, { screen: true })
    await candidate.stopShare()

    let start = Date.now()
    await recruiter.reload()
    await note(interview, 'recruiter reloads, sees the first frame', recruiter, candidate, start)
    start = Date.now()
    await candidate.reload()
    await note(interview, 'candidate reloads, recruiter sees the first frame', recruiter, candidate, start)
  }
}
