import { mergeText } from './merge-text.js';
import type { ChatMessage, CodeState, CodeUpdate, Listener, SignalingSocket, UserRole } from './protocol.js';
import { Store } from './store.js';

/** How long typing is collected before it is sent, ms. */
const SEND_DELAY = 250;
/** Questions kept for display. */
const MAX_PADS = 100;
/** Messages kept for display. */
const MAX_MESSAGES = 500;

export interface Pad {
  questionId: string;
  code: string;
  language: string;
}

export interface SharedRoomState {
  messages: readonly ChatMessage[];
  /** The code of each question, by its index. */
  pads: readonly Pad[];
  questionIndex: number;
}

export interface SharedRoomOptions {
  interviewId: string;
  userRole: UserRole;
  /** Language of a pad that nobody has chosen one for. */
  defaultLanguage?: string | undefined;
}

interface Sync {
  /** The last text that the server is known to have. */
  base: string;
  /** Texts sent whose echo has not come back, oldest first. */
  unconfirmed: string[];
  timer: ReturnType<typeof setTimeout> | undefined;
}

/**
 * Chat and shared code of an interview. The server echoes every change to everyone and the last
 * one in its order counts; an edit that was overtaken is merged and sent again.
 */
export class SharedRoom {
  readonly store: Store<SharedRoomState>;
  readonly #options: SharedRoomOptions;
  readonly #sync = new Map<string, Sync>();
  #socket: SignalingSocket | null = null;
  #sentMessages: string[] = [];
  #listeners: [string, Listener][] = [];

