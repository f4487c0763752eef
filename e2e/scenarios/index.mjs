// All scenarios, and which combinations of style, mode and browsers each is played in.

import * as call from './call.mjs'
import * as codecs from './codecs.mjs'
import * as durations from './durations.mjs'
import * as negotiation from './negotiation.mjs'
import * as panel from './panel.mjs'
import * as paths from './paths.mjs'
import * as quality from './quality.mjs'
import * as recording from './recording.mjs'
import * as screen from './screen.mjs'
import * as staying from './staying.mjs'
import * as watching from './watching.mjs'
import { styleExists } from '../harness/pages.mjs'
import { externalServer } from '../harness/server.mjs'

export const scenarios = Object.fromEntries(
  [call, screen, negotiation, codecs, panel, paths, quality, staying, recording, watching, durations].flatMap(Object.values)
    .filter(scenario => scenario.run).map(scenario => [scenario.name, scenario]))

export const styles = ['stock-hook', 'simple-peer', 'perfect', 'hook']
export const modes = ['p2p', 'relay']

const C = 'chromium'
const F = 'firefox'

export function title ({ scenario, style, mode, recruiter = C, candidate = C }) {
  const { variant = 'once' } = scenarios[scenario]
  const browsers = recruiter === candidate ? recruiter : `${recruiter} recruiter, ${candidate} candidate`
  return `${mode}: ${scenarios[scenario].title} (${style}${variant === 'once' ? '' : `, ${variant}`}, ${browsers})`
}

function possible ({ scenario, style, mode }) {
  const { styles: only, modes: onlyModes, needs } = scenarios[scenario]
  const external = externalServer()
  return (!only || only.includes(style)) && (!onlyModes || onlyModes.includes(mode)) && styleExists(style) &&
    (!external || (external.mode === mode && !(needs?.skillsage && process.env.E2E_SERVER_KIND === 'original')))
}

// Every behaviour once, with the style and the browsers most likely to break it.
const chosen = [
  ['basic', 'stock-hook', 'p2p', C, C],
  ['share', 'stock-hook', 'p2p', C, C],
  ['candidate-reload', 'stock-hook', 'p2p', C, C],
  ['messages', 'simple-peer', 'p2p', C, C],
  ['recruiter-shares', 'perfect', 'p2p', C, C],
  ['blip', 'stock-hook', 'p2p', C, C],
  ['basic', 'stock-hook', 'p2p', F, C],

  ['basic', 'stock-hook', 'relay', C, C],
  ['share', 'stock-hook', 'relay', C, C],
  ['two-recruiters', 'stock-hook', 'relay', C, C],
  ['crossing-calls', 'stock-hook', 'relay', C, C],
  ['share-to-two', 'stock-hook', 'relay', C, C],
  ['late-recruiter', 'stock-hook', 'relay', C, C],
  ['recruiter-reload', 'stock-hook', 'relay', C, C],
  ['candidate-reload', 'stock-hook', 'relay', C, C],
  ['leave', 'stock-hook', 'relay', C, C],
  ['silent-sockets', 'stock-hook', 'relay', C, C],
  ['app-variant', 'stock-hook', 'relay', C, C],
  ['camera-swap', 'stock-hook', 'relay', C, C],
  ['blip', 'stock-hook', 'relay', C, C],
  ['outage', 'stock-hook', 'relay', C, C],
  ['share', 'stock-hook', 'relay', F, C],
  ['share', 'stock-hook', 'relay', C, F],
  ['messages', 'simple-peer', 'relay', C, C],
  ['share', 'simple-peer', 'relay', C, C],
  ['recruiter-shares', 'perfect', 'relay', C, C],
  ['glare', 'perfect', 'relay', C, C],
  ['ice-restart', 'perfect', 'relay', C, C],
  ['share', 'hook', 'relay', C, C],
  ['red', 'stock-hook', 'relay', C, C],
  ['red', 'perfect', 'relay', C, F],
  ['late-codec', 'stock-hook', 'relay', C, C],
  ['no-common-codec', 'stock-hook', 'relay', C, C],
  ['quality', 'stock-hook', 'relay', F, C],

  ['panel', 'stock-hook', 'relay', C, C],
  ['panel', 'stock-hook', 'relay', C, F],
  ['carrier-leaves', 'stock-hook', 'relay', C, C],
  ['lossy', 'stock-hook', 'relay', C, C],
  ['narrow', 'perfect', 'relay', C, C],
  ['layers', 'perfect', 'relay', C, C],
  ['layers-kept', 'perfect', 'relay', C, C],
  ['address-change', 'stock-hook', 'relay', C, C],
  ['network-change', 'stock-hook', 'relay', C, C],
  ['network-change', 'stock-hook', 'relay', C, F],
  ['dark-8s', 'stock-hook', 'relay', C, F],
  ['no-way', 'stock-hook', 'relay', C, C],

  ['recorded', 'stock-hook', 'relay', C, C],
  ['two-recorded', 'stock-hook', 'relay', C, C],
  ['recording-killed', 'stock-hook', 'relay', C, C],
  ['recording-full', 'stock-hook', 'relay', C, C],
  ['watched', 'stock-hook', 'relay', C, C],

  // Both modes in turn, so that what the machine does beside them falls on both.
  ...Array(3).fill([['durations', 'stock-hook', 'p2p', C, C], ['durations', 'stock-hook', 'relay', C, C]]).flat()
].map(([scenario, style, mode, recruiter, candidate]) => ({ scenario, style, mode, recruiter, candidate }))

function * product () {
  for (const mode of modes) {
    for (const style of styles) {
      for (const scenario of Object.keys(scenarios)) {
        for (const recruiter of [C, F]) {
          for (const candidate of [C, F]) yield { scenario, style, mode, recruiter, candidate }
        }
      }
    }
  }
}

export const cases = all => [...(all ? product() : chosen)].filter(possible)
