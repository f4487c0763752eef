import { Icon } from '../../common/Icon';
import type { Manifest, MediaFile } from './manifest';
import type { Source } from './source';
import type { Story } from './story';
import { bytes, clock } from './time';
import type { Volumes } from './useVolumes';

interface PeopleProps {
  manifest: Manifest;
  story: Story;
  source: Source;
  volumes: Volumes;
}

/** Who was there, how loud they are, and what there is of them. */
export function People({ manifest, story, source, volumes }: PeopleProps) {
  if (story.people.length === 0) return <p className="pane-empty">Nobody took part.</p>;
  return (
    <ul className="people">
      {story.people.map(({ key, name, spans, files }) => {
        const { level, muted } = volumes.of(key);
        return (
          <li key={key} className="person">
            <h2>{name}</h2>
            <p className="person-spans">{spans.map(({ from, to }) => `${clock(from, story.duration)} – ${clock(to, story.duration)}`).join(', ')}</p>
            <div className="volume">
              <button
                type="button"
                className="round small"
                aria-label={muted ? `Hear ${name}` : `Mute ${name}`}
                aria-pressed={muted}
                onClick={() => volumes.set(key, { muted: !muted })}
              >
                <Icon name={muted || level === 0 ? 'muted' : 'sound'} />
              </button>
              <input
                type="range"
                min={0}
                max={1}
                step={0.05}
                value={muted ? 0 : level}
                aria-label={`Volume of ${name}`}
                aria-valuetext={`${Math.round((muted ? 0 : level) * 100)} %`}
                onChange={(event) => volumes.set(key, { level: Number(event.target.value), muted: false })}
              />
            </div>
            <ul className="files">
              {files.map((file) => (
                <li key={file.name}>
                  <a href={`${source.file(file.name)}?download`} download>
                    <Icon name="down" />
                    {file.name}
                  </a>
                  <span className="file-facts">{factsOf(file, story.duration)}</span>
                </li>
              ))}
            </ul>
          </li>
        );
      })}
      {(manifest.droppedEvents ?? 0) > 0 && <li className="pane-note">{manifest.droppedEvents} events were beyond what a recording may hold, and are not shown.</li>}
    </ul>
  );
}

function factsOf(file: MediaFile, whole: number): string {
  const video = file.tracks?.findLast(({ kind }) => kind === 'video');
  return [
    file.kind,
    file.tracks?.map(({ codec }) => codec).join(' + '),
    video?.width && `${video.width}×${video.height}`,
    clock(file.duration, whole),
    bytes(file.size),
    !file.complete && 'not finished',
  ]
    .filter(Boolean)
    .join(', ');
}
