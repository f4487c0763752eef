// Which calls are held, and how the results are shown.

import { profiles } from './profiles.mjs'

// The profile of the recruiter, that of the candidate, and the server if it is another than usual.
const pairs = [
  ['open', 'open'],
  ['cone', 'cone'],
  ['symmetric', 'symmetric'],
  ['udp-blocked', 'udp-blocked'],
  ['tcp443-only', 'tcp443-only'],
  ['tls-only', 'tls-only'],
  ['proxy-only', 'proxy-only'],
  ['ipv6-only', 'ipv6-only'],
  ['lossy', 'lossy'],
  ['narrow', 'narrow'],
  ['flapping', 'cone'],
  ['new-local-address', 'cone'],
  ['new-public-address', 'cone'],
  ['cone', 'symmetric'],
  ['cone', 'udp-blocked'],
  ['open', 'proxy-only'],
  ['tcp443-only', 'ipv6-only'],
  ['symmetric', 'lossy'],
  ['narrow', 'tcp443-only'],
  ['cone', 'udp-blocked', 'mapped']
]

const modes = [
  { server: 'relay', style: 'stock-hook', title: 'relay, stock page' },
  { server: 'relay', style: 'hook', title: 'relay, hook' },
  { server: 'p2p', style: 'stock-hook', title: 'p2p, stock page' },
  { server: 'p2p', style: 'hook', title: 'p2p, hook' }
]

export const rows = pairs.map(([recruiter, candidate, server]) => ({
  title: `${recruiter} + ${candidate}${server ? `, server ${server}` : ''}`,
  profiles: [recruiter, candidate],
  server
}))

export const columns = ['chromium', 'firefox'].flatMap(browser => modes.map(mode => ({ ...mode, browser, title: `${mode.title}, ${browser}` })))

// A call through the server must work for whoever can know how; between the browsers themselves it is for comparison.
export const required = ({ row, column }) => column.server === 'relay' &&
  (column.style === 'hook' || row.profiles.every(name => profiles[name].stock !== false))

// serverOf names the server of a cell. A row with a server of its own has no calls past it.
export const serverOf = ({ row, column }) => row.server ?? column.server

// cells lists those whose row's and column's titles match the regular expressions.
export function cells ({ row = '', column = '' } = {}) {
  const [inRow, inColumn] = [new RegExp(row), new RegExp(column)]
  return rows.filter(({ title }) => inRow.test(title)).flatMap(r =>
    columns.filter(c => inColumn.test(c.title) && (!r.server || c.server === 'relay')).map(c => ({ row: r, column: c })))
}

// Every way to the server once, with the page that has the least help; the hook, and Firefox where there is no UDP.
const quick = {
  'cone + symmetric': ['relay, stock page, chromium'],
  'udp-blocked + udp-blocked': ['relay, stock page, chromium', 'relay, stock page, firefox'],
  'open + proxy-only': ['relay, stock page, chromium'],
  'tcp443-only + ipv6-only': ['relay, hook, chromium'],
  'tls-only + tls-only': ['relay, hook, firefox'],
  'cone + udp-blocked, server mapped': ['relay, stock page, chromium']
}

const titled = (list, title) => list.find(one => one.title === title)

export const quickCells = Object.entries(quick).flatMap(([row, inColumns]) =>
  inColumns.map(column => ({ row: titled(rows, row), column: titled(columns, column) })))

// needsDevices says whether a row's lines are made of TAP devices.
export const needsDevices = row => row.profiles.some(name => profiles[name].wire)

// inWords fits a result into a cell: the recruiter's side, the candidate's.
export function inWords (result, cell) {
  if (result.skipped) return 'not here'
  const no = required(cell) ? '**FAILED**' : 'no'
  if (!result.transports) return no
  const recoveries = (result.recoveries ?? []).map(([a, b]) => `; back in ${a} / ${b}`).join('')
  return `${result.frames.join(' / ')} ${[...new Set(result.transports)].join(' / ')}${recoveries}${result.error ? `; back: ${no}` : ''}`
}

// table writes results, {cell, result} each, as Markdown.
export function table (results) {
  const shownColumns = columns.filter(column => results.some(({ cell }) => cell.column === column))
  const shownRows = [...new Map(results.map(({ cell }) => [cell.row.title, cell.row])).values()]
  const words = (row, column) => {
    const found = results.find(({ cell }) => cell.row.title === row.title && cell.column === column)
    return found ? inWords(found.result, found.cell) : ''
  }
  const lines = [
    ['', ...shownColumns.map(({ title }) => title)],
    ['---', ...shownColumns.map(() => '---')],
    ...shownRows.map(row => [row.title, ...shownColumns.map(column => words(row, column))])
  ]
  return lines.map(line => `| ${line.join(' | ')} |`).join('\n')
}
