import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { Call, type CallOptions, type CallPhase, type CallState } from './call.js';
import type { CallConnection } from './connection.js';
import { LocalMedia, type LocalMediaState, type MediaKind } from './local-media.js';
import type { MediaPath } from './media-path.js';
import type { RecordingAnswer, RecordingStatus, SignalingSocket, UserRole } from './protocol.js';
import { ScreenCapture } from './screen-capture.js';

export type UseWebRTCOptions = Pick<
  CallOptions,
  'url' | 'socket' | 'auth' | 'iceServers' | 'constraints' | 'displayMedia' | 'autoStart'
>;

export interface UseWebRTC {
  isConnected: boolean;
  /** Cameras by user id, screens by `<user id>-screen`. */
  remoteStreams: Record<string, MediaStream>;
  isScreenSharing: boolean;
  participants: CallState['participants'];
  error: string | null;
  /** Starts camera and microphone; null when that failed. `{}` takes part without either. */
  startLocalStream: (constraints?: MediaStreamConstraints) => Promise<MediaStream | null>;
  stopLocalStream: () => void;
  startScreenShare: (options?: DisplayMediaStreamOptions) => Promise<MediaStream | null>;
  stopScreenShare: () => void;
  localStreamRef: { readonly current: MediaStream | null };
  screenStreamRef: { readonly current: MediaStream | null };

  /** Where the session stands. */
  phase: CallPhase;
  /** The server is out of reach for the moment; media may go on. */
  isReconnecting: boolean;
  selfId: string | null;
  /** How all of it is connected, in one word, and why it is not. */
  connection: CallConnection;
  /** The connection with each person who takes part in the call. */
  peerStates: CallState['peerStates'];
  mediaPath: MediaPath | null;
  /** How the connections do, by the keys of `remoteStreams`; empty where the server does not tell. */
  connectionQuality: CallState['connectionQuality'];
  /** What cannot be shown of whom, because both browsers share no format for it. */
  unsupported: CallState['unsupported'];
  /** Whose media do not reach the server, the own included; empty where the server does not tell. */
  mediaTroubles: CallState['mediaTroubles'];
  /** Whether the interview is recorded; null where the server does not record. */
  recording: RecordingStatus | null;
  /** Starts to record the interview, which only a recruiter may. None of the three ever rejects. */
  startRecording: () => Promise<RecordingAnswer>;
  stopRecording: () => Promise<RecordingAnswer>;
  /** Says whether one agrees to be recorded; it may be said again, and otherwise. */
  giveConsent: (agreed: boolean) => Promise<RecordingAnswer>;
  /** The call's own socket, for further events; null before the start. */
  socket: SignalingSocket | null;
  localMedia: LocalMediaState;
  setAudioEnabled: (enabled: boolean) => void;
  setVideoEnabled: (enabled: boolean) => void;
  /** Changes the camera or microphone during the call; whether that worked. */
  switchDevice: (kind: MediaKind, deviceId: string) => Promise<boolean>;
}

/**
 * An interview call. It joins when `interviewId` is not empty and leaves on unmount, or when id,
 * role, url or socket change. Camera and microphone live as long as the component, so that a
 * preview before the call goes on in it. The other options are read when a call starts.
 */
export function useWebRTC(
  interviewId: string | null | undefined,
  userRole: UserRole,
  options: UseWebRTCOptions = {},
): UseWebRTC {
  const [media] = useState(() => new LocalMedia());
  const [screen] = useState(() => new ScreenCapture());
  const { url, socket } = options;
  // The call does nothing before `start`, so a render that is thrown away leaves nothing behind.
  const call = useMemo(
    () => new Call({ ...options, interviewId: interviewId ?? '', userRole, media, screen }),
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the other options are read once
    [interviewId, userRole, url, socket, media, screen],
  );

  useEffect(() => {
    if (!interviewId) return undefined;
    call.start();
    return () => {
      call.close();
    };
  }, [call, interviewId]);

  useEffect(() => {
    const resume = () => {
      if (document.visibilityState === 'visible') void media.recover();
    };
    document.addEventListener('visibilitychange', resume);
    return () => {
      document.removeEventListener('visibilitychange', resume);
      media.stop();
    };
  }, [media]);

  const state = useSyncExternalStore(call.store.subscribe, call.store.getSnapshot, call.store.getSnapshot);
  const localMedia = useSyncExternalStore(media.store.subscribe, media.store.getSnapshot, media.store.getSnapshot);

  const { constraints } = options;
  const [defaults] = useState(constraints);
  const startLocalStream = useCallback(
    (wanted?: MediaStreamConstraints) => media.start(wanted ?? defaults),
    [media, defaults],
  );
  const stopLocalStream = useCallback(() => {
    media.stop();
  }, [media]);
  const startScreenShare = useCallback((wanted?: DisplayMediaStreamOptions) => call.startScreenShare(wanted), [call]);
  const stopScreenShare = useCallback(() => {
    call.stopScreenShare();
  }, [call]);
  const startRecording = useCallback(() => call.startRecording(), [call]);
  const stopRecording = useCallback(() => call.stopRecording(), [call]);
  const giveConsent = useCallback((agreed: boolean) => call.giveConsent(agreed), [call]);
  const setAudioEnabled = useCallback((enabled: boolean) => media.setEnabled('audio', enabled), [media]);
  const setVideoEnabled = useCallback((enabled: boolean) => media.setEnabled('video', enabled), [media]);
  const switchDevice = useCallback(
    (kind: MediaKind, deviceId: string) => media.switchDevice(kind, deviceId),
    [media],
  );

  return {
    isConnected: state.isConnected,
    remoteStreams: state.remoteStreams,
    isScreenSharing: state.isScreenSharing,
    participants: state.participants,
    error: state.error ?? (localMedia.failure ? `Media error: ${localMedia.failure.message}` : null),
    startLocalStream,
    stopLocalStream,
    startScreenShare,
    stopScreenShare,
    localStreamRef: media.ref,
    screenStreamRef: screen.ref,
    phase: state.phase,
    isReconnecting: state.phase === 'reconnecting',
    selfId: state.selfId,
    connection: state.connection,
    peerStates: state.peerStates,
    mediaPath: state.mediaPath,
    connectionQuality: state.connectionQuality,
    unsupported: state.unsupported,
    mediaTroubles: state.mediaTroubles,
    recording: state.recording,
    startRecording,
    stopRecording,
    giveConsent,
    socket: state.socket,
    localMedia,
    setAudioEnabled,
    setVideoEnabled,
    switchDevice,
  };
}
