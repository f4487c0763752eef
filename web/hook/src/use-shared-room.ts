import { useEffect, useMemo, useSyncExternalStore } from 'react';
import type { SignalingSocket, UserRole } from './protocol.js';
import { SharedRoom, type SharedRoomState } from './shared-room.js';

export interface UseSharedRoom extends SharedRoomState {
  sendMessage: (content: string) => boolean;
  setCode: (code: string) => void;
  setLanguage: (language: string) => void;
  setQuestion: (index: number) => void;
}

/** Chat and shared code on the socket of a call (`useWebRTC(...).socket`). */
export function useSharedRoom(
  socket: SignalingSocket | null,
  interviewId: string,
  userRole: UserRole,
  defaultLanguage?: string,
): UseSharedRoom {
  const room = useMemo(
    () => new SharedRoom({ interviewId, userRole, defaultLanguage }),
    [interviewId, userRole, defaultLanguage],
  );
  useEffect(() => (socket ? room.attach(socket) : undefined), [room, socket]);
  const state = useSyncExternalStore(room.store.subscribe, room.store.getSnapshot, room.store.getSnapshot);
  const actions = useMemo(
    () => ({
      sendMessage: (content: string) => room.sendMessage(content),
      setCode: (code: string) => room.setCode(code),
      setLanguage: (language: string) => room.setLanguage(language),
      setQuestion: (index: number) => room.setQuestion(index),
    }),
    [room],
  );
  return { ...state, ...actions };
}
