import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { launch, until } from './browser.mjs';
import { makeFiles, makeManifest } from './recording.mjs';
import { serve } from './server.mjs';

// The built page in real Chromium, with files that ffmpeg made: cameras that flash and voices that beep at each second of
// the room clock, and begin and end at different times.

let dir;
let server;
let browser;
let manifest;
const answers = {};
const contexts = [];
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'player-'));
  await makeFiles(dir);
  await writeFile(join(dir, 'broken.webm'), 'this is no film');
  manifest = await makeManifest(dir);
  Object.assign(answers, {
    good: manifest,
    running: { ...manifest, state: 'recording', finished: null, duration: 0 },
    old: { status: 410, error: { code: 'expired', message: 'this link has expired' } },
    crashed: {
      ...manifest,
      reason: 'crash',
      files: manifest.files.map((file) =>
        file.name === 'recruiter-1.webm' ? { ...file, name: 'gone.webm' } : file.name === 'candidate-1-screen.webm' ? { ...file, name: 'broken.webm', complete: false } : file,
      ),
    },
    empty: { ...manifest, duration: 0, files: [], events: [], participants: [] },
  });
  server = await serve(dir, answers);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  await rm(dir, { recursive: true, force: true });
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

async function open(link, { width = 1280, height = 800, errors = 0 } = {}) {
  const context = await browser.createBrowserContext();
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && (!errors || !message.text().startsWith('Failed to load resource'))) page.errors.push(message.text());
  });
  await page.setViewport({ width, height });
  await page.goto(server.url + link);
  return page;
}

const says = (page, text) => until(page, `"${text}"`, (wanted) => document.body.innerText.includes(wanted), text);
const press = (page, name, role = 'button') => page.locator(`::-p-aria([name="${name}"][role="${role}"])`).click();
/** Where the time line is, in seconds. */
const position = (page) => page.$eval('.scrubber', (range) => Number(range.value));
/** Goes to a moment and waits until all that is to be seen then is there. */
async function seek(page, time) {
  await page.$eval(
    '.scrubber',
    (range, value) => {
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(range, value);
      range.dispatchEvent(new Event('input', { bubbles: true }));
    },
    time,
  );
  await until(
    page,
    `pictures of ${time} s`,
    (wanted) => {
      const shown = [...document.querySelectorAll('.tile:not([hidden]) video:not(.unseen)')];
      return Math.abs(document.querySelector('.scrubber').value - wanted) < 0.06 && shown.every((video) => !video.seeking && video.readyState >= 2 && Math.abs(video.currentTime - wanted) < 0.06);
    },
    time,
  );
}
const tiles = (page) => page.$$eval('.tile:not([hidden]) figcaption', (all) => all.map((caption) => caption.innerText));
const tab = (page, name) => page.evaluate((wanted) => [...document.querySelectorAll('[role=tab]')].find((one) => one.innerText.startsWith(wanted)).click(), name);

test('cameras, screen and voices play together, within 100 ms', async () => {
  const page = await open('good');
  await press(page, 'Play');
  await until(page, 'the screen', () => document.querySelector('.scrubber').value > 4.5);
  assert.deepEqual(await tiles(page), ['Candidate’s screen', 'Candidate', 'Recruiter']);
  // Each presented frame says which moment of its file it shows, and when it is on the screen.
  const apart = await page.evaluate(async () => {
    const videos = [...document.querySelectorAll('.tile:not([hidden]) video:not(.unseen)')];
    const offsets = videos.map(() => []);
    let over = false;
    videos.forEach((video, index) => {
      const note = (now, { mediaTime, expectedDisplayTime }) => {
        offsets[index].push(mediaTime - expectedDisplayTime / 1000);
        if (!over) video.requestVideoFrameCallback(note);
      };
      video.requestVideoFrameCallback(note);
    });
    await new Promise((resolve) => setTimeout(resolve, 3000));
    over = true;
    const middle = offsets.map((all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)]);
    return { frames: offsets.map(({ length }) => length), ms: (Math.max(...middle) - Math.min(...middle)) * 1000 };
  });
  assert.ok(apart.frames.length === 3 && apart.frames.every((n) => n > 5), `frames: ${apart.frames}`);
  assert.ok(apart.ms < 100, `${apart.ms.toFixed(0)} ms apart`);
  const heard = await page.$$eval('video', (all) => all.filter(({ paused, muted, volume }) => !paused && !muted && volume === 1).length);
  assert.equal(heard, 3);

  await until(page, 'the end', () => document.querySelector('.play').ariaLabel === 'Play');
  assert.ok((await position(page)) >= 14.9);
  assert.deepEqual(await page.$$eval('video', (all) => all.filter(({ paused }) => !paused).length), 0);
  await press(page, 'Play');
  await until(page, 'to begin anew', () => document.querySelector('.scrubber').value > 0.5 && document.querySelector('.scrubber').value < 5);
  assert.deepEqual(page.errors, []);
});

