import type { SignalingSocket } from './protocol.js';

/** How long the server may take to answer on the connection at hand, ms. */
const PATIENCE = 1_200;
/** How long it may take to answer on another one, ms. */
const FETCH_PATIENCE = 2_000;

/**
 * Gives up the connection of a socket that is dead although the server can be reached, so that
 * Socket.IO makes another one and goes on with the same session. A client whose address has changed
 * would hear of it only from the heartbeat, up to 20 s later. Where the whole network is dead there
 * is nothing to gain, and a connection that only waits must not be closed: the server would take
 * the page for closed.
 */
export class StaleSocket {
  readonly #socket: SignalingSocket;
  readonly #onAnswer: (answer: unknown) => void;
  #running = false;
  #stopped = false;

  /** `onAnswer` gets what the server says to `ice-servers`. */
  constructor(socket: SignalingSocket, onAnswer: (answer: unknown) => void) {
    this.#socket = socket;
    this.#onAnswer = onAnswer;
  }

  /** Looks for as long as `worried` says that there is reason to. */
  async check(worried: () => boolean): Promise<void> {
    const engine = this.#socket.io?.engine;
    const server = engine && addressOf(engine);
    if (this.#running || !server) return;
    this.#running = true;
    let answered = false;
    this.#socket.emit('ice-servers', (answer: unknown) => {
      answered = true;
      if (!this.#stopped) this.#onAnswer(answer);
    });
    const over = () => answered || this.#stopped || !this.#socket.connected || this.#socket.io?.engine !== engine || !worried();
    try {
      while (!over()) {
        const [reached] = await Promise.all([reach(server), sleep(PATIENCE)]);
        if (reached && !over()) {
          this.#preferWebSocket();
          engine.close();
          return; // over long-polling it may take its time, and is not closed a second time
        }
      }
    } finally {
      this.#running = false;
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /**
   * For the next attempt: a request may be given a kept connection that is as dead, a WebSocket always
   * gets a new one.
   */
  #preferWebSocket(): void {
    const manager = this.#socket.io;
    if (!manager?.opts || !manager.once) return;
    const { opts } = manager;
    const usual = opts.transports;
    const restore = () => {
      opts.transports = usual;
    };
    opts.transports = ['websocket', 'polling'];
    manager.once('reconnect', restore);
    manager.once('reconnect_error', restore);
  }
}

/** Where a connection goes, which is not always where the page is from. Its options are not in socket.io-client's types. */
function addressOf(engine: object): string | undefined {
  const { opts } = engine as { opts?: { hostname?: string; port?: string | number; secure?: boolean } };
  if (!opts?.hostname) return undefined;
  const { hostname, port, secure } = opts;
  const host = hostname.includes(':') ? `[${hostname}]` : hostname; // it comes without the brackets
  return `${secure ? 'https' : 'http'}://${host}${port ? `:${port}` : ''}`;
}

/** Any answer will do, also one that this page may not read. */
async function reach(server: string): Promise<boolean> {
  const given = new AbortController();
  const timer = setTimeout(() => given.abort(), FETCH_PATIENCE);
  try {
    await fetch(new URL('/healthz', server), { mode: 'no-cors', cache: 'no-store', credentials: 'omit', signal: given.signal });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
