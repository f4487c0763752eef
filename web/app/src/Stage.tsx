import type { UseWebRTC } from '@skillsage/hook';
import { Alone } from './Alone';
import { Icon } from '../../common/Icon';
import type { Invitation } from './invitation';
import type { Person } from './people';
import { Quality, QualityWord } from './Quality';
import { ownQuality, qualityOf, type QualityView } from './quality';
import { Video } from './Video';

interface StageProps {
  call: UseWebRTC;
  people: Person[];
  invitation: Invitation;
  speaker: string;
  onBlocked: (element: HTMLVideoElement) => void;
}

/** The pictures: screens large, people beside them, oneself small. */
export function Stage({ call, people, invitation, speaker, onBlocked }: StageProps) {
  const screens = people.filter(({ screen }) => screen !== null);
  const layout = screens.length > 0 ? 'presenting' : people.length > 0 ? 'people' : 'alone';
  return (
    <div className={`stage ${layout}`} data-people={people.length}>
      {screens.length > 0 && (
        <div className="screens">
          {screens.map(({ id, name, screen }) => (
            <figure className="tile screen" key={id}>
              <Video stream={screen} label={`${name}’s screen`} speaker={speaker} onBlocked={onBlocked} />
              <figcaption>
                {name}’s screen
                <QualityMark quality={qualityOf(name, call.connectionQuality[`${id}-screen`])} />
              </figcaption>
              <FullScreenButton />
            </figure>
          ))}
        </div>
      )}
      {layout === 'alone' && <Alone call={call} invitation={invitation} />}
      {people.length > 0 && (
        <div className="cameras">
          {people.map((person) => (
            <PersonTile
              key={person.id}
              person={person}
              quality={qualityOf(person.name, call.connectionQuality[person.id])}
              speaker={speaker}
              onBlocked={onBlocked}
            />
          ))}
        </div>
      )}
      <OwnTile call={call} />
    </div>
  );
}

interface PersonTileProps extends Pick<StageProps, 'speaker' | 'onBlocked'> {
  person: Person;
  quality: QualityView | null;
}

function PersonTile({ person, quality, speaker, onBlocked }: PersonTileProps) {
  const { name, camera, state } = person;
  const note =
    state === 'connected' ? null : state === 'disconnected' || state === 'failed' ? 'Reconnecting…' : 'Connecting…';
  return (
    <figure className="tile camera">
      <span className="avatar" aria-hidden="true">
        <Icon name="person" />
      </span>
      {camera && <Video stream={camera} label={`${name}’s camera`} speaker={speaker} onBlocked={onBlocked} />}
      {note && (
        <span className="tile-note">
          <span className="spinner" aria-hidden="true" />
          {note}
        </span>
      )}
      <figcaption>
        {name}
        <QualityMark quality={note ? null : quality} />
      </figcaption>
    </figure>
  );
}

/** The sign, and words where it is bad; nothing while nothing is known. */
function QualityMark({ quality }: { quality: QualityView | null }) {
  if (!quality) return null;
  return (
    <>
      <Quality quality={quality} />
      <QualityWord quality={quality} />
    </>
  );
}

function OwnTile({ call }: { call: UseWebRTC }) {
  const { stream, videoEnabled, audioEnabled } = call.localMedia;
  const hasVideo = (stream?.getVideoTracks().length ?? 0) > 0;
  const hasAudio = (stream?.getAudioTracks().length ?? 0) > 0;
  return (
    <figure className="tile own">
      <span className="avatar" aria-hidden="true">
        <Icon name="person" />
      </span>
      {hasVideo && videoEnabled && <Video stream={stream} muted mirrored label="Your camera" />}
      <figcaption>
        You
        {(!audioEnabled || !hasAudio) && (
          <>
            <Icon name="mic" off />
            <span className="visually-hidden">, muted</span>
          </>
        )}
        <QualityMark quality={ownQuality(call.connectionQuality)} />
      </figcaption>
    </figure>
  );
}

function FullScreenButton() {
  if (!document.fullscreenEnabled) return null;
  return (
    <button
      type="button"
      className="round small tile-action"
      aria-label="Full screen"
      title="Full screen"
      onClick={(event) => {
        const tile = event.currentTarget.closest('.tile');
        if (document.fullscreenElement) void document.exitFullscreen();
        else void tile?.requestFullscreen().catch(() => undefined);
      }}
    >
      <Icon name="full" />
    </button>
  );
}