test('seeking shows what was there at that moment, to the frame', async () => {
  const page = await open('good');
  for (const [time, there, white] of [
    [1.3, ['Candidate'], [false]],
    [8.1, ['Candidate’s screen', 'Candidate', 'Recruiter'], [null, true, true]],
    [8.5, ['Candidate’s screen', 'Candidate', 'Recruiter'], [null, false, false]],
    [10.3, ['Candidate'], [false]],
    [12.1, ['Candidate', 'Recruiter'], [true, true]],
    [3.1, ['Candidate', 'Recruiter'], [true, true]],
  ]) {
    await seek(page, time);
    await until(page, `${there} at ${time} s`, (wanted) => [...document.querySelectorAll('.tile:not([hidden]) figcaption')].map(({ innerText }) => innerText).join() === wanted, there.join());
    // What a seek has found may take a moment until it is painted.
    await until(
      page,
      `cameras that are white: ${white} at ${time} s`,
      (wanted) =>
        [...document.querySelectorAll('.tile:not([hidden]) video:not(.unseen)')].every((video, index) => {
          if (wanted[index] === null) return true;
          const canvas = document.createElement('canvas');
          canvas.width = canvas.height = 1;
          const context = canvas.getContext('2d');
          context.drawImage(video, 0, 0, 1, 1);
          return context.getImageData(0, 0, 1, 1).data[0] > 200 === wanted[index];
        }),
      white,
    );
  }
  assert.deepEqual(page.errors, []);
});

test('keys, speed and volumes', async () => {
  const page = await open('good');
  await seek(page, 3);
  await page.keyboard.press('l');
  await until(page, '13 s', () => Math.abs(document.querySelector('.scrubber').value - 13) < 0.06);
  await page.keyboard.press('ArrowLeft');
  await until(page, '8 s', () => Math.abs(document.querySelector('.scrubber').value - 8) < 0.06);
  await page.keyboard.press('n');
  await until(page, 'the next event', () => Math.abs(document.querySelector('.scrubber').value - 9.1) < 0.06);
  await page.keyboard.press('2');
  await until(page, 'a fifth', () => Math.abs(document.querySelector('.scrubber').value - 3) < 0.06);
  await page.keyboard.press('>');
  assert.equal(await page.$eval('.speed select', ({ value }) => value), '1.25');
  await page.select('.speed select', '2');
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press(' ');
  await until(page, 'twice the speed', () => [...document.querySelectorAll('video')].some(({ paused, playbackRate }) => !paused && playbackRate > 1.7));
  await page.keyboard.press('k');
  await until(page, 'a pause', () => document.querySelector('.play').ariaLabel === 'Play');

  await tab(page, 'People');
  await page.focus('.person .volume input');
  const before = await position(page);
  for (let n = 0; n < 10; n++) await page.keyboard.press('ArrowLeft');
  assert.equal(await position(page), before);
  await press(page, 'Mute Recruiter');
  const volumes = () =>
    page.$$eval('video', (all) => Object.fromEntries(all.map(({ src, volume }) => [src.split('/').pop(), volume])));
  assert.deepEqual(await volumes(), { 'candidate-1-screen.webm': 0.5, 'candidate-1.webm': 0.5, 'recruiter-1.webm': 0, 'recruiter-2.webm': 0 });
  await page.keyboard.press('m');
  assert.ok(Object.values(await volumes()).every((volume) => volume === 0));
  await page.keyboard.press('?');
  await page.waitForSelector('dialog[open]');
  await page.keyboard.press('Escape');
  await until(page, 'no dialog', () => !document.querySelector('dialog'));
  assert.deepEqual(page.errors, []);
});

