#!/usr/bin/env node
// Holds the calls of the matrix and prints it. Runs inside of `enter`:
//   netlab/enter node netlab/run.mjs [--row udp-blocked] [--column 'hook, firefox'] [--quick] [--check] [--json] [--keep]
// Rows and columns are chosen by regular expressions on their titles; --list prints them. --check only holds
// the networks to what they promise.

import { accessSync, constants, mkdirSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { outDir } from '../harness/lab.mjs'
import { play } from './cell.mjs'
import { checkMoves, startChecks } from './check.mjs'
import { Internet } from './internet.mjs'
import { cells, columns, inWords, needsDevices, quickCells, required, rows, serverOf, table } from './matrix.mjs'
import { profiles } from './profiles.mjs'
import { Site } from './site.mjs'

const { values: flags } = parseArgs({
  options: {
    row: { type: 'string' },
    column: { type: 'string' },
    quick: { type: 'boolean' },
    check: { type: 'boolean' },
    json: { type: 'boolean' }, // a line for each result, for programs
    keep: { type: 'boolean' }, // logs of good calls too
    list: { type: 'boolean' }
  }
})

if (flags.list) {
  console.log(['rows:', ...rows.map(({ title }) => `  ${title}`), 'columns:', ...columns.map(({ title }) => `  ${title}`)].join('\n'))
  process.exit()
}

const say = (record, text) => console.log(flags.json ? JSON.stringify(record) : text)

function devicesMissing () {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK)
    return null
  } catch (err) {
    return `no TAP devices: ${err.message}`
  }
}

const folder = path.join(outDir, 'netlab')
mkdirSync(folder, { recursive: true })
const noDevices = devicesMissing()
let failed = 0
let sites = 0

// checkAll proves the networks by themselves, all at once, since they mostly wait.
async function checkAll (net) {
  const checks = await startChecks(net)
  const prove = async (name, check, skipped = null) => {
    const error = skipped ? null : await check().then(() => null, err => err.message.split('\n')[0])
    if (error) failed++
    say({ type: 'check', name, error, skipped }, `${error ? 'FAILED  ' : skipped ? 'not here' : 'ok      '} network: ${name}${error ? `: ${error}` : ''}`)
  }
  await Promise.all([
    ...Object.entries(profiles).map(([name, { wire }]) => prove(name, () => checks.check(name, ++sites), wire && noDevices)),
    prove('changes of address', () => checkMoves(net, ++sites))
  ])
  await checks.stop()
}

// playRow holds the calls of one row: its sites and their browsers are the same for all. `report` gets each result.
async function playRow (net, row, inRow, report) {
  const opening = await Promise.allSettled(row.profiles.map(name => Site.open(net, ++sites, profiles[name])))
  try {
    for (const cell of inRow) {
      const hold = async () => {
        for (const { reason } of opening) {
          if (reason) throw reason
        }
        const { style, browser } = cell.column
        return play({
          style,
          browser,
          name: row.title.replace(/\W+/g, '-'),
          server: await net.server(serverOf(cell)),
          pages: net.pages,
          sites: opening.map(({ value }) => value),
          keep: flags.keep
        })
      }
      const attempt = () => hold().catch(err => ({ error: err.message }))
      const result = await attempt()
      // Browsers on a machine that starves them stand still for seconds. What fails twice is a fault; what failed once is
      // printed, never hidden.
      report(cell, result.error && required(cell) ? { ...await attempt(), again: result.error } : result)
    }
  } finally {
    await inTime(Promise.all(opening.map(({ value }) => value?.close())))
  }
}

async function playAll (net, chosen) {
  const results = []
  const report = (cell, result) => {
    results.push({ cell, result })
    const { row, column } = cell
    const bad = result.error && required(cell)
    if (bad) failed++
    const remark = bad ? ` ${result.error} (${result.folder ?? 'no logs'})` : result.again ? ` (the first time: ${result.again})` : ''
    say({ type: 'cell', row: row.title, column: column.title, required: required(cell), ...result },
      `${bad ? 'FAILED  ' : 'ok      '} ${row.title}: ${column.title}: ${inWords(result, cell)}${remark}`)
  }
  for (const row of new Set(chosen.map(cell => cell.row))) {
    const inRow = chosen.filter(cell => cell.row === row)
    if (noDevices && needsDevices(row)) inRow.forEach(cell => report(cell, { skipped: noDevices }))
    else await playRow(net, row, inRow, report)
  }
  return results
}

// inTime does not wait for ever for what is being closed: the kernel closes it at the end.
function inTime (closing) {
  return Promise.race([closing, new Promise(resolve => setTimeout(resolve, 10_000))])
}

const net = await Internet.start({ outDir: folder })
try {
  await checkAll(net)
  if (!flags.check) {
    const results = await playAll(net, flags.quick ? quickCells : cells(flags))
    if (!flags.json) console.log(`\n${table(results)}\n`)
  }
} finally {
  await inTime(net.stop())
}
say({ type: 'end', failed }, failed ? `${failed} failed` : 'all that must work does')
process.exit(failed ? 1 : 0) // the namespaces end with this process, and all that is left in them
