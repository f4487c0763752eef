// Waiting on conditions, never on time alone.

import { setTimeout as sleep } from 'node:timers/promises'

// until polls `check` until it returns something truthy and returns that. `describe` is asked for the
// last thing seen when the time is up, so that a failure says what was there instead.
export async function until (what, check, { timeout = 20_000, interval = 200, describe = null } = {}) {
  const deadline = Date.now() + timeout
  for (;;) {
    let lastError = null
    try {
      const value = await check()
      if (value) return value
    } catch (err) {
      lastError = err
    }
    if (Date.now() >= deadline) {
      const seen = lastError ? `: ${lastError.message}` : describe ? `; last seen: ${await describe()}` : ''
      throw new Error(`not within ${timeout} ms: ${what}${seen}`, lastError ? { cause: lastError } : undefined)
    }
    await sleep(interval)
  }
}

// holds polls `check` for `duration` and throws as soon as it is not true: for things that must not happen.
export async function holds (what, check, { duration, interval = 200 }) {
  const end = Date.now() + duration
  while (Date.now() < end) {
    if (!await check()) throw new Error(`did not hold for ${duration} ms: ${what}`)
    await sleep(interval)
  }
}
