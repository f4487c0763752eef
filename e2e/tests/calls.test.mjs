// Real browsers hold interviews through the server. E2E_ALL=1 plays the full cross product.

import { after, describe, test } from 'node:test'
import { Lab } from '../harness/lab.mjs'
import { printFigures, printTimes } from '../harness/times.mjs'
import { cases, scenarios, title } from '../scenarios/index.mjs'

describe('calls', { concurrency: 1 }, () => {
  const lab = new Lab()
  after(async () => {
    await lab.stop()
    printTimes(lab.times)
    printFigures(lab.figures)
  })

  for (const settings of cases(process.env.E2E_ALL === '1')) {
    const scenario = scenarios[settings.scenario]
    const play = () => lab.run(scenario, { variant: scenario.variant, ...settings })
    test(title(settings), { timeout: 300_000 }, async t => {
      try {
        await play()
      } catch (err) {
        // Browsers on a machine that starves them stand still for seconds. What fails twice is a fault; what
        // failed once is printed, never hidden.
        t.diagnostic(`played twice, the first time failed: ${err.message.split('\n')[0]}`)
        console.log(`TRIED AGAIN  ${title(settings)}\n${err.stack}`)
        await play()
      }
    })
  }
})
