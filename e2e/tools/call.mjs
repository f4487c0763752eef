#!/usr/bin/env node
// Plays one scenario and keeps its logs in out/, whether it passes or not.
//   node tools/call.mjs --scenario basic --style stock-hook --mode relay --recruiter firefox --repeat 3

import { parseArgs } from 'node:util'
import { Lab } from '../harness/lab.mjs'
import { printFigures, printTimes } from '../harness/times.mjs'
import { scenarios, styles, modes, title } from '../scenarios/index.mjs'

const { values: flags } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'basic' },
    style: { type: 'string', default: 'stock-hook' },
    mode: { type: 'string', default: 'relay' },
    variant: { type: 'string' },
    browser: { type: 'string', default: 'chromium' },
    recruiter: { type: 'string' },
    candidate: { type: 'string' },
    repeat: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false }
  }
})
if (flags.help || !scenarios[flags.scenario]) {
  console.log(`scenarios: ${Object.keys(scenarios).join(' ')}\nstyles: ${styles.join(' ')}\nmodes: ${modes.join(' ')}\nbrowsers: chromium firefox`)
  process.exit(flags.help ? 0 : 1)
}

const scenario = scenarios[flags.scenario]
const settings = {
  scenario: flags.scenario,
  style: flags.style,
  mode: flags.mode,
  variant: flags.variant ?? scenario.variant,
  recruiter: flags.recruiter ?? flags.browser,
  candidate: flags.candidate ?? flags.browser
}
const lab = new Lab()
let failed = 0
try {
  for (let i = 0; i < Number(flags.repeat); i++) {
    const start = Date.now()
    try {
      await lab.run(scenario, settings, { keep: true })
      console.log(`ok      ${title(settings)} in ${((Date.now() - start) / 1000).toFixed(1)} s`)
    } catch (err) {
      failed++
      console.log(`FAILED  ${title(settings)} in ${((Date.now() - start) / 1000).toFixed(1)} s\n${err.stack}`)
    }
  }
} finally {
  await lab.stop()
  printTimes(lab.times)
  printFigures(lab.figures)
}
process.exitCode = failed ? 1 : 0
