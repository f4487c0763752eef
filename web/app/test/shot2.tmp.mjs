import { launch, smallCamera, until } from './browser.mjs';
import { startStockServer } from './stock-server.mjs';
const browser = await launch();
async function join(url, room, role) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport({ width: 1280, height: 800 });
  await page.evaluateOnNewDocument(smallCamera);
  await page.goto(`${url}?interview=${room}&role=${role}`);
  await page.locator('::-p-aria([name="Join the interview"][role="button"])').click();
  return page;
}
const plays = (page, selector, count) => until(page, selector, (w, n) => [...document.querySelectorAll(w)].filter((v) => v.videoWidth > 0 && v.currentTime > 0).length === n, selector, count);
const stock = await startStockServer();
const a = await join(stock.url, 'poor', 'recruiter');
await join(stock.url, 'poor', 'candidate');
await plays(a, '.tile.camera video', 1);
const sockets = await stock.io.in('poor').fetchSockets();
const tell = (quality, peerQuality) => { for (const { id } of sockets) stock.io.to(id).emit('connection-quality', [{ userId: sockets.find((o) => o.id !== id).id, isScreenShare: false, quality, peerQuality, rtt: 412, lossUp: 0.11, lossDown: 0.052, bitrateUp: 240000, bitrateDown: 460000, transport: 'udp', candidateType: 'prflx', estimate: null }]); };
tell('poor', 'poor');
await a.waitForSelector('.quality-word');
await a.hover('.tile.camera .quality');
await a.screenshot({ path: '/tmp/w/shot-poor.png' });
await a.setViewport({ width: 360, height: 640 });
await new Promise((f) => setTimeout(f, 500));
await a.screenshot({ path: '/tmp/w/shot-narrow.png' });
await stock.close();
await browser.close();
process.exit(0);
