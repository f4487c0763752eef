// A browser that plays recorded files.

import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import path from 'node:path'

// serveFolder serves the files of a folder, with ranges, as seeking takes them.
async function serveFolder (folder) {
  const server = createServer((req, res) => {
    if (req.url === '/') {
      res.setHeader('content-type', 'text/html').end('<!doctype html><link rel="icon" href="data:,"><video muted></video>')
      return
    }
    const file = path.join(folder, path.basename(req.url))
    const { size } = statSync(file)
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') ?? []
    const begin = Number(from ?? 0)
    const end = to ? Math.min(Number(to), size - 1) : size - 1
    res.writeHead(from ? 206 : 200, {
      'content-type': 'video/webm',
      'accept-ranges': 'bytes',
      'content-length': end - begin + 1,
      ...(from && { 'content-range': `bytes ${begin}-${end}/${size}` })
    })
    createReadStream(file, { start: begin, end }).on('error', () => res.destroy()).pipe(res)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

// plays has a page play the files of a recording, each from some points on (0: its first frame, 1: its end), and returns of each
// its duration and where it was after each seek. A file that does not play is an error.
export async function plays (page, { folder, manifest }, points) {
  const server = await serveFolder(folder)
  try {
    await page.goto(server.url)
    const results = {}
    for (const { name, start, duration: length } of manifest.files) {
      results[name] = await page.evaluate(async (src, moments) => {
        const video = document.querySelector('video')
        const event = (type, ms = 15_000) => new Promise((resolve, reject) => {
          video.addEventListener(type, resolve, { once: true })
          video.addEventListener('error', () => reject(new Error(`${src}: ${video.error?.message}`)), { once: true })
          setTimeout(() => reject(new Error(`${src}: no ${type} within ${ms} ms at ${video.currentTime}, ready ${video.readyState}`)), ms)
        })
        const loaded = event('loadedmetadata')
        video.src = src
        await loaded
        const positions = []
        for (const moment of moments) {
          const seeked = event('seeked')
          video.currentTime = moment
          await seeked
          const from = video.currentTime
          const shown = video.getVideoPlaybackQuality().totalVideoFrames
          await video.play()
          for (const begin = performance.now(); ;) {
            if (video.currentTime > from + 0.5 && video.getVideoPlaybackQuality().totalVideoFrames > shown) break
            if (performance.now() - begin > 15_000) throw new Error(`${src} stands still at ${video.currentTime} after a seek to ${from}`)
            await new Promise(resolve => setTimeout(resolve, 50))
          }
          video.pause()
          positions.push({ wanted: moment, from })
        }
        return { duration: video.duration, width: video.videoWidth, positions }
      }, `/${name}`, points.map(point => start + point * length))
    }
    return results
  } finally {
    await server.stop()
  }
}
