import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { launch, smallCamera, until } from './browser.mjs';
import { startStockServer } from './stock-server.mjs';

// The real page in real Chromium, over a plain socket.io server: calls go from browser to browser.

let server;
let browser;
const contexts = [];
before(async () => {
  server = await startStockServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

/** A page of its own profile; `prepare` runs in it before the page's scripts. */
async function open(query, prepare) {
  const context = await browser.createBrowserContext();
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') page.errors.push(message.text());
  });
  await page.setViewport({ width: 1280, height: 800 });
  await page.evaluateOnNewDocument(smallCamera);
  if (prepare) await page.evaluateOnNewDocument(prepare);
  await page.goto(server.url + query);
  return page;
}

/** Clicks the control of that accessible name. */
async function press(page, name) {
  await page.locator(`::-p-aria([name="${name}"][role="button"])`).click();
}

async function join(interview, role, prepare) {
  const page = await open(`?interview=${interview}&role=${role}`, prepare);
  await press(page, 'Join the interview');
  return page;
}

const says = (page, text) => until(page, `"${text}"`, (wanted) => document.body.innerText.includes(wanted), text);
const plays = (page, selector, count = 1) =>
  until(
    page,
    `${count} playing ${selector}`,
    (wanted, number) =>
      [...document.querySelectorAll(wanted)].filter((video) => video.videoWidth > 0 && video.currentTime > 0).length === number,
    selector,
    count,
  );
const gone = (page, selector) => until(page, `no ${selector}`, (wanted) => !document.querySelector(wanted), selector);

test('an interview: cameras, screen, chat, code, a second recruiter, and the end', async () => {
  const recruiter = await join('whole', 'recruiter');
  await says(recruiter, 'You’re the only one here');
  const link = await recruiter.$eval('.copy-field input', (input) => input.value);
  assert.match(link, /interview=whole&role=candidate$/);
  const candidate = await join('whole', 'candidate');
  await plays(recruiter, '.tile.camera video');
  await plays(candidate, '.tile.camera video');
  await says(recruiter, 'UDP');

  await press(candidate, 'Share screen');
  await plays(recruiter, '.tile.screen video');
  await says(candidate, 'You are sharing your screen');
  const late = await join('whole', 'recruiter');
  await plays(late, '.tile.screen video');
  await plays(late, '.tile.camera video', 2);
  await press(candidate, 'Stop sharing');
  await gone(recruiter, '.tile.screen');
  await gone(late, '.tile.screen');
  await plays(recruiter, '.tile.camera video', 2);

  await press(candidate, 'Chat');
  await candidate.type('.composer input', 'Hello');
  await candidate.keyboard.press('Enter');
  await recruiter.waitForSelector('::-p-aria([name="Chat, 1 unread"])');
  await press(recruiter, 'Chat, 1 unread');
  await says(recruiter, 'Hello');

  await press(candidate, 'Code');
  await candidate.type('.editor textarea', 'if (a) {\nb');
  await press(recruiter, 'Code');
  await until(recruiter, 'the code', () => document.querySelector('.editor textarea').value === 'if (a) {\n  b');
  await recruiter.select('.language select', 'python');
  await until(candidate, 'the language', () => document.querySelector('.language select').value === 'python');

  await press(late, 'Leave');
  await says(late, 'You left the interview');
  await plays(recruiter, '.tile.camera video', 1);
  await candidate.reload();
  await press(candidate, 'Join the interview');
  await plays(recruiter, '.tile.camera video');
  await plays(candidate, '.tile.camera video');
  for (const page of [recruiter, candidate, late]) assert.deepEqual(page.errors, []);
});

