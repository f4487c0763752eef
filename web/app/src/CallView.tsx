import { useCallback, useMemo, useState } from 'react';
import { useDevices, useSharedRoom, type UseWebRTC } from '@skillsage/hook';
import { ChatPanel } from './ChatPanel';
import { CodePane } from './CodePane';
import { ControlBar, type Panel } from './ControlBar';
import { DevicePickers } from './DevicePickers';
import { Dialog } from '../../common/Dialog';
import { Icon } from '../../common/Icon';
import type { Invitation } from './invitation';
import { InviteLinks } from './InviteLinks';
import { MediaStatus } from './MediaStatus';
import { PathLine } from './PathLine';
import { peopleInCall } from './people';
import { RecordButton } from './RecordButton';
import { RecordingBadge } from './RecordingBadge';
import { RecordingNotes } from './RecordingNotes';
import { Stage } from './Stage';
import { Unsupported } from './Unsupported';
import { useAnnouncements } from './useAnnouncements';
import { useShortcuts } from './useShortcuts';

interface CallViewProps {
  call: UseWebRTC;
  invitation: Invitation;
  speaker: string;
  onSpeaker: (deviceId: string) => void;
  onLeave: () => void;
}

/** The call itself: who is there, what they show, and what one can do. */
export function CallView({ call, invitation, speaker, onSpeaker, onLeave }: CallViewProps) {
  const [panel, setPanel] = useState<Panel | null>(null);
  const [dialog, setDialog] = useState<'invite' | 'settings' | null>(null);
  const [blocked, setBlocked] = useState<HTMLVideoElement[]>([]);
  const [dismissed, setDismissed] = useState<string | null>(null);
  const [unrecorded, setUnrecorded] = useState<string | null>(null);
  const shared = useSharedRoom(call.socket, invitation.interviewId, invitation.role);
  const devices = useDevices(call.localMedia.stream);
  const people = useMemo(
    () => peopleInCall(call.peerStates, call.participants, call.remoteStreams),
    [call.peerStates, call.participants, call.remoteStreams],
  );
  const announcements = useAnnouncements(call, people, shared.messages, panel === 'chat');
  const [seen, setSeen] = useState(0);
  const unread = panel === 'chat' ? 0 : Math.max(0, shared.messages.length - seen);

  const { localMedia, setAudioEnabled, setVideoEnabled, startScreenShare, stopScreenShare, isScreenSharing } = call;
  const { audioEnabled, videoEnabled } = localMedia;
  const toggleAudio = useCallback(() => setAudioEnabled(!audioEnabled), [setAudioEnabled, audioEnabled]);
  const toggleVideo = useCallback(() => setVideoEnabled(!videoEnabled), [setVideoEnabled, videoEnabled]);
  const toggleScreen = useCallback(() => {
    if (isScreenSharing) stopScreenShare();
    else void startScreenShare();
  }, [isScreenSharing, startScreenShare, stopScreenShare]);
  useShortcuts({ m: toggleAudio, v: toggleVideo, s: toggleScreen });

  const showPanel = (next: Panel | null) => {
    if (panel === 'chat') setSeen(shared.messages.length);
    setPanel(next);
  };
  const closePanel = () => showPanel(null);
  const noteBlocked = useCallback((element: HTMLVideoElement) => {
    setBlocked((elements) => (elements.includes(element) ? elements : [...elements, element]));
  }, []);
  const playBlocked = () => {
    for (const element of blocked) void element.play().catch(() => undefined);
    setBlocked([]);
  };

  const trouble = call.phase === 'online' && call.error !== dismissed ? call.error : null;

  return (
    <div className={`call ${panel ? `with-${panel}` : ''} ${call.recording?.state === 'recording' ? 'recorded' : ''}`}>
      <header className="call-head">
        <h1>
          <span className="wordmark">Skillsage</span>
          <span className="interview-id" title={invitation.interviewId}>
            {invitation.interviewId}
          </span>
        </h1>
        <RecordingBadge call={call} />
        <PathLine connection={call.connection} path={call.mediaPath} />
        {invitation.role === 'recruiter' && <RecordButton call={call} onTrouble={setUnrecorded} />}
        <button type="button" className="button quiet" onClick={() => setDialog('invite')}>
          <Icon name="invite" />
          <span>Invite</span>
        </button>
      </header>

      <main className="call-main">
        {call.isReconnecting && (
          <p className="banner warn" role="alert">
            <span className="spinner" aria-hidden="true" />
            Connection to the server lost. Reconnecting…
          </p>
        )}
        {blocked.length > 0 && (
          <button type="button" className="banner action" onClick={playBlocked}>
            <Icon name="sound" />
            Your browser waits for a tap. Play picture and sound
          </button>
        )}
        {call.isScreenSharing && (
          <p className="banner share">
            <Icon name="screen" />
            You are sharing your screen
            <button type="button" className="button small" onClick={stopScreenShare}>
              Stop sharing
            </button>
          </p>
        )}
        {localMedia.lost.length > 0 && (
          <p className="banner warn" role="alert">
            <Icon name="warning" />
            {localMedia.lost.includes('video') ? 'Your camera stopped.' : 'Your microphone stopped.'}
            <button type="button" className="button small" onClick={() => setDialog('settings')}>
              Choose another
            </button>
          </p>
        )}
        {unrecorded && (
          <p className="banner warn" role="alert">
            <Icon name="warning" />
            <span>Recording: {unrecorded}.</span>
            <button type="button" className="button small" onClick={() => setUnrecorded(null)}>
              Dismiss
            </button>
          </p>
        )}
        {trouble && (
          <p className="banner warn" role="alert">
            <Icon name="warning" />
            <span>{trouble}</span>
            <button type="button" className="button small" onClick={() => setDismissed(trouble)}>
              Dismiss
            </button>
          </p>
        )}
        <RecordingNotes call={call} people={people} />
        <MediaStatus troubles={call.mediaTroubles} people={people} />
        <Unsupported noted={call.unsupported} people={people} />
        <Stage
          call={call}
          people={people}
          invitation={invitation}
          speaker={speaker}
          onBlocked={noteBlocked}
        />
      </main>

      {panel === 'chat' && <ChatPanel messages={shared.messages} onSend={shared.sendMessage} onClose={closePanel} />}
      {panel === 'code' && <CodePane room={shared} onClose={closePanel} />}

      <ControlBar
        call={call}
        panel={panel}
        unread={unread}
        onToggleAudio={toggleAudio}
        onToggleVideo={toggleVideo}
        onToggleScreen={toggleScreen}
        onPanel={(next) => showPanel(panel === next ? null : next)}
        onSettings={() => setDialog('settings')}
        onLeave={onLeave}
      />

      <Dialog open={dialog === 'invite'} title="Invite to this interview" onClose={() => setDialog(null)}>
        <InviteLinks invitation={invitation} />
      </Dialog>
      <Dialog open={dialog === 'settings'} title="Devices" onClose={() => setDialog(null)}>
        <DevicePickers call={call} devices={devices} speaker={speaker} onSpeaker={onSpeaker} />
        {!localMedia.stream?.getTracks().length && (
          <button type="button" className="button" onClick={() => void call.startLocalStream()}>
            Start camera and microphone
          </button>
        )}
      </Dialog>

      <div ref={announcements} className="visually-hidden" role="status" aria-live="polite" />
    </div>
  );
}
