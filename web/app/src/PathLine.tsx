import type { CallConnection, MediaPath } from '@skillsage/hook';

function describe(path: MediaPath): string {
  const route = { relay: 'Through the server', p2p: 'Browser to browser', unknown: '' }[path.route];
  const parts = [route, path.protocol.toUpperCase(), path.turn ? 'TURN' : ''];
  if (path.roundTripMs !== null) parts.push(`${path.roundTripMs} ms`);
  return parts.filter(Boolean).join(' · ');
}

function sentence({ state }: CallConnection, path: MediaPath | null): string {
  if (state === 'reconnecting') return 'Reconnecting';
  if (state === 'failed') return 'No way through the network';
  if (path) return describe(path);
  return state === 'connecting' ? 'Connecting' : 'No media yet';
}

/** One line on how the media travels. */
export function PathLine({ connection, path }: { connection: CallConnection; path: MediaPath | null }) {
  const bad = connection.state === 'reconnecting' || connection.state === 'failed';
  const text = sentence(connection, path);
  return (
    <p className={`path ${bad ? 'bad' : path ? 'good' : ''}`} title="How picture and sound travel">
      <span className="path-dot" aria-hidden="true" />
      <span className="visually-hidden">Media: </span>
      {text}
    </p>
  );
}