test('muted and without a picture by keyboard, and not while one types', async () => {
  const page = await join('keys', 'recruiter');
  await says(page, 'You’re the only one here');
  const enabled = () =>
    page.evaluate(() => ({
      mute: document.querySelector('[aria-keyshortcuts="M"]').title,
      camera: document.querySelector('[aria-keyshortcuts="V"]').title,
      ownPicture: document.querySelector('.tile.own video') !== null,
    }));
  assert.deepEqual(await enabled(), { mute: 'Mute (M)', camera: 'Camera off (V)', ownPicture: true });
  await page.keyboard.press('m');
  await page.keyboard.press('v');
  await until(page, 'the picture gone', () => !document.querySelector('.tile.own video'));
  assert.deepEqual(await enabled(), { mute: 'Unmute (M)', camera: 'Camera on (V)', ownPicture: false });
  await press(page, 'Chat');
  await page.type('.composer input', 'mvs');
  assert.equal((await enabled()).mute, 'Unmute (M)');
  assert.equal(await page.$eval('.composer input', (input) => input.value), 'mvs');
});

test('the keyboard reaches every control and is caught by none', async () => {
  const page = await join('tab', 'recruiter');
  await says(page, 'You’re the only one here');
  await press(page, 'Code');
  await page.focus('.editor textarea');
  await page.keyboard.press('Tab');
  assert.equal(await page.$eval('.editor textarea', (field) => field.value), '  ');
  await page.keyboard.press('Escape');
  const reached = new Set();
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.getAttribute('aria-label')));
    if (reached.has('Leave')) break;
    await page.keyboard.press('Escape');
  }
  for (const name of ['Mute', 'Camera off', 'Share screen', 'Chat', 'Code', 'Devices', 'Leave']) {
    assert.ok(reached.has(name), `${name} in ${[...reached].join(', ')}`);
  }
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
  assert.equal(outline, '2px');
});

test('blocked devices are explained, and one can join all the same', async () => {
  const candidate = await open('?interview=denied&role=candidate', () => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('Permission denied', 'NotAllowedError'));
  });
  await says(candidate, 'Camera and microphone are blocked');
  await press(candidate, 'Join without camera and microphone');
  await says(candidate, 'The call starts by itself when the recruiter joins');
  const recruiter = await join('denied', 'recruiter');
  await plays(candidate, '.tile.camera video');
  await until(recruiter, 'the candidate’s tile', () => document.querySelectorAll('.tile.camera').length === 1);
});

test('a machine without camera and microphone is told so', async () => {
  const bare = await launch({ devices: false });
  try {
    const page = await bare.newPage();
    await page.goto(`${server.url}?interview=bare&role=candidate`);
    await says(page, 'No camera or microphone found');
    await says(page, 'Join without camera and microphone');
  } finally {
    await bare.close();
  }
});

test('where the browser wants a tap before it plays, the page asks for one', async () => {
  const recruiter = await join('tap', 'recruiter', () => {
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
      return this.muted || navigator.userActivation.isActive ? play.call(this) : Promise.reject(new DOMException('tap', 'NotAllowedError'));
    };
    // The click on Join is long over when the candidate comes.
    Object.defineProperty(navigator, 'userActivation', { get: () => ({ isActive: window.tapped === true }) });
    addEventListener('click', ({ target }) => (window.tapped = target.closest('.banner.action') !== null), true);
  });
  await says(recruiter, 'You’re the only one here');
  await join('tap', 'candidate');
  await says(recruiter, 'Your browser waits for a tap');
  await (await recruiter.waitForSelector('.banner.action')).click();
  await gone(recruiter, '.banner.action');
  await plays(recruiter, '.tile.camera video');
});

test('a broken connection is told, and the call goes on', async () => {
  const recruiter = await join('broken', 'recruiter');
  const candidate = await join('broken', 'candidate');
  await plays(recruiter, '.tile.camera video');
  const [socket] = (await server.io.fetchSockets()).filter(({ rooms }) => rooms.has('broken'));
  const refuse = (request, allow) => allow('not now', false);
  server.io.engine.opts.allowRequest = refuse;
  server.io.sockets.sockets.get(socket.id).conn.close();
  await says(recruiter, 'Connection to the server lost');
  await plays(recruiter, '.tile.camera video');
  delete server.io.engine.opts.allowRequest;
  await gone(recruiter, '.banner.warn');
  await plays(recruiter, '.tile.camera video');
  await plays(candidate, '.tile.camera video');
});

