export { useWebRTC, type UseWebRTC, type UseWebRTCOptions } from './use-webrtc.js';
export { useSharedRoom, type UseSharedRoom } from './use-shared-room.js';
export { useDevices, type Devices } from './use-devices.js';
export type { CallConnection, ConnectionReason, ConnectionState } from './connection.js';
export { Call, DEFAULT_ICE_SERVERS, type CallOptions, type CallPhase, type CallState } from './call.js';
export {
  DEFAULT_CONSTRAINTS,
  LocalMedia,
  type LocalMediaState,
  type MediaFailure,
  type MediaKind,
} from './local-media.js';
export { ScreenCapture } from './screen-capture.js';
export { SharedRoom, type Pad, type SharedRoomState } from './shared-room.js';
export { moveCaret } from './merge-text.js';
export type { MediaPath } from './media-path.js';
export type {
  ChatMessage,
  ConnectionQuality,
  MediaTrouble,
  Participants,
  QualityLevel,
  RecordingAnswer,
  RecordingStatus,
  SignalingSocket,
  UnsupportedMedia,
  UserRole,
} from './protocol.js';
