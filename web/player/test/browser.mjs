import { existsSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

const CANDIDATES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Chromium that plays sound, into nothing, without being clicked. */
export async function launch() {
  const executablePath = CANDIDATES.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error('no Chromium found: install the package chromium, or set CHROMIUM to its path');
  return puppeteer.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--autoplay-policy=no-user-gesture-required', '--mute-audio'],
  });
}

/** Waits until `check`, evaluated in the page, holds; says what it waited for when it does not. */
export async function until(page, what, check, ...args) {
  await page.waitForFunction(check, { timeout: 60_000, polling: 100 }, ...args).catch(async (error) => {
    const text = await page.evaluate(() => document.body.innerText).catch(() => '(no page)');
    throw new Error(`waited for: ${what}\n${error.message}\nthe page says:\n${text}`);
  });
}
