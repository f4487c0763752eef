import { useEffect, useRef, useState, type CSSProperties, type Ref } from 'react';
import { Icon } from '../../common/Icon';
import type { MediaFile } from './manifest';
import type { Player, Snapshot } from './player';
import type { Source } from './source';
import { endOf, type Story, type Tile } from './story';
import type { Volumes } from './useVolumes';

const EARLY = 20; // s before it begins that a file is loaded
const LATE = 2; // s after its end that it stays

interface StageProps {
  ref: Ref<HTMLDivElement>;
  story: Story;
  player: Player;
  state: Snapshot;
  source: Source;
  volumes: Volumes;
}

/** All cameras and screens of the moment. */
export function Stage({ ref, story, player, state, source, volumes }: StageProps) {
  const [large, setLarge] = useState('');
  const [begun, setBegun] = useState(false);
  if (state.playing && !begun) setBegun(true);
  const { time } = state;
  const there = story.tiles.filter((tile) =>
    tile.kind === 'screen'
      ? tile.files.some((file) => time >= file.start && time < endOf(file))
      : tile.person.spans.some(({ from, to }) => time >= from && time <= to) || tile.files.some((file) => time >= file.start && time < endOf(file)),
  );
  const chosen = there.filter(({ key }) => key === large);
  const main = chosen.length > 0 ? chosen : there.filter(({ kind }) => kind === 'screen');
  // A tile keeps its element wherever it is shown: moved to another parent, a video would load anew.
  const order = story.tiles.map((tile) => ({ tile, place: !there.includes(tile) ? 'away' : main.includes(tile) ? 'main' : 'side' }));
  const sides = order.filter(({ place }) => place === 'side').length;
  return (
    <div
      ref={ref}
      className={['stage', main.length > 0 && sides > 0 && 'presenting', main.length === 1 && 'one'].filter(Boolean).join(' ')}
      onClick={(event) => {
        if (!(event.target as HTMLElement).closest('button, a')) player.toggle();
      }}
      style={{ '--mains': main.length, '--sides': sides } as CSSProperties}
    >
      {order.map(({ tile, place }) => (
        <TileView
          key={tile.key}
          tile={tile}
          place={place}
          player={player}
          time={time}
          source={source}
          volume={volumes.heard(tile.person.key)}
          large={tile.key === large}
          onLarge={there.length > 1 ? () => setLarge(tile.key === large ? '' : tile.key) : undefined}
        />
      ))}
      {there.length === 0 && <p className="stage-empty">Nobody is here at this moment.</p>}
      {state.waiting && (
        <p className="stage-note" role="status">
          <span className="spinner" /> Loading
        </p>
      )}
      {state.blocked && <p className="stage-note">The browser wants a click before it plays sound.</p>}
      {!begun && player.duration > 0 && (
        <button type="button" className="stage-play" aria-label="Play" onClick={() => player.play()}>
          <Icon name="play" />
        </button>
      )}
    </div>
  );
}

interface TileProps {
  tile: Tile;
  place: string;
  player: Player;
  time: number;
  source: Source;
  volume: number;
  large: boolean;
  onLarge: (() => void) | undefined;
}

function TileView({ tile, place, player, time, source, volume, large, onLarge }: TileProps) {
  const near = tile.files.filter((file) => time > file.start - EARLY && time < endOf(file) + LATE);
  const current = tile.files.findLast((file) => time >= file.start && time < endOf(file));
  const [broken, setBroken] = useState<Record<string, string>>({});
  const trouble = current && broken[current.name];
  const picture = current?.tracks?.some(({ kind, start }) => kind === 'video' && time >= start - 0.1) ?? current !== undefined;
  return (
    <figure className={`tile ${tile.kind} ${place}`} hidden={place === 'away'}>
      {near.map((file) => (
        <MediaView
          key={file.name}
          file={file}
          url={source.file(file.name)}
          player={player}
          volume={volume}
          label={tile.label}
          shown={file === current && picture && !trouble}
          onTrouble={(why) => setBroken((before) => ({ ...before, [file.name]: why }))}
        />
      ))}
      {(!current || !picture) && (
        <div className="avatar">
          <Icon name={tile.kind === 'screen' ? 'monitor' : 'person'} />
        </div>
      )}
      {trouble && (
        <div className="tile-note">
          <p>{trouble}</p>
          <a className="button small" href={`${source.file(current.name)}?download`}>
            Download {current.name}
          </a>
        </div>
      )}
      <figcaption>{tile.label}</figcaption>
      {onLarge && (
        <button type="button" className="round small tile-action" aria-label={large ? `Show ${tile.label} smaller` : `Show ${tile.label} large`} aria-pressed={large} onClick={onLarge}>
          <Icon name={large ? 'small' : 'large'} />
        </button>
      )}
    </figure>
  );
}

interface MediaProps {
  file: MediaFile;
  url: string;
  player: Player;
  volume: number;
  label: string;
  shown: boolean;
  onTrouble: (why: string) => void;
}

/** One file. It is heard as long as it plays, and seen while it is its tile's picture. */
function MediaView({ file, url, player, volume, label, shown, onTrouble }: MediaProps) {
  const element = useRef<HTMLVideoElement>(null);
  const end = endOf(file);

  useEffect(() => {
    const video = element.current;
    return video ? player.add(video, file.start, end) : undefined;
  }, [player, file.start, end]);

  useEffect(() => {
    if (element.current) element.current.volume = volume;
  }, [volume]);

  const failed = () => void explain(url, file).then(onTrouble);
  return (
    <video ref={element} src={url} className={shown ? undefined : 'unseen'} aria-label={label} preload="auto" playsInline disablePictureInPicture onError={failed} />
  );
}

/** Why a file does not play, for people. The element itself only says that it does not. */
async function explain(url: string, file: MediaFile): Promise<string> {
  const response = await fetch(url, { method: 'HEAD' }).catch(() => null);
  if (!response) return 'The server can’t be reached.';
  if (response.status === 410) return 'The link has expired.';
  if (response.status === 404) return `The file ${file.name} is missing.`;
  if (!response.ok) return `The server answered with ${response.status}.`;
  if (!file.complete) return `The file ${file.name} was never finished, and can’t be played here.`;
  const codecs = file.tracks?.map(({ codec }) => codec).join(' and ');
  return `This browser can’t play ${codecs ?? 'this format'} in ${file.container === 'matroska' ? 'Matroska' : 'WebM'}.`;
}
