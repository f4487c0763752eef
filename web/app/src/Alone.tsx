import type { UseWebRTC } from '@skillsage/hook';
import { CopyField } from './CopyField';
import { invitationLink, type Invitation } from './invitation';

/** Nobody to see yet: what one waits for, and what one can do about it. */
export function Alone({ call, invitation }: { call: UseWebRTC; invitation: Invitation }) {
  const other = invitation.role === 'recruiter' ? 'candidate' : 'recruiter';
  const present = Object.entries(call.participants).some(
    ([id, { userRole }]) => id !== call.selfId && userRole === other,
  );
  if (call.phase === 'connecting') {
    return (
      <div className="alone">
        <span className="spinner" aria-hidden="true" />
        <h2>Connecting to the interview…</h2>
        {call.error && <p role="alert">{call.error}</p>}
      </div>
    );
  }
  if (present) {
    return (
      <div className="alone">
        <span className="spinner" aria-hidden="true" />
        <h2>The {other} is here</h2>
        <p>Their camera is about to start.</p>
      </div>
    );
  }
  return (
    <div className="alone">
      <h2>You’re the only one here</h2>
      {other === 'candidate' ? (
        <>
          <p>Send this link to the candidate. The call starts when they join.</p>
          <CopyField label="Candidate’s link" value={invitationLink({ ...invitation, role: 'candidate' })} />
        </>
      ) : (
        <p>The call starts by itself when the recruiter joins.</p>
      )}
    </div>
  );
}