test('chat, code and events follow the time line and lead to their moments', async () => {
  const page = await open('good');
  await seek(page, 3);
  const current = () => page.$eval('[aria-current]', ({ innerText }) => innerText);
  assert.match(await current(), /Hello, can you hear me\? <b>Bold<\/b>/);
  await page.evaluate(() => [...document.querySelectorAll('.message')].find(({ innerText }) => innerText.includes('Sorry')).click());
  await until(page, '11.5 s', () => Math.abs(document.querySelector('.scrubber').value - 11.5) < 0.06);
  assert.match(await current(), /Sorry/);

  await tab(page, 'Code');
  const code = () => page.$eval('.code-pane', (pane) => [...pane.querySelectorAll('code')].map(({ innerText }) => innerText).join('\n').trimEnd());
  await seek(page, 1);
  await says(page, 'Nothing was written yet');
  await seek(page, 5);
  assert.equal(await code(), 'function sum(list) {\n}');
  await seek(page, 7);
  assert.match(await code(), /let all = 0;\n {2}for/);
  await says(page, 'JavaScript');
  await seek(page, 8);
  await says(page, 'TypeScript');
  await page.evaluate(() => [...document.querySelectorAll('.code-body li')].find(({ innerText }) => innerText.includes('let all')).click());
  await until(page, 'when the line was written', () => Math.abs(document.querySelector('.scrubber').value - 5.5) < 0.06);
  await press(page, 'Next change');
  await until(page, 'the next change', () => Math.abs(document.querySelector('.scrubber').value - 6.5) < 0.06);
  await press(page, 'Change before');
  await until(page, 'the change before', () => Math.abs(document.querySelector('.scrubber').value - 5.5) < 0.06);
  await seek(page, 13);
  await until(page, 'the open question', () => document.querySelector('.question[aria-pressed=true]').innerText === '2');
  assert.equal(await code(), 'SELECT 1;');
  await press(page, 'Question 1');
  assert.match(await code(), /function sum/);

  await tab(page, 'Events');
  assert.equal(await page.$$eval('.entry', (all) => all.filter(({ innerText }) => innerText.includes('joined')).length), 2);
  await page.evaluate(() => [...document.querySelectorAll('.entry')].find(({ innerText }) => innerText.includes('shares a screen')).click());
  await until(page, '4 s', () => Math.abs(document.querySelector('.scrubber').value - 4) < 0.06);
  assert.deepEqual(page.errors, []);
});

test('what is missing, unfinished, expired or still running is explained', async () => {
  const crashed = await open('crashed', { errors: 1 });
  await says(crashed, 'The server stopped while this was recorded');
  await press(crashed, 'Play');
  await says(crashed, 'The file gone.webm is missing.');
  await says(crashed, 'The file broken.webm was never finished');
  assert.equal(await crashed.$eval('.tile-note a', ({ href }) => new URL(href).search), '?download');
  await until(crashed, 'the candidate to play on', () => [...document.querySelectorAll('video')].some(({ currentTime, paused }) => !paused && currentTime > 5));

  await says(await open('running'), 'still being recorded');
  await says(await open('old', { errors: 1 }), 'This link has expired');
  await says(await open('nothing', { errors: 1 }), 'This link does not work');
  const empty = await open('empty');
  await says(empty, 'Nothing was recorded');
  assert.equal(await empty.$eval('.play', ({ disabled }) => disabled), true);
  assert.deepEqual([crashed.errors, empty.errors], [[], []]);
});

test('nothing sticks out of a screen 360 px wide, and all can be reached', async () => {
  const page = await open('good', { width: 360, height: 740 });
  for (const time of [1, 7, 12]) {
    await seek(page, time);
    for (const name of ['Chat', 'Code', 'Events', 'People']) {
      await tab(page, name);
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll('body *')]
          .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5 && !element.closest('.code-body, .visually-hidden, video, svg'))
          .map((element) => element.outerHTML.slice(0, 80)),
      );
      assert.deepEqual(wide, [], `${name} at ${time} s`);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    }
  }
  const small = await page.$$eval('.transport button, .tab', (all) => all.filter(({ offsetHeight, offsetWidth }) => offsetWidth > 0 && (offsetHeight < 36 || offsetWidth < 36)).map(({ ariaLabel }) => ariaLabel));
  assert.deepEqual(small, [], 'controls that are hard to hit');
  const nameless = await page.$$eval('button, input, select, a', (all) => all.filter((element) => !element.ariaLabel && !element.innerText.trim() && !element.labels?.length).map(({ outerHTML }) => outerHTML.slice(0, 80)));
  assert.deepEqual(nameless, [], 'controls without a name');
  assert.deepEqual(page.errors, []);
});
