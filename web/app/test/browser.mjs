import { existsSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

const CANDIDATES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Chromium with a fake camera and microphone; `args` adds to or overrides its switches. */
export async function launch({ args = [], devices = true } = {}) {
  const executablePath = CANDIDATES.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error('no Chromium found: install the package chromium, or set CHROMIUM to its path');
  return puppeteer.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--use-fake-ui-for-media-stream',
      '--auto-select-desktop-capture-source=Entire screen',
      ...(devices ? ['--use-fake-device-for-media-stream=fps=10'] : []),
      ...args,
    ],
  });
}

/** Runs in a page before its scripts: a small picture says as much as a large one, and costs less. */
export function smallCamera() {
  const devices = navigator.mediaDevices;
  const capture = devices.getUserMedia.bind(devices);
  devices.getUserMedia = ({ audio, video }) =>
    capture({ audio, video: video && { ...(video.deviceId ? { deviceId: video.deviceId } : {}), width: 320, height: 240 } });
}

/** Waits until `check`, evaluated in the page, holds; says what it waited for when it does not. */
export async function until(page, what, check, ...args) {
  await page.waitForFunction(check, { timeout: 60_000, polling: 100 }, ...args).catch(async (error) => {
    const text = await page.evaluate(() => document.body.innerText).catch(() => '(no page)');
    throw new Error(`waited for: ${what}\n${error.message}\nthe page says:\n${text}`);
  });
}
