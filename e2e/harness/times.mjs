// What was measured: printed, because the machine's load decides most of it.

const median = sorted => sorted[Math.floor(sorted.length / 2)]

export function printTimes (times) {
  if (times.length === 0) return
  const groups = new Map()
  for (const { what, style, mode, ms, load } of times) {
    const key = `${what} | ${style} | ${mode}`
    const group = groups.get(key) ?? { ms: [], load: [] }
    group.ms.push(ms)
    group.load.push(load)
    groups.set(key, group)
  }
  console.log('\nhow long things took, ms (load = 1-minute average beside them)')
  for (const [key, { ms, load }] of [...groups].sort(([a], [b]) => a < b ? -1 : 1)) {
    ms.sort((a, b) => a - b)
    const range = ms.length > 1 ? ` (${ms[0]} to ${ms.at(-1)}, n=${ms.length})` : ''
    console.log(`${key}: ${median(ms)}${range}, load ${Math.max(...load).toFixed(1)}`)
  }
}

export function printFigures (figures) {
  if (figures.length === 0) return
  console.log('\nwhat was measured')
  for (const line of figures) console.log(line)
}
