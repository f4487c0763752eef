import { mergeText } from './merge-text.js';
import type { ChatMessage, CodeState, CodeUpdate, Listener, SignalingSocket, UserRole } from './protocol.js';
import { Store } from './store.js';

/** How long typing is collected before it is sent, ms. */
const SEND_DELAY = 250;
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
    on('language-change', (change: Omit<CodeUpdate, 'code'>) => {
      this.#edit(change.currentQuestionIndex, { questionId: change.questionId, language: change.language });
    });
    on('question-change', (change: { questionId: string; currentQuestionIndex: number }) => {
      this.#edit(change.currentQuestionIndex, { questionId: change.questionId });
      this.store.set({ questionIndex: change.currentQuestionIndex });
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

  #edit(index: number, change: Partial<Pad>): Pad {
    const pads = [...this.store.getSnapshot().pads];
    // An index from elsewhere is no reason to fill the memory.
    const at = Number.isInteger(index) && index >= 0 && index < 100 ? index : 0;
    while (pads.length <= at) pads.push(this.#pad(pads.length));
    const pad = { ...(pads[at] as Pad), ...change };
    pads[at] = pad;
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

  #received({ questionId, code, language, currentQuestionIndex }: CodeUpdate): void {
    const sync = this.#syncOf(questionId);
    const echo = sync.unconfirmed.indexOf(code);
    if (echo >= 0) {
      sync.unconfirmed.splice(0, echo + 1);
      sync.base = code;
      return;
    }
    const mine = this.store.getSnapshot().pads[currentQuestionIndex]?.code ?? '';
    const dirty = sync.timer !== undefined || sync.unconfirmed.length > 0;
    const merged = dirty ? mergeText(sync.base, mine, code) : code;
    sync.base = code;
    this.#edit(currentQuestionIndex, { questionId, code: merged, language });
    if (merged !== code) this.#sendSoon(currentQuestionIndex);
  }

  #loaded({ codeUpdates, currentQuestionIndex }: CodeState): void {
    for (const [questionId, update] of Object.entries(codeUpdates ?? {})) {
      const index = update.currentQuestionIndex;
      const sync = this.#syncOf(questionId);
      const mine = this.store.getSnapshot().pads[index];
      // What was typed while the connection was away is kept.
      const merged = mine?.questionId === questionId ? mergeText(sync.base, mine.code, update.code) : update.code;
      sync.base = update.code;
      sync.unconfirmed = [];
      this.#edit(index, { questionId, code: merged, language: update.language });
      if (merged !== update.code) this.#sendSoon(index);
    }
    if (Number.isInteger(currentQuestionIndex)) {
      this.#edit(currentQuestionIndex, {});
      this.store.set({ questionIndex: currentQuestionIndex });
    }
  }

  #emit(event: string, payload: Record<string, unknown>): void {
    if (this.#socket?.connected) this.#socket.emit(event, { interviewId: this.#options.interviewId, ...payload });
  }
}
