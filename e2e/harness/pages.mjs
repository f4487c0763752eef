// Serves the client styles, each bundled by esbuild when first asked for.

import { build } from 'esbuild'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import path from 'node:path'
import { here } from './server.mjs'

const entries = {
  'stock-hook': 'clients/stock-hook/main.jsx',
  'simple-peer': 'clients/simple-peer/main.js',
  perfect: 'clients/perfect/main.js',
  hook: 'clients/hook/main.jsx',
  ...JSON.parse(process.env.E2E_EXTRA_STYLES ?? '{}') // {name: entry file}, for a page that is not in the repository
}

export const styleExists = style => style in entries && existsSync(path.resolve(here, entries[style]))

const html = style => `<!doctype html>
<meta charset="utf-8">
<title>${style}</title>
<link rel="icon" href="data:,">
<style>video { width: 160px } #alive { width: 20px; height: 20px; background: #070; animation: turn 1s linear infinite }
@keyframes turn { to { transform: rotate(360deg) } }</style>
<div id="alive"></div>
<button id="share">Share screen</button>
<div id="app"></div>
<div id="remote"></div>
<script type="module" src="/${style}.js"></script>
`

async function bundle (style) {
  const result = await build({
    entryPoints: [path.resolve(here, entries[style])],
    bundle: true,
    format: 'esm',
    target: ['chrome120', 'firefox128'],
    jsx: 'automatic',
    write: false,
    sourcemap: 'inline',
    // Pages from elsewhere (web/hook among them) use this folder's packages: one React, one client.
    nodePaths: [path.join(here, 'node_modules')],
    alias: {
      react: path.join(here, 'node_modules/react'),
      'react-dom': path.join(here, 'node_modules/react-dom'),
      'socket.io-client': path.join(here, 'node_modules/socket.io-client')
    },
    define: { 'process.env.NODE_ENV': '"production"', global: 'globalThis' },
    logLevel: 'silent'
  })
  return result.outputFiles[0].contents
}

// startPages returns {url, stop()}. They are on http://localhost if nothing else is said; `tls` ({key, cert}) makes it https.
export async function startPages ({ host = 'localhost', port = 0, name = 'localhost', tls = null } = {}) {
  const bundles = new Map()
  const answer = async (req, res) => {
    const { pathname } = new URL(req.url, 'http://localhost')
    const [, style, kind] = /^\/([\w-]+)\.(html|js)$/.exec(pathname) ?? []
    if (!style || !styleExists(style)) {
      res.writeHead(404).end()
      return
    }
    try {
      if (kind === 'html') {
        res.writeHead(200, { 'content-type': 'text/html' }).end(html(style))
        return
      }
      if (!bundles.has(style)) bundles.set(style, bundle(style))
      res.writeHead(200, { 'content-type': 'text/javascript' }).end(await bundles.get(style))
    } catch (err) {
      res.writeHead(500, { 'content-type': 'text/plain' }).end(String(err))
    }
  }
  const server = tls ? createSecureServer(tls, answer) : createServer(answer)
  server.listen(port, host)
  await once(server, 'listening')
  return {
    url: `${tls ? 'https' : 'http'}://${name}:${server.address().port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}
