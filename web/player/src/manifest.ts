/** interview.json, version 1. Times are in seconds on the room clock, on which the timestamps in the files are too. */
export interface Manifest {
  version: number;
  id: string;
  /** Empty for those who watch by a link. */
  interview: string;
  started: string;
  finished: string | null;
  duration: number;
  state: 'recording' | 'finished' | 'failed';
  reason?: string;
  detail?: string;
  consent: { policy: string };
  participants: Participant[];
  files: MediaFile[];
  events: RecordedEvent[];
  droppedEvents?: number;
}

export interface Participant {
  id: string;
  role: string;
  joined: number;
  left: number | null;
}

export interface MediaFile {
  name: string;
  participant: string;
  kind: 'camera' | 'screen';
  container: string;
  /** Of its first frame. */
  start: number;
  duration: number;
  size: number;
  complete: boolean;
  tracks: { kind: 'video' | 'audio'; codec: string; width?: number; height?: number; start: number }[] | null;
}

export interface RecordedEvent {
  at: number;
  type: string;
  participant?: string;
  role?: string;
  by?: string;
  track?: string;
  duration?: number;
  reason?: string;
  detail?: string;
  /** What everybody in the interview got: anything at all, since pages made it. */
  data?: unknown;
}
