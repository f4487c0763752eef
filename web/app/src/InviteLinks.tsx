import { CopyField } from './CopyField';
import { invitationLink, type Invitation } from './invitation';

/** Who is a recruiter may invite to either side; a candidate only another candidate's page. */
export function InviteLinks({ invitation }: { invitation: Invitation }) {
  return (
    <>
      <CopyField label="Candidate’s link" value={invitationLink({ ...invitation, role: 'candidate' })} />
      {invitation.role === 'recruiter' && (
        <CopyField label="Link for a further recruiter" value={invitationLink({ ...invitation, role: 'recruiter' })} />
      )}
    </>
  );
}
