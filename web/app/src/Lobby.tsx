import { useEffect, useId, type FormEvent } from 'react';
import { useDevices, type UserRole, type UseWebRTC } from '@skillsage/hook';
import { DevicePickers } from './DevicePickers';
import { Icon } from '../../common/Icon';
import { ROLE_NAME } from './invitation';
import { LevelMeter } from './LevelMeter';
import { MediaTrouble } from './MediaTrouble';
import { Video } from './Video';

interface LobbyProps {
  call: UseWebRTC;
  interviewId: string;
  /** The address named the interview. */
  invited: boolean;
  role: UserRole;
  speaker: string;
  onInterviewId: (id: string) => void;
  onRole: (role: UserRole) => void;
  onSpeaker: (deviceId: string) => void;
  onJoin: () => void;
}

/** Before the call: see yourself, choose devices, say who you are. */
export function Lobby(props: LobbyProps) {
  const { call, interviewId, invited, role, speaker, onInterviewId, onRole, onSpeaker, onJoin } = props;
  const { localMedia, startLocalStream, setAudioEnabled, setVideoEnabled } = call;
  const { stream, starting, failure, audioEnabled, videoEnabled } = localMedia;
  const devices = useDevices(stream);
  const fieldId = useId();

  useEffect(() => {
    void startLocalStream();
  }, [startLocalStream]);

  const join = async (event: FormEvent) => {
    event.preventDefault();
    if (!interviewId.trim()) return;
    // Nothing to show and nothing to say is no reason not to take part.
    if (!stream) await startLocalStream({});
    onJoin();
  };

  const hasVideo = (stream?.getVideoTracks().length ?? 0) > 0;
  const hasAudio = (stream?.getAudioTracks().length ?? 0) > 0;

  return (
    <main className="lobby">
      <header className="lobby-head">
        <span className="wordmark">Skillsage</span>
        <h1>{invited ? 'Ready to join?' : 'Start an interview'}</h1>
      </header>

      <section className="preview" aria-label="Your camera and microphone">
        <div className="preview-picture">
          {hasVideo && videoEnabled && <Video stream={stream} muted mirrored label="Your camera" />}
          {starting && (
            <p className="preview-text" role="status">
              Allow camera and microphone in the browser’s prompt
            </p>
          )}
          {!starting && failure && <MediaTrouble failure={failure} onRetry={() => startLocalStream()} />}
          {!starting && !failure && !(hasVideo && videoEnabled) && (
            <p className="preview-text">{hasVideo ? 'Your camera is off' : 'No camera'}</p>
          )}
          {stream && (hasAudio || hasVideo) && (
            <div className="preview-controls">
              <button
                type="button"
                className="round"
                aria-pressed={!audioEnabled}
                aria-label={audioEnabled ? 'Mute microphone' : 'Unmute microphone'}
                disabled={!hasAudio}
                onClick={() => setAudioEnabled(!audioEnabled)}
              >
                <Icon name="mic" off={!audioEnabled || !hasAudio} />
              </button>
              <button
                type="button"
                className="round"
                aria-pressed={!videoEnabled}
                aria-label={videoEnabled ? 'Turn camera off' : 'Turn camera on'}
                disabled={!hasVideo}
                onClick={() => setVideoEnabled(!videoEnabled)}
              >
                <Icon name="camera" off={!videoEnabled || !hasVideo} />
              </button>
            </div>
          )}
        </div>
        {stream && hasAudio && <LevelMeter stream={stream} muted={!audioEnabled} />}
      </section>

      <form className="lobby-form" onSubmit={join}>
        <div className="field">
          <label htmlFor={fieldId}>Interview</label>
          <input
            id={fieldId}
            value={interviewId}
            onChange={(event) => onInterviewId(event.target.value)}
            required
            maxLength={128}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
          />
        </div>
        <fieldset className="field">
          <legend>You are the</legend>
          <div className="segments">
            {(['recruiter', 'candidate'] as const).map((option) => (
              <label key={option}>
                <input
                  type="radio"
                  name="role"
                  value={option}
                  checked={role === option}
                  onChange={() => onRole(option)}
                />
                <span>{ROLE_NAME[option]}</span>
              </label>
            ))}
          </div>
        </fieldset>
        <DevicePickers call={call} devices={devices} speaker={speaker} onSpeaker={onSpeaker} />
        <button type="submit" className="button primary big" disabled={starting}>
          {starting || hasAudio || hasVideo ? 'Join the interview' : 'Join without camera and microphone'}
        </button>
      </form>
    </main>
  );
}
