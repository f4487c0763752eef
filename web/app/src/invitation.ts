import type { UserRole } from '@skillsage/hook';

export interface Invitation {
  interviewId: string;
  role: UserRole;
}

/** What the address says: `?interview=ID&role=recruiter|candidate`. */
export function readInvitation(search: string): { interviewId: string | null; role: UserRole | null } {
  const query = new URLSearchParams(search);
  const role = query.get('role');
  return {
    interviewId: query.get('interview')?.trim() || null,
    role: role === 'recruiter' || role === 'candidate' ? role : null,
  };
}

export function invitationLink({ interviewId, role }: Invitation): string {
  const link = new URL(location.href);
  link.search = new URLSearchParams({ interview: interviewId, role }).toString();
  link.hash = '';
  return link.href;
}

/** An id that is easy to read out and hard to guess. */
export function newInterviewId(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789';
  const random = crypto.getRandomValues(new Uint8Array(9));
  const text = [...random].map((byte) => letters[byte % letters.length]).join('');
  return `${text.slice(0, 3)}-${text.slice(3, 6)}-${text.slice(6)}`;
}

export const ROLE_NAME: Record<UserRole, string> = { recruiter: 'Recruiter', candidate: 'Candidate' };
