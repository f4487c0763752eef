import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.webm': 'video/webm' };
/** What the server sends along with the page. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * The player at /watch/{link}, with whatever `answers` has for a link: the manifest that it leads to, or {status, error}. The
 * media files are those of `dir`.
 */
export async function serve(dir, answers) {
  const server = createServer((request, response) => {
    const [, , link, ...rest] = new URL(request.url, 'http://localhost').pathname.split('/').map(decodeURIComponent);
    const json = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (link === 'assets') return send(request, response, join(DIST, 'assets', basename(rest[0] ?? '')));
    if (rest.length === 0) return send(request, response, join(DIST, 'index.html'));
    const answer = answers[link];
    if (!answer?.files) return json(answer?.status ?? 404, { error: answer?.error ?? { code: 'bad-link', message: 'no such link' } });
    if (rest[0] === 'manifest.json') return json(200, answer);
    return send(request, response, join(dir, basename(rest[1] ?? '')));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://localhost:${server.address().port}/watch/`, close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) };
}

/** A file, or the range of it that was asked for. */
function send(request, response, path) {
  if (!existsSync(path)) return response.writeHead(404).end();
  const { size } = statSync(path);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const [start, end] = range ? [Number(range[1]), range[2] ? Number(range[2]) : size - 1] : [0, size - 1];
  response.writeHead(range ? 206 : 200, {
    ...{ 'content-type': TYPES[extname(path)] ?? 'text/plain', 'content-security-policy': POLICY, 'accept-ranges': 'bytes', 'content-length': end - start + 1 },
    ...(range ? { 'content-range': `bytes ${start}-${end}/${size}` } : {}),
  });
  if (request.method === 'HEAD') return response.end();
  return createReadStream(path, { start, end }).pipe(response);
}
