// Real browsers hold interviews through the server. E2E_ALL=1 plays the full cross product.

import { after, describe, test } from 'node:test'
import { Lab } from '../harness/lab.mjs'
import { printTimes } from '../harness/times.mjs'
import { cases, scenarios, title } from '../scenarios/index.mjs'

describe('calls', { concurrency: 1 }, () => {
  const lab = new Lab()
  after(async () => {
    await lab.stop()
    printTimes(lab.times)
  })

  for (const settings of cases(process.env.E2E_ALL === '1')) {
    const scenario = scenarios[settings.scenario]
    test(title(settings), { timeout: 180_000 }, () => lab.run(scenario, { variant: scenario.variant, ...settings }))
  }
})
