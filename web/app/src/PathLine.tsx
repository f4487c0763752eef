import type { CallPhase, MediaPath } from '@skillsage/hook';

function describe(path: MediaPath): string {
  const route = { relay: 'Through the server', p2p: 'Browser to browser', unknown: '' }[path.route];
  const parts = [route, path.protocol.toUpperCase(), path.turn ? 'TURN' : ''];
  if (path.roundTripMs !== null) parts.push(`${path.roundTripMs} ms`);
  return parts.filter(Boolean).join(' · ');
}

/** One line on how the media travels. */
export function PathLine({ phase, path }: { phase: CallPhase; path: MediaPath | null }) {
  const good = phase === 'online' && path !== null;
  const text = phase === 'reconnecting' ? 'Reconnecting' : phase === 'connecting' ? 'Connecting' : path ? describe(path) : 'No media yet';
  return (
    <p className={`path ${good ? 'good' : phase === 'reconnecting' ? 'bad' : ''}`} title="How picture and sound travel">
      <span className="path-dot" aria-hidden="true" />
      <span className="visually-hidden">Media: </span>
      {text}
    </p>
  );
}
