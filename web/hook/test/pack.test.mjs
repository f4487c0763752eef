import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const HOOK = fileURLToPath(new URL('..', import.meta.url));
const MAIN = `
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { useWebRTC, type UseWebRTC } from '@skillsage/hook';

function Page() {
  const call: UseWebRTC = useWebRTC('interview', 'candidate');
  const { isConnected, remoteStreams, isScreenSharing, participants, error, localStreamRef, screenStreamRef } = call;
  const { startLocalStream, stopLocalStream, startScreenShare, stopScreenShare } = call;
  const people: number = Object.keys(participants).length + Object.keys(remoteStreams).length;
  void [startLocalStream, stopLocalStream, startScreenShare, stopScreenShare, localStreamRef.current, screenStreamRef.current];
  return createElement('p', null, String(isConnected), String(isScreenSharing), error, people);
}
createRoot(document.body).render(createElement(Page));
`;

test('the packed package installs, type-checks and builds in a clean Vite app', async () => {
  const app = await mkdtemp(join(tmpdir(), 'hook-pack-'));
  try {
    const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', app], { cwd: HOOK });
    const [packed] = JSON.parse(stdout);
    const files = packed.files.map(({ path }) => path);
    assert.ok(files.includes('dist/index.js') && files.includes('dist/index.d.ts') && files.includes('README.md'));
    assert.ok(files.every((path) => /^(dist\/|README\.md|package\.json)/.test(path)), files.join(' '));

    const versions = JSON.parse(await readFile(join(HOOK, '../package-lock.json'), 'utf8')).packages;
    const exact = (name) => versions[`node_modules/${name}`].version;
    const names = ['react', 'react-dom', '@types/react', '@types/react-dom', 'socket.io-client', 'typescript', 'vite'];
    const dependencies = Object.fromEntries(names.map((name) => [name, exact(name)]));
    await writeFile(
      join(app, 'package.json'),
      JSON.stringify({ private: true, type: 'module', dependencies: { ...dependencies, '@skillsage/hook': `file:${packed.filename}` } }),
    );
    await writeFile(join(app, 'index.html'), '<!doctype html><body><script type="module" src="/src/main.ts"></script>');
    await mkdir(join(app, 'src'));
    await writeFile(join(app, 'src/main.ts'), MAIN);

    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: app });
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2023,dom'];
    await run('npx', ['tsc', ...options, 'src/main.ts'], { cwd: app });
    await run('npx', ['vite', 'build'], { cwd: app });

    const [script] = (await readdir(join(app, 'dist/assets'))).filter((name) => name.endsWith('.js'));
    const bundle = await readFile(join(app, 'dist/assets', script), 'utf8');
    assert.ok(bundle.includes('join-room') && bundle.includes('screen-share-status'));
    const copies = await run('npm', ['ls', '--all', '--parseable', 'react', 'socket.io-client'], { cwd: app });
    assert.equal(copies.stdout.trim().split('\n').filter((path) => /\/react$/.test(path)).length, 1, 'one React');
  } finally {
    await rm(app, { recursive: true, force: true });
  }
});
