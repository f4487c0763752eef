import { useCallback, useMemo, useState } from 'react';
import { useWebRTC, type UserRole } from '@skillsage/hook';
import { CallView } from './CallView';
import { Farewell } from './Farewell';
import { invitationLink, newInterviewId, readInvitation, type Invitation } from './invitation';
import { Lobby } from './Lobby';

/** From the lobby into the call and out again. Camera and microphone live through all of it. */
export function App() {
  const invited = useMemo(() => readInvitation(location.search), []);
  const [interviewId, setInterviewId] = useState(() => invited.interviewId ?? newInterviewId());
  const [role, setRole] = useState<UserRole>(invited.role ?? 'recruiter');
  const [session, setSession] = useState<Invitation | null>(null);
  const [left, setLeft] = useState(false);
  const [speaker, setSpeaker] = useState('');
  const call = useWebRTC(session?.interviewId, session?.role ?? role);
  const { startLocalStream, stopLocalStream } = call;

  const join = useCallback(() => {
    const invitation = { interviewId: interviewId.trim(), role };
    history.replaceState(null, '', invitationLink(invitation));
    setSession(invitation);
    setLeft(false);
  }, [interviewId, role]);

  const leave = useCallback(() => {
    setSession(null);
    setLeft(true);
    stopLocalStream();
  }, [stopLocalStream]);

  const back = useCallback(() => {
    setSession(null);
    setLeft(false);
  }, []);

  const rejoin = useCallback(async () => {
    setSession(null);
    await startLocalStream();
    join();
  }, [join, startLocalStream]);

  if (left) return <Farewell reason="left" onRejoin={rejoin} onBack={back} />;
  if (!session) {
    return (
      <Lobby
        call={call}
        interviewId={interviewId}
        invited={invited.interviewId !== null}
        role={role}
        speaker={speaker}
        onInterviewId={setInterviewId}
        onRole={setRole}
        onSpeaker={setSpeaker}
        onJoin={join}
      />
    );
  }
  if (call.phase === 'ended' || call.phase === 'refused') {
    return <Farewell reason={call.phase} message={call.error} onRejoin={rejoin} onBack={back} />;
  }
  return <CallView call={call} invitation={session} speaker={speaker} onSpeaker={setSpeaker} onLeave={leave} />;
}