test('each tile shows how that person’s connection does, in words when it is poor', async () => {
  const recruiter = await join('quality', 'recruiter');
  await join('quality', 'candidate');
  await plays(recruiter, '.tile.camera video');
  assert.equal(await recruiter.$('.quality'), null);
  const sockets = await server.io.in('quality').fetchSockets();
  const tell = (quality, peerQuality) => {
    for (const { id } of sockets) {
      const userId = sockets.find((other) => other.id !== id).id;
      const figures = { rtt: 31.4, lossUp: 0, lossDown: 0.052, bitrateUp: 940_000, bitrateDown: 1_260_000, transport: 'udp', candidateType: 'prflx', estimate: null };
      server.io.to(id).emit('connection-quality', [{ userId, isScreenShare: false, quality, peerQuality, ...figures }]);
    }
  };
  const names = () => recruiter.$$eval('.quality', (marks) => marks.map((mark) => mark.ariaLabel));
  tell('good', 'fair');
  await recruiter.waitForSelector('.tile.own .quality.good');
  assert.deepEqual(await names(), ['Candidate’s connection: fair', 'Your connection: good']);
  assert.equal(await recruiter.$('.quality-word'), null);

  const told = () => recruiter.$$eval('.quality-details:not([hidden])', (all) => all.map((details) => details.innerText.replaceAll(/\s+/g, ' ')));
  await recruiter.hover('.tile.camera .quality');
  assert.deepEqual(await told(), ['Candidate’s connection: fair You receive 1.3 Mbit/s, 5.2 % lost You send 940 kbit/s, nothing lost']);
  await recruiter.mouse.move(1, 1);
  assert.deepEqual(await told(), []);
  await recruiter.focus('.tile.own .quality');
  assert.deepEqual(await told(), ['Your connection: good Receiving 1.3 Mbit/s, 5.2 % lost Sending 940 kbit/s, nothing lost Round trip to the server 31 ms Path UDP']);
  const box = await recruiter.$eval('.quality-details:not([hidden])', (details) => details.getBoundingClientRect().toJSON());
  assert.ok(box.left >= 0 && box.right <= 1280 && box.top >= 0 && box.bottom <= 800, JSON.stringify(box));
  await recruiter.keyboard.press('Escape');
  assert.deepEqual(await told(), []);

  tell('poor', 'lost');
  const words = () => recruiter.$$eval('.quality-word', (all) => all.map((word) => word.innerText));
  await recruiter.waitForSelector('.tile.own .quality-word');
  assert.deepEqual(await words(), ['Connection interrupted', 'Poor connection']);
  await recruiter.setViewport({ width: 360, height: 640 });
  const cut = await recruiter.$$eval('.tile figcaption', (all) => all.filter((caption) => caption.scrollWidth > caption.clientWidth).map((caption) => caption.innerText));
  assert.deepEqual(cut, []);
  await until(recruiter, 'the announcement', () => document.querySelector('[role=status]').textContent.includes('Your connection is poor.'));
  tell('good', 'good');
  await gone(recruiter, '.quality-word');
  assert.deepEqual(recruiter.errors, []);
});

