import { useCallback, useEffect, useState, type FormEvent } from 'react';
import { Dialog } from '../../common/Dialog';
import { Icon } from '../../common/Icon';
import { ask, send } from './source';
import { bytes, clock, when } from './time';

interface Listed {
  id: string;
  interview: string;
  started: string | null;
  duration: number;
  state: string;
  reason?: string;
  participants: { id: string; role: string }[];
  size: number;
  error?: string;
}

interface Live {
  interview: string;
  state: string;
  since?: string;
  pending: string[] | null;
}

const REASONS: Record<string, string> = {
  disk: 'Disk was full',
  error: 'Broke off',
  crash: 'Server crashed',
  shutdown: 'Server was stopped',
  consent: 'Consent refused',
  limit: 'Longest possible',
};

const POLL = 5000; // ms between two looks at what is being recorded

const said = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** All recordings, for the operator. */
export function List() {
  const [interview, setInterview] = useState(() => new URLSearchParams(location.search).get('interview') ?? '');
  const [draft, setDraft] = useState(interview);
  const [recordings, setRecordings] = useState<Listed[] | null>(null);
  const [next, setNext] = useState('');
  const [trouble, setTrouble] = useState('');
  const [sharing, setSharing] = useState<Listed | null>(null);
  const [deleting, setDeleting] = useState<Listed | null>(null);

  const more = useCallback(
    async (after: string) => {
      const query = new URLSearchParams({ ...(interview && { interview }), ...(after && { after }) });
      try {
        const page = await ask<{ recordings: Listed[]; next?: string }>(`api/recordings?${query}`);
        setRecordings((before) => [...(after ? (before ?? []) : []), ...page.recordings]);
        setNext(page.next ?? '');
        setTrouble('');
      } catch (error) {
        setTrouble(said(error));
      }
    },
    [interview],
  );

  useEffect(() => {
    document.title = 'Skillsage recordings';
    // eslint-disable-next-line react-hooks/set-state-in-effect -- it is set when the server has answered
    void more('');
  }, [more]);

  const filter = (event: FormEvent) => {
    event.preventDefault();
    const chosen = draft.trim();
    setRecordings(null);
    setInterview(chosen);
    history.replaceState(null, '', chosen ? `?interview=${encodeURIComponent(chosen)}` : location.pathname);
    if (chosen === interview) void more('');
  };

  return (
    <main className="shelf">
      <header className="shelf-head">
        <span className="wordmark">Skillsage</span>
        <h1>Recordings</h1>
        <form className="filter" role="search" onSubmit={filter}>
          <input type="search" value={draft} onChange={(event) => setDraft(event.target.value)} aria-label="Interview" placeholder="Id of an interview" autoComplete="off" />
          <button type="submit" className="button">
            Show
          </button>
        </form>
      </header>
      <LiveList onEnd={() => void more('')} />
      {trouble && (
        <p className="banner warn" role="alert">
          <Icon name="warning" />
          <span>{trouble}</span>
        </p>
      )}
      {recordings?.length === 0 && (
        <p className="shelf-empty">
          <strong>{interview ? 'This interview has no recordings' : 'Nothing has been recorded yet'}</strong>
          <span>{interview ? 'The id has to be the whole one, as the pages have it.' : 'Recordings appear here as soon as they start.'}</span>
        </p>
      )}
      {recordings && recordings.length > 0 && (
        <ul className="recordings" aria-label="Recordings">
          {recordings.map((recording) => (
            <Row key={recording.id} recording={recording} onShare={() => setSharing(recording)} onDelete={() => setDeleting(recording)} />
          ))}
        </ul>
      )}
      {next && (
        <button type="button" className="button shelf-more" onClick={() => void more(next)}>
          Older recordings
        </button>
      )}
      {sharing && <Share recording={sharing} onClose={() => setSharing(null)} />}
      {deleting && (
        <Delete
          recording={deleting}
          onClose={() => setDeleting(null)}
          onDone={() => {
            setRecordings((before) => before?.filter(({ id }) => id !== deleting.id) ?? null);
            setDeleting(null);
          }}
        />
      )}
    </main>
  );
}

const nameOf = ({ interview, id }: Listed) => interview || id;

function Row({ recording, onShare, onDelete }: { recording: Listed; onShare: () => void; onDelete: () => void }) {
  const { id, started, duration, state, reason, participants, size, error } = recording;
  const running = state === 'recording';
  const roles = [...new Set(participants.map(({ role }) => role))].filter(Boolean).join(', ');
  const name = nameOf(recording);
  const page = `?recording=${encodeURIComponent(id)}`;
  return (
    <li>
      <div className="recording-text">
        <h2 className="recording-name">
          {error ? name : <a href={page}>{name}</a>}
        </h2>
        <p className="recording-facts">
          {started && <time dateTime={started}>{when(started)}</time>}
          {!running && !error && <span>{clock(duration)}</span>}
          {roles && <span>{roles}</span>}
          <span>{bytes(size)}</span>
          {error && <span>{error}</span>}
        </p>
      </div>
      <span className="chip-cell">
        {running ? (
          <span className="chip live">Recording</span>
        ) : error ? (
          <span className="chip warn">Damaged</span>
        ) : REASONS[reason ?? ''] ? (
          <span className="chip warn">{REASONS[reason ?? '']}</span>
        ) : null}
      </span>
      <div className="recording-actions">
        {!error && (
          <>
            <a className="button small" href={page}>
              Watch<span className="visually-hidden"> {name}</span>
            </a>
            <button type="button" className="round small" aria-label={`Link to ${name}`} title="Link for others" onClick={onShare}>
              <Icon name="link" />
            </button>
          </>
        )}
        <button type="button" className="round small" aria-label={`Delete ${name}`} title="Delete" disabled={running} onClick={onDelete}>
          <Icon name="bin" />
        </button>
      </div>
    </li>
  );
}

