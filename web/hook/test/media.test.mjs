import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { LocalMedia } from '../dist/index.js';
import { fakeDevices } from './fake-media.mjs';

let devices;
let media;
beforeEach(() => {
  devices = fakeDevices();
  media = new LocalMedia();
});

test('one capture at a time, whoever asks', async () => {
  const [one, other] = await Promise.all([media.start(), media.start()]);
  assert.equal(one, other);
  assert.equal(await media.start(), one);
  assert.equal(devices.asked.length, 1);
});

test('what arrives after a stop is stopped', async () => {
  let open;
  devices.answer = () => new Promise((resolve) => (open = resolve));
  const pending = media.start();
  media.stop();
  open();
  assert.equal(await pending, null);
  assert.equal(media.ref.current, null);
  assert.equal(media.store.getSnapshot().starting, false);
});

test('a start after a stop counts, even while the first prompt is open', async () => {
  const opens = [];
  devices.answer = () => new Promise((resolve) => opens.push(resolve));
  const first = media.start();
  media.stop();
  const second = media.start();
  opens[0]();
  opens[1]();
  assert.equal(await first, null);
  assert.equal(await second, media.ref.current);
  assert.ok(media.ref.current.getTracks().every(({ readyState }) => readyState === 'live'));
});

test('a missing camera leaves the microphone, and the other way round', async () => {
  for (const missing of ['video', 'audio']) {
    media.stop();
    devices.answer = async (wanted) => {
      if (wanted[missing]) throw new DOMException('none', 'NotFoundError');
    };
    const stream = await media.start();
    assert.deepEqual(stream.getTracks().map(({ kind }) => kind), [missing === 'video' ? 'audio' : 'video']);
  }
});

test('a refusal is told and not asked again by itself', async () => {
  devices.answer = () => Promise.reject(new DOMException('Permission denied', 'NotAllowedError'));
  assert.equal(await media.start(), null);
  assert.deepEqual(media.store.getSnapshot().failure, { name: 'NotAllowedError', message: 'Permission denied' });
  assert.equal(devices.asked.length, 1);
});

test('muting outlives a change of device', async () => {
  const stream = await media.start();
  media.setEnabled('audio', false);
  const before = stream.getAudioTracks()[0];
  assert.equal(await media.switchDevice('audio', 'other'), true);
  const [after] = stream.getAudioTracks();
  assert.notEqual(after, before);
  assert.equal(before.readyState, 'ended');
  assert.equal(after.enabled, false);
  assert.equal(media.ref.current, stream, 'the stream stays the same object');
});

test('a device that is taken away is reported and can be had again', async () => {
  const stream = await media.start();
  const [track] = stream.getAudioTracks();
  track.readyState = 'ended';
  track.onended();
  assert.deepEqual(media.store.getSnapshot().lost, ['audio']);
  assert.equal(media.track('audio'), null);
  await media.recover();
  assert.deepEqual(media.store.getSnapshot().lost, []);
  assert.equal(media.track('audio').readyState, 'live');
});

test('taking part without camera and microphone needs no permission', async () => {
  const stream = await media.start({});
  assert.equal(stream.getTracks().length, 0);
  assert.equal(devices.asked.length, 0);
});