test('whose network lets nothing through is said in plain words, and only while it is so', async () => {
  const recruiter = await join('unreached', 'recruiter');
  await join('unreached', 'candidate');
  await plays(recruiter, '.tile.camera video');
  const sockets = await server.io.in('unreached').fetchSockets();
  const candidate = sockets.find(({ id }) => server.io.sockets.sockets.get(id).data.role === 'candidate').id;
  const self = sockets.find(({ id }) => id !== candidate).id;
  const tell = (own, state, reason, isScreenShare = false) =>
    server.io.to(self).emit('media-status', { userId: candidate, isScreenShare, own, state, reason });
  const said = () => recruiter.$$eval('.media-status', (all) => all.map((banner) => banner.innerText.trim()));
  for (const [own, state, reason, isScreenShare, words] of [
    [false, 'no-connection', 'ice', false, 'Candidate’s network does not let picture and sound through.'],
    [true, 'no-connection', 'ice', false, 'Your network does not let picture and sound through. Another network helps, such as that of a phone.'],
    [false, 'no-connection', 'lost', false, 'Candidate’s connection for picture and sound is interrupted. It is being brought back.'],
    [true, 'no-media', 'never', false, 'Nothing arrives from your camera and microphone. Choose them again in the settings, or reload the page.'],
    [false, 'no-media', 'stopped', false, 'Nothing arrives from Candidate’s camera and microphone.'],
    [false, 'no-media', 'never', true, 'Nothing arrives of Candidate’s screen.'],
  ]) {
    tell(own, state, reason, isScreenShare);
    await says(recruiter, words);
    assert.deepEqual(await said(), [words]);
    tell(own, 'ok', '', isScreenShare);
    await gone(recruiter, '.media-status');
  }
  await recruiter.setViewport({ width: 360, height: 640 });
  tell(true, 'no-connection', 'lost');
  await says(recruiter, 'Reconnecting');
  const wide = await recruiter.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${wide} px wide`);
  assert.deepEqual(recruiter.errors, []);
});

test('a recording is asked for, waits for everybody’s word, and nobody misses that it runs', async () => {
  const asked = [];
  const idle = { state: 'off', mode: 'on-request', consent: 'required', recording: '', pending: [], refused: [], reason: '' };
  const tell = (status) => server.io.in('recorded').emit('recording-status', { ...idle, ...status });
  server.io.on('connection', (socket) => {
    for (const event of ['recording-start', 'recording-stop', 'recording-consent']) {
      socket.on(event, (payload, acknowledge) => {
        asked.push([socket.data.role, event, payload.agreed]);
        const refused = asked.length === 1;
        acknowledge(refused ? { ok: false, code: 'disk', message: 'the disk is full' } : { ok: true });
      });
    }
  });
  const recruiter = await join('recorded', 'recruiter');
  const candidate = await join('recorded', 'candidate');
  await plays(recruiter, '.tile.camera video');
  assert.equal(await recruiter.$('.record'), null);
  tell({ mode: 'always', state: 'failed', reason: 'disk' });
  await says(recruiter, 'Nothing is recorded: the server’s disk is full.');
  const sockets = await server.io.in('recorded').fetchSockets();
  const candidateId = sockets.find(({ data }) => data.role === 'candidate').id;
  const dialog = (page, title) =>
    until(page, `the dialog "${title}"`, (wanted) => document.querySelector('dialog[open] h2')?.innerText === wanted, title);

  tell({});
  await press(recruiter, 'Record the interview');
  await says(recruiter, 'Recording: the disk is full.');
  assert.equal(await candidate.$('.record'), null);
  await press(recruiter, 'Record the interview');
  tell({ state: 'waiting', pending: [candidateId] });
  await says(recruiter, 'Nothing is recorded yet. Waiting for the candidate to agree.');
  assert.equal(await recruiter.$('.recording-badge'), null);
  await dialog(candidate, 'May this interview be recorded?');
  await candidate.keyboard.press('Escape');
  await says(candidate, 'Nothing is recorded until you agree.');
  await press(candidate, 'Answer');
  await press(candidate, 'I do not agree');
  tell({ state: 'off', reason: 'consent', refused: [candidateId] });
  await gone(candidate, 'dialog[open]');
  await says(candidate, 'Nothing is recorded, because you did not agree.');
  await says(recruiter, 'Nothing is recorded, because the candidate did not agree.');

  tell({ state: 'waiting', pending: [candidateId] });
  await press(candidate, 'I agree');
  tell({ state: 'recording', recording: 'r1' });
  await gone(candidate, 'dialog[open]');
  for (const page of [recruiter, candidate]) {
    const badge = await page.waitForSelector('.recording-badge');
    assert.equal(await badge.evaluate((element) => element.innerText), 'Recording');
    assert.equal(await badge.evaluate((element) => getComputedStyle(element).backgroundColor), 'rgb(212, 55, 61)');
    await until(page, 'the announcement', () => document.querySelector('[role=status].visually-hidden').textContent.includes('being recorded'));
  }
  await candidate.setViewport({ width: 360, height: 640 });
  for (const panel of ['Chat', 'Code']) {
    await press(candidate, panel);
    const seen = await candidate.$eval('.recording-badge', (badge) => {
      const { left, right, top, bottom } = badge.getBoundingClientRect();
      return left >= 0 && right <= innerWidth && document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === badge;
    });
    assert.ok(seen, `the badge beside ${panel}`);
  }
  await candidate.click('.recording-badge');
  await dialog(candidate, 'This interview is recorded');
  await press(candidate, 'I do not agree');
  tell({ state: 'off', recording: 'r1', reason: 'consent', refused: [candidateId] });
  await gone(candidate, '.recording-badge');
  await says(candidate, 'The recording has ended, because you did not agree.');

  tell({ state: 'recording', recording: 'r2' });
  await press(recruiter, 'Stop the recording');
  tell({ state: 'off', recording: 'r2', reason: 'requested' });
  await gone(recruiter, '.recording-badge');
  await gone(recruiter, '.recording-over');
  tell({ state: 'recording', recording: 'r3', pending: [candidateId] });
  await dialog(candidate, 'This interview is recorded. Do you agree?');
  tell({ state: 'failed', recording: 'r3', reason: 'error' });
  await says(recruiter, 'The recording has failed.');
  await gone(candidate, 'dialog[open]');
  assert.deepEqual(asked, [
    ['recruiter', 'recording-start', undefined],
    ['recruiter', 'recording-start', undefined],
    ['candidate', 'recording-consent', false],
    ['candidate', 'recording-consent', true],
    ['candidate', 'recording-consent', false],
    ['recruiter', 'recording-stop', undefined],
  ]);
  for (const page of [recruiter, candidate]) assert.deepEqual(page.errors, []);
});

test('when the server ends the session the page says so', async () => {
  const page = await join('ended', 'recruiter');
  await says(page, 'You’re the only one here');
  server.io.in('ended').disconnectSockets();
  await says(page, 'The call has ended');
  await press(page, 'Rejoin');
  await says(page, 'You’re the only one here');
});

test('nothing sticks out of a screen 360 px wide', async () => {
  const recruiter = await join('narrow', 'recruiter');
  await recruiter.setViewport({ width: 360, height: 640 });
  const fits = async (state) => {
    const wide = await recruiter.evaluate(() =>
      [...document.querySelectorAll('body *')]
        .filter((element) => element.getBoundingClientRect().right > innerWidth + 0.5 && !element.closest('.editor, .cameras, .visually-hidden, video, svg'))
        .map((element) => element.outerHTML.slice(0, 80)),
    );
    assert.deepEqual(wide, [], state);
    assert.equal(await recruiter.evaluate(() => document.documentElement.scrollWidth), 360, state);
  };
  await says(recruiter, 'You’re the only one here');
  await fits('alone');
  const recorded = (state) =>
    server.io.in('narrow').emit('recording-status', { state, mode: 'on-request', consent: 'notice', recording: 'r', pending: [], refused: [], reason: '' });
  for (const [state, control] of [['off', 'Record the interview'], ['waiting', 'Cancel the recording'], ['recording', 'Stop the recording']]) {
    recorded(state);
    await recruiter.waitForSelector(`::-p-aria([name="${control}"][role="button"])`);
    await fits(state);
  }
  const candidate = await join('narrow', 'candidate');
  await plays(recruiter, '.tile.camera video');
  await fits('call');
  await press(candidate, 'Share screen');
  await plays(recruiter, '.tile.screen video');
  await fits('screen');
  for (const panel of ['Chat', 'Code']) {
    await press(recruiter, panel);
    await fits(panel);
  }
  const small = await recruiter.$$eval('.controls button', (buttons) =>
    buttons.filter((button) => button.offsetHeight < 44 || button.offsetWidth < 44).map((button) => button.title),
  );
  assert.deepEqual(small, [], 'controls that are hard to hit');
});
