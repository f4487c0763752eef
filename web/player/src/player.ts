/**
 * Plays many media files on one time line. It has a clock of its own; each file that has something to play follows it, by
 * small changes of its speed or by a seek, and the clock waits for a file that has to load.
 *
 * Not React: media elements come and go with `add`, the rest is told by `subscribe`.
 */
export class Player {
  #time = 0; // s on the room clock
  #playing = false;
  #rate = 1;
  #waiting = false;
  #blocked = false;
  #counted = performance.now(); // when #time was right
  #waitingSince = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #followers = new Set<Follower>();
  readonly #listeners = new Set<() => void>();
  #snapshot: Snapshot;

  constructor(readonly duration: number) {
    this.#snapshot = this.#take();
  }

  /** The time at this moment. */
  now(): number {
    if (!this.#runs()) return this.#time;
    return Math.min(this.#time + ((performance.now() - this.#counted) / 1000) * this.#rate, this.duration);
  }

  /** What changes is told to listeners a few times a second while it plays, and at once when somebody did something. */
  snapshot = (): Snapshot => this.#snapshot;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => this.#tick(), TICK);
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  };

  /** Has an element play its file from `start` to `end` of the time line; ends with what it returns. */
  add(element: HTMLMediaElement, start: number, end: number): () => void {
    const follower = new Follower(element, start, end);
    this.#followers.add(follower);
    return () => {
      this.#followers.delete(follower);
      follower.stop();
    };
  }

  play(): void {
    if (this.#time >= this.duration) this.seek(0);
    this.#playing = true;
    this.#blocked = false;
    this.#tick();
  }

  pause(): void {
    this.#settle();
    this.#playing = false;
    this.#tick();
  }

  toggle(): void {
    if (this.#playing) this.pause();
    else this.play();
  }

  seek(time: number): void {
    this.#time = Math.min(Math.max(time, 0), this.duration);
    this.#counted = performance.now();
    for (const follower of this.#followers) follower.moved();
    this.#tick();
  }

  setRate(rate: number): void {
    this.#settle();
    this.#rate = rate;
    this.#tick();
  }

  #runs(): boolean {
    return this.#playing && !this.#waiting;
  }

  #settle(): void {
    this.#time = this.now();
    this.#counted = performance.now();
  }

  #tick(): void {
    this.#settle();
    for (const follower of this.#followers) follower.measure();
    if (this.#playing && this.#time >= this.duration) this.#playing = false;
    const active = [...this.#followers].filter((follower) => follower.covers(this.#time));
    const late = active.some((follower) => !follower.ready(this.#time));
    const now = performance.now();
    if (!late) this.#waitingSince = now;
    // One file that never comes does not keep the others.
    this.#waiting = late && now - this.#waitingSince < PATIENCE;
    for (const follower of this.#followers) {
      if (!active.includes(follower)) follower.rest(this.#time);
      else follower.follow(this.#time, this.#rate, this.#runs(), this.#refused);
    }
    this.#publish();
  }

  /** The browser plays sound only for somebody who has touched the page. */
  #refused = (): void => {
    this.#settle();
    this.#playing = false;
    this.#blocked = true;
    this.#publish();
  };

  #take(): Snapshot {
    return {
      time: Math.round(this.#time * 10) / 10,
      playing: this.#playing,
      waiting: this.#playing && this.#waiting,
      blocked: this.#blocked,
      rate: this.#rate,
    };
  }

  #publish(): void {
    const next = this.#take();
    const last = this.#snapshot;
    if ((Object.keys(next) as (keyof Snapshot)[]).every((key) => next[key] === last[key])) return;
    this.#snapshot = next;
    for (const listener of this.#listeners) listener();
  }
}

export interface Snapshot {
  /** s, to the tenth. */
  time: number;
  /** Whether somebody wants it to play; it may have to wait. */
  playing: boolean;
  waiting: boolean;
  blocked: boolean;
  rate: number;
}

const TICK = 50; // ms
const PATIENCE = 8000; // ms for which all files wait for one that has to load
const CLOSE = 0.015; // s off the clock that nobody sees or hears
const FAR = 0.35; // s off the clock that only a seek mends
const STEER = 0.12; // at most, faster or slower than the clock
const CALM = 1500; // ms between two seeks of a file that plays: some can't hit what they aim at

/** One file and its element. */
class Follower {
  /** What to take from the time line's time for the element's own: browsers differ in whether a file that begins late begins at 0. */
  #shift: number | null = null;
  #looked = 0; // how often it was looked at with its first frame
  #jumped = -Infinity;
  #aim = NaN;

  constructor(
    readonly element: HTMLMediaElement,
    readonly start: number,
    readonly end: number,
  ) {}

  stop(): void {
    this.element.pause();
  }

  /** Looks where the element begins, before anything moves it. With its metadata, and for a moment with its first frame, it may say 0. */
  measure(): void {
    const { element, start } = this;
    if (this.#shift !== null || element.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    this.#looked++;
    if (this.#looked > 1 || element.currentTime > 0) this.#shift = element.currentTime >= start / 2 ? 0 : start;
  }

  covers(time: number): boolean {
    return time >= this.start && time < this.end && !this.element.error;
  }

  /** Whether it could go on playing. The end of a file is loaded as far as it ever will be. */
  ready(time: number): boolean {
    const { element } = this;
    if (this.#shift === null || element.seeking) return false;
    return element.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA || element.ended || this.end - time < 0.3;
  }

  /** The time line was moved: whatever the element is about, the next seek is right. */
  moved(): void {
    this.#jumped = -Infinity;
    this.#aim = NaN;
  }

  follow(time: number, rate: number, runs: boolean, refused: () => void): void {
    const { element } = this;
    if (this.#shift === null) return;
    const target = time - this.#shift;
    const off = element.currentTime - target;
    if (!runs) {
      if (!element.paused) element.pause();
      // Once: some browsers only come close to what is asked for.
      if (Math.abs(off) > CLOSE && target !== this.#aim && this.#calm(0)) this.#jump(target);
      return;
    }
    if (element.paused) {
      if (!element.ended) void element.play().catch((error: unknown) => {
        if (error instanceof DOMException && error.name === 'NotAllowedError') refused();
      });
    }
    if (Math.abs(off) > FAR && this.#calm(CALM)) this.#jump(target);
    const steer = Math.abs(off) > CLOSE ? Math.min(Math.max(off * 2, -STEER), STEER) : 0;
    const speed = rate * (1 - steer);
    if (Math.abs(element.playbackRate - speed) > 0.005) element.playbackRate = speed;
  }

  /** Nothing to play at that time; what comes soon is put at its beginning. */
  rest(time: number): void {
    const { element } = this;
    if (!element.paused) element.pause();
    if (this.#shift === null || time >= this.start) return;
    const first = this.start - this.#shift;
    if (Math.abs(element.currentTime - first) > CLOSE && this.#calm(CALM)) this.#jump(first);
  }

  #calm(ms: number): boolean {
    return !this.element.seeking && performance.now() - this.#jumped > ms;
  }

  #jump(to: number): void {
    this.#jumped = performance.now();
    this.#aim = to;
    this.element.currentTime = to;
  }
}
