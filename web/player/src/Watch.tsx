import { useEffect, useState } from 'react';
import type { Manifest } from './manifest';
import { Icon } from '../../common/Icon';
import { load, Refusal, type Source } from './source';
import { Theatre } from './Theatre';
import { when } from './time';

const AGAIN = 10_000; // ms until a recording that still runs is asked for again

/** A recording from its manifest on: loading, playing, still running, or the reason why there is nothing. */
export function Watch({ source }: { source: Source }) {
  const [manifest, setManifest] = useState<Manifest | null>(null);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [attempt, setAttempt] = useState(0);
  const running = manifest?.state === 'recording';

  useEffect(() => {
    let over = false;
    load(source).then(
      (loaded) => {
        if (over) return;
        setManifest(loaded);
        setRefusal(null);
      },
      (error: unknown) => {
        if (!over) setRefusal(error instanceof Refusal ? error : new Refusal('error', String(error)));
      },
    );
    return () => {
      over = true;
    };
  }, [source, attempt]);

  useEffect(() => {
    if (!running) return;
    const timer = setTimeout(() => setAttempt((n) => n + 1), AGAIN);
    return () => clearTimeout(timer);
  }, [running, attempt]);

  useEffect(() => {
    if (manifest) document.title = `${manifest.interview || 'Interview'}, ${when(manifest.started)}`;
  }, [manifest]);

  if (refusal && !manifest) return <Refused refusal={refusal} onRetry={() => setAttempt((n) => n + 1)} />;
  if (!manifest) {
    return (
      <main className="farewell" aria-busy="true">
        <span className="spinner" />
        <p role="status">Loading the recording</p>
      </main>
    );
  }
  if (running) return <Running manifest={manifest} source={source} />;
  return <Theatre key={manifest.id} manifest={manifest} source={source} />;
}

const TITLES: Record<string, string> = {
  expired: 'This link has expired',
  'bad-link': 'This link does not work',
  'no-recording': 'The recording is not here any more',
  network: 'The server can’t be reached',
};

const HINTS: Record<string, string> = {
  expired: 'Links to recordings are good for a while only. Ask whoever sent it for a new one.',
  'bad-link': 'It may have been cut when it was copied, or the server signs its links anew. Ask for it again.',
  'no-recording': 'It was deleted, or is past the time for which recordings are kept.',
};

function Refused({ refusal, onRetry }: { refusal: Refusal; onRetry: () => void }) {
  const lasting = refusal.code in HINTS;
  return (
    <main className="farewell">
      <Icon name="warning" />
      <h1>{TITLES[refusal.code] ?? 'The recording can’t be shown'}</h1>
      <p>{HINTS[refusal.code] ?? refusal.message}</p>
      {!lasting && (
        <div className="row">
          <button type="button" className="button" onClick={onRetry}>
            Try again
          </button>
        </div>
      )}
    </main>
  );
}

function Running({ manifest, source }: { manifest: Manifest; source: Source }) {
  return (
    <main className="farewell">
      <span className="live-dot" />
      <h1>This interview is still being recorded</h1>
      <p role="status">
        Since {when(manifest.started)}. Its files get their index when it ends; then it plays here. This page looks again by itself.
      </p>
      {source.operator && (
        <div className="row">
          <a className="button" href="recordings">
            All recordings
          </a>
        </div>
      )}
    </main>
  );
}
