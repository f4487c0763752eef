import { useState } from 'react';
import { Dialog } from '../../common/Dialog';
import { Icon } from '../../common/Icon';
import type { Person } from './people';
import { namesOf, whyNot, type RecordingCall } from './recording';
import { WhatIsRecorded } from './RecordingBadge';

interface RecordingNotesProps {
  call: RecordingCall;
  people: Person[];
}

/** Asks whether one agrees, tells whose word is waited for, and why a recording has ended. */
export function RecordingNotes({ call, people }: RecordingNotesProps) {
  const { recording, selfId, giveConsent } = call;
  const [postponed, setPostponed] = useState(false);
  const [dismissed, setDismissed] = useState<string | null>(null);
  const [unsaid, setUnsaid] = useState<string | null>(null);
  // What was seen before it was over: whoever comes later has no use for the end of what was before.
  const [witnessed, setWitnessed] = useState<'waiting' | 'recording' | null>(null);
  if (!recording) return null;
  const { state, pending } = recording;
  const waits = state === 'waiting';
  const runs = state === 'recording';
  const asked = (waits || runs) && selfId !== null && pending.includes(selfId);
  if ((waits || runs) && witnessed !== state) setWitnessed(state);
  if ((waits || runs) && dismissed !== null) setDismissed(null);
  if (!asked && postponed) setPostponed(false);
  // Where all interviews are recorded everybody takes that for granted.
  const missed = state === 'failed' && recording.mode === 'always';
  const over = !waits && !runs && (witnessed || missed) ? whyNot(recording, witnessed === 'recording', selfId, people) : null;
  const answer = async (agreed: boolean) => {
    const said = await giveConsent(agreed);
    setUnsaid(said.ok ? null : said.message);
  };
  return (
    <>
      {asked && postponed && (
        <p className="banner recording-note" role="status">
          <span>{waits ? 'Nothing is recorded until you agree.' : 'You are left out of the recording until you agree.'}</span>
          <button type="button" className="button small" onClick={() => setPostponed(false)}>
            Answer
          </button>
        </p>
      )}
      {waits && !asked && (
        <p className="banner recording-note" role="status">
          <span className="spinner" aria-hidden="true" />
          <span>
            {pending.length > 0
              ? `Nothing is recorded yet. Waiting for ${namesOf(pending, selfId, people)} to agree.`
              : 'Nothing is recorded yet. The recording starts in a moment.'}
          </span>
        </p>
      )}
      {over && over !== dismissed && (
        <p className="banner warn recording-over" role="alert">
          <Icon name="warning" />
          <span>{over}</span>
          <button type="button" className="button small" onClick={() => setDismissed(over)}>
            Dismiss
          </button>
        </p>
      )}
      <Dialog
        open={asked && !postponed}
        title={waits ? 'May this interview be recorded?' : 'This interview is recorded. Do you agree?'}
        onClose={() => setPostponed(true)}
      >
        <WhatIsRecorded />
        <p>
          {waits
            ? 'Nothing is recorded until everybody has agreed. If you do not agree, the interview goes on without a recording.'
            : 'You are left out of it until you agree. If you do not agree, the recording ends, and the interview goes on.'}{' '}
          You can change your mind later.
        </p>
        {unsaid && (
          <p className="unsaid" role="alert">
            Your answer was not taken: {unsaid}.
          </p>
        )}
        <div className="answers">
          <button type="button" className="button" onClick={() => void answer(true)}>
            I agree
          </button>
          <button type="button" className="button" onClick={() => void answer(false)}>
            I do not agree
          </button>
        </div>
      </Dialog>
    </>
  );
}