/** What is being recorded at this moment, with a way to stop it. */
function LiveList({ onEnd }: { onEnd: () => void }) {
  const [live, setLive] = useState<Live[]>([]);
  const [trouble, setTrouble] = useState('');

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const look = async () => {
      // A server that records nothing any more has no answer; its recordings are there all the same.
      const answer = await ask<{ interviews: Live[] }>('api/recorder').catch(() => null);
      if (over) return;
      setLive(answer?.interviews ?? []);
      timer = setTimeout(() => void look(), POLL);
    };
    void look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, []);

  const stop = async (interview: string) => {
    try {
      await send('api/recorder/stop', { interview });
      setLive((before) => before.filter((one) => one.interview !== interview));
      setTrouble('');
      onEnd();
    } catch (error) {
      setTrouble(said(error));
    }
  };

  if (live.length === 0) return null;
  return (
    <section className="live" aria-label="Being recorded">
      <h2>Being recorded</h2>
      {trouble && <p className="dialog-error" role="alert">{trouble}</p>}
      <ul className="live-list">
        {live.map(({ interview, state, since, pending }) => (
          <li key={interview}>
            <span className="live-dot small" />
            <span className="live-name">{interview}</span>
            <span className="live-what">
              {state === 'waiting' ? `waits for the consent of ${pending?.length ?? 0}` : state === 'failed' ? 'failed' : `since ${when(since)}`}
            </span>
            <button type="button" className="button small" onClick={() => void stop(interview)}>
              Stop<span className="visually-hidden"> recording {interview}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

const TIMES: [string, string][] = [
  ['1h', 'an hour'],
  ['24h', 'a day'],
  ['168h', 'a week'],
  ['720h', '30 days'],
];

/** A link for somebody who has no token. */
function Share({ recording, onClose }: { recording: Listed; onClose: () => void }) {
  const [ttl, setTTL] = useState('24h');
  const [link, setLink] = useState<{ path: string; url?: string; expires: string } | null>(null);
  const [trouble, setTrouble] = useState('');
  const [copied, setCopied] = useState(false);

  const make = async () => {
    try {
      setLink(await send(`api/recordings/${encodeURIComponent(recording.id)}/links`, { ttl }));
      setTrouble('');
      setCopied(false);
    } catch (error) {
      setTrouble(said(error));
    }
  };
  // Below /admin/ of the public listener, the link is at the same address as this page.
  const url = link && (link.url ?? (location.pathname.startsWith('/admin/') ? location.origin + link.path : link.path));
  const copy = () => {
    if (!url) return;
    navigator.clipboard.writeText(url).then(
      () => setCopied(true),
      () => setTrouble('The browser does not let this page copy; select the link and copy it.'),
    );
  };
  return (
    <Dialog open title="Link to the recording" onClose={onClose}>
      <p className="dialog-text">Whoever has the link can watch and download {nameOf(recording)}, and nothing else, until it expires.</p>
      <div className="field">
        <label htmlFor="ttl">Good for</label>
        <select id="ttl" value={ttl} onChange={(event) => setTTL(event.target.value)}>
          {TIMES.map(([value, name]) => (
            <option key={value} value={value}>
              {name}
            </option>
          ))}
        </select>
      </div>
      {url && (
        <div className="field">
          <label htmlFor="link">Expires {when(link.expires)}</label>
          <input id="link" readOnly value={url} onFocus={(event) => event.target.select()} />
          {url.startsWith('/') && <p className="dialog-text">Put the address of the interview pages before it.</p>}
        </div>
      )}
      {trouble && <p className="dialog-error" role="alert">{trouble}</p>}
      <div className="row">
        {url && (
          <button type="button" className="button" onClick={copy}>
            <Icon name={copied ? 'check' : 'link'} />
            {copied ? 'Copied' : 'Copy'}
          </button>
        )}
        <button type="button" className="button primary" onClick={() => void make()}>
          Make a link
        </button>
      </div>
    </Dialog>
  );
}

function Delete({ recording, onClose, onDone }: { recording: Listed; onClose: () => void; onDone: () => void }) {
  const [trouble, setTrouble] = useState('');
  const remove = async () => {
    try {
      await ask(`api/recordings/${encodeURIComponent(recording.id)}`, { method: 'DELETE' });
      onDone();
    } catch (error) {
      setTrouble(said(error));
    }
  };
  return (
    <Dialog open title="Delete the recording?" onClose={onClose}>
      <p className="dialog-text">
        {nameOf(recording)}
        {recording.started && `, ${when(recording.started)}`}. Its files are gone for good, and links to it lead nowhere.
      </p>
      {trouble && <p className="dialog-error" role="alert">{trouble}</p>}
      <div className="row">
        <button type="button" className="button" onClick={onClose}>
          Keep it
        </button>
        <button type="button" className="button danger" onClick={() => void remove()}>
          Delete
        </button>
      </div>
    </Dialog>
  );
}
