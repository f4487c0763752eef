import type { UseWebRTC } from '@skillsage/hook';
import { Icon, type IconName } from '../../common/Icon';

export type Panel = 'chat' | 'code';

interface ControlBarProps {
  call: UseWebRTC;
  panel: Panel | null;
  unread: number;
  onToggleAudio: () => void;
  onToggleVideo: () => void;
  onToggleScreen: () => void;
  onPanel: (panel: Panel) => void;
  onSettings: () => void;
  onLeave: () => void;
}

const canShare = typeof navigator.mediaDevices?.getDisplayMedia === 'function';

/** What one does during a call, in one row that is always in reach. */
export function ControlBar(props: ControlBarProps) {
  const { call, panel, unread } = props;
  const { stream, audioEnabled, videoEnabled } = call.localMedia;
  const hasAudio = (stream?.getAudioTracks().length ?? 0) > 0;
  const hasVideo = (stream?.getVideoTracks().length ?? 0) > 0;
  return (
    <nav className="controls" aria-label="Call controls">
      <Control
        icon="mic"
        label={audioEnabled ? 'Mute' : 'Unmute'}
        off={!audioEnabled || !hasAudio}
        disabled={!hasAudio}
        shortcut="M"
        onClick={props.onToggleAudio}
      />
      <Control
        icon="camera"
        label={videoEnabled ? 'Camera off' : 'Camera on'}
        short="Camera"
        off={!videoEnabled || !hasVideo}
        disabled={!hasVideo}
        shortcut="V"
        onClick={props.onToggleVideo}
      />
      {canShare && (
        <Control
          icon="screen"
          label={call.isScreenSharing ? 'Stop sharing' : 'Share screen'}
          short={call.isScreenSharing ? 'Stop' : 'Share'}
          active={call.isScreenSharing}
          shortcut="S"
          onClick={props.onToggleScreen}
        />
      )}
      <span className="controls-gap" aria-hidden="true" />
      <Control
        icon="chat"
        label="Chat"
        expanded={panel === 'chat'}
        badge={unread}
        onClick={() => props.onPanel('chat')}
      />
      <Control icon="code" label="Code" expanded={panel === 'code'} onClick={() => props.onPanel('code')} />
      <Control icon="settings" label="Devices" onClick={props.onSettings} />
      <span className="controls-gap" aria-hidden="true" />
      <Control icon="leave" label="Leave" danger onClick={props.onLeave} />
    </nav>
  );
}

interface ControlProps {
  icon: IconName;
  label: string;
  /** The label where it stands under the icon. */
  short?: string;
  off?: boolean;
  active?: boolean;
  danger?: boolean;
  disabled?: boolean;
  expanded?: boolean;
  badge?: number;
  shortcut?: string;
  onClick: () => void;
}

function Control({ icon, label, short, off, active, danger, disabled, expanded, badge, shortcut, onClick }: ControlProps) {
  const classes = ['control', off && 'off', (active || expanded) && 'active', danger && 'danger'];
  return (
    <button
      type="button"
      className={classes.filter(Boolean).join(' ')}
      title={shortcut ? `${label} (${shortcut})` : label}
      aria-label={badge ? `${label}, ${badge} unread` : label}
      aria-expanded={expanded}
      aria-keyshortcuts={shortcut}
      disabled={disabled}
      onClick={onClick}
    >
      <span className="control-icon">
        <Icon name={icon} off={off ?? false} />
        {badge ? <span className="badge">{badge > 9 ? '9+' : badge}</span> : null}
      </span>
      <span className="control-label" aria-hidden="true">
        {short ?? label}
        {shortcut && <kbd>{shortcut}</kbd>}
      </span>
    </button>
  );
}
