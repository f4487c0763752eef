import { useState } from 'react';
import { Icon } from '../../common/Icon';
import type { RecordingCall } from './recording';

interface RecordButtonProps {
  call: RecordingCall;
  /** What went wrong, in the server's words. */
  onTrouble: (message: string) => void;
}

/** Starts and stops the recording, where the server records. */
export function RecordButton({ call, onTrouble }: RecordButtonProps) {
  const { recording, startRecording, stopRecording } = call;
  const [busy, setBusy] = useState(false);
  if (!recording) return null;
  const waits = recording.state === 'waiting';
  const runs = waits || recording.state === 'recording';
  const label = waits ? 'Cancel the recording' : runs ? 'Stop the recording' : 'Record the interview';
  const act = async () => {
    setBusy(true);
    const answer = await (runs ? stopRecording() : startRecording());
    setBusy(false);
    if (!answer.ok) onTrouble(answer.message);
  };
  return (
    <button
      type="button"
      className="button quiet record"
      aria-label={label}
      title={label}
      disabled={busy}
      onClick={() => void act()}
    >
      <Icon name={runs ? 'stop' : 'record'} />
      <span aria-hidden="true">
        {waits ? 'Cancel' : runs ? 'Stop' : 'Record'}
        {runs && <span className="wide-only"> recording</span>}
      </span>
    </button>
  );
}
