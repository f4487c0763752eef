import { useState } from 'react';
import { Dialog } from '../../common/Dialog';
import type { RecordingCall } from './recording';

/** The red sign that nobody misses, for as long as a recording runs. It tells more when pressed. */
export function RecordingBadge({ call }: { call: RecordingCall }) {
  const { recording, selfId, giveConsent } = call;
  const [open, setOpen] = useState(false);
  if (recording?.state !== 'recording') return null;
  const close = () => setOpen(false);
  const asked = recording.consent === 'required';
  const unheard = selfId !== null && recording.pending.includes(selfId);
  return (
    <>
      <button type="button" className="recording-badge" aria-haspopup="dialog" onClick={() => setOpen(true)}>
        <span className="recording-dot" aria-hidden="true" />
        Recording
      </button>
      <Dialog open={open} title="This interview is recorded" onClose={close}>
        <WhatIsRecorded />
        {unheard && <p>You have not agreed yet, so you are left out.</p>}
        {asked && !unheard && (
          <>
            <p>If you do not agree to it, or no longer do, the recording ends.</p>
            <button
              type="button"
              className="button"
              onClick={() => {
                close();
                void giveConsent(false);
              }}
            >
              I do not agree
            </button>
          </>
        )}
        {!asked && <p>If you do not want that, say so, or leave the interview.</p>}
      </Dialog>
    </>
  );
}

/** What stands in a recording, and for whom. */
export function WhatIsRecorded() {
  return (
    <p>
      A recording holds everybody’s camera and voice, the screens that are shared, and what is written in chat and code. It is
      kept by those who run this interview, so that it can be watched later.
    </p>
  );
}