  constructor(options: SharedRoomOptions) {
    this.#options = options;
    this.store = new Store<SharedRoomState>({ messages: [], pads: [this.#pad(0)], questionIndex: 0 });
  }

  /** Listens on a socket that joins the room by itself. Returns how to stop. */
  attach(socket: SignalingSocket): () => void {
    this.#socket = socket;
    const { userRole } = this.#options;
    const on = (event: string, listener: Listener) => {
      this.#listeners.push([event, listener]);
      socket.on(event, listener);
    };
    on('chat-history', (messages: ChatMessage[]) => {
      if (!Array.isArray(messages)) return;
      const own = new Set(this.store.getSnapshot().messages.flatMap(({ id, isOwn }) => (isOwn ? [id] : [])));
      this.store.set({ messages: messages.slice(-MAX_MESSAGES).map((item) => ({ ...item, isOwn: own.has(item.id) })) });
    });
    on('chat-message', (message: ChatMessage) => {
      // The server does not say whose it is, and a panel has several recruiters.
      const sent = message.sender === userRole ? this.#sentMessages.indexOf(message.content) : -1;
      if (sent >= 0) this.#sentMessages.splice(sent, 1);
      const messages = [...this.store.getSnapshot().messages, { ...message, isOwn: sent >= 0 }];
      this.store.set({ messages: messages.slice(-MAX_MESSAGES) });
    });
    on('code-state', (state: CodeState) => {
      this.#loaded(state);
    });
    on('code-update', (update: CodeUpdate) => {
      this.#received(update);
    });
    on('language-change', ({ questionId, language, currentQuestionIndex }: CodeUpdate) => {
      this.#edit(this.#indexOf(questionId, currentQuestionIndex), { questionId, ...(language ? { language } : {}) });
    });
    on('question-change', ({ questionId, currentQuestionIndex }: CodeUpdate) => {
      const index = this.#indexOf(questionId, currentQuestionIndex);
      this.#edit(index, { questionId });
      this.store.set({ questionIndex: index });
    });
    return () => {
      for (const [event, listener] of this.#listeners) socket.off(event, listener);
      for (const { timer } of this.#sync.values()) clearTimeout(timer);
      this.#listeners = [];
      this.#socket = null;
    };
  }

  /** Sends a chat message; whether it went out. It is shown when the server returns it. */
  sendMessage(content: string): boolean {
    const { interviewId, userRole } = this.#options;
    if (!content.trim() || !this.#socket?.connected) return false;
    this.#sentMessages = [...this.#sentMessages, content.trim()].slice(-MAX_MESSAGES);
    this.#socket.emit('chat-message', { interviewId, content: content.trim(), userRole });
    return true;
  }

  /** Changes the text of the current question, here at once and elsewhere soon. */
  setCode(code: string): void {
    const { questionIndex } = this.store.getSnapshot();
    this.#edit(questionIndex, { code });
    this.#sendSoon(questionIndex);
  }

  setLanguage(language: string): void {
    const { questionIndex } = this.store.getSnapshot();
    const { questionId } = this.#edit(questionIndex, { language });
    this.#emit('language-change', { questionId, language, currentQuestionIndex: questionIndex });
  }

  /** Turns everyone to another question; one past the last makes a new one. */
  setQuestion(index: number): void {
    const { questionId } = this.#edit(index, {});
    this.store.set({ questionIndex: index });
    this.#emit('question-change', { questionId, currentQuestionIndex: index });
  }

  #pad(index: number): Pad {
    return { questionId: `question-${index + 1}`, code: '', language: this.#options.defaultLanguage ?? 'javascript' };
  }

  /** Other pages leave out the index, or count beyond what is worth keeping. */
  #indexOf(questionId: string, index: number | null | undefined): number {
    if (Number.isInteger(index) && Number(index) >= 0 && Number(index) < MAX_PADS) return Number(index);
    const { pads, questionIndex } = this.store.getSnapshot();
    const known = pads.findIndex((pad) => pad.questionId === questionId);
    return known >= 0 ? known : questionIndex;
  }

  #edit(index: number, change: Partial<Pad>): Pad {
    const pads = [...this.store.getSnapshot().pads];
    while (pads.length <= index) pads.push(this.#pad(pads.length));
    const pad = { ...(pads[index] as Pad), ...change };
    pads[index] = pad;
    this.store.set({ pads });
    return pad;
  }

  #syncOf(questionId: string): Sync {
    let sync = this.#sync.get(questionId);
    if (!sync) this.#sync.set(questionId, (sync = { base: '', unconfirmed: [], timer: undefined }));
    return sync;
  }

  #sendSoon(index: number): void {
    const pad = this.store.getSnapshot().pads[index];
    if (!pad) return;
    const sync = this.#syncOf(pad.questionId);
    clearTimeout(sync.timer);
    sync.timer = setTimeout(() => {
      sync.timer = undefined;
      const current = this.store.getSnapshot().pads[index];
      if (!current || !this.#socket?.connected) return;
      sync.unconfirmed.push(current.code);
      this.#emit('code-update', { ...current, currentQuestionIndex: index });
    }, SEND_DELAY);
  }

  #received({ questionId, currentQuestionIndex, ...update }: CodeUpdate): void {
    const index = this.#indexOf(questionId, currentQuestionIndex);
    const code = update.code ?? '';
    const sync = this.#syncOf(questionId);
    const echo = sync.unconfirmed.indexOf(code);
    if (echo >= 0) {
      sync.unconfirmed.splice(0, echo + 1);
      sync.base = code;
      return;
    }
    const mine = this.store.getSnapshot().pads[index]?.code ?? '';
    const dirty = sync.timer !== undefined || sync.unconfirmed.length > 0;
    const merged = dirty ? mergeText(sync.base, mine, code) : code;
    sync.base = code;
    this.#edit(index, { questionId, code: merged, ...(update.language ? { language: update.language } : {}) });
    if (merged !== code) this.#sendSoon(index);
  }

  #loaded({ codeUpdates, currentQuestionIndex }: CodeState): void {
    for (const [questionId, update] of Object.entries(codeUpdates ?? {})) {
      const index = this.#indexOf(questionId, update.currentQuestionIndex);
      const code = update.code ?? '';
      const sync = this.#syncOf(questionId);
      const mine = this.store.getSnapshot().pads[index];
      // What was typed while the connection was away is kept.
      const merged = mine?.questionId === questionId ? mergeText(sync.base, mine.code, code) : code;
      sync.base = code;
      sync.unconfirmed = [];
      this.#edit(index, { questionId, code: merged, ...(update.language ? { language: update.language } : {}) });
      if (merged !== code) this.#sendSoon(index);
    }
    const index = this.#indexOf('', currentQuestionIndex);
    this.#edit(index, {});
    this.store.set({ questionIndex: index });
  }

  #emit(event: string, payload: Record<string, unknown>): void {
    if (this.#socket?.connected) this.#socket.emit(event, { interviewId: this.#options.interviewId, ...payload });
  }
}
