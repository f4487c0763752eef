import type { ConnectionQuality, QualityLevel } from '@skillsage/hook';

/** How somebody's connection does, and what of it is worth a look. */
export interface QualityView {
  level: QualityLevel;
  /** "Candidate’s connection", "Your connection" */
  whose: string;
  details: [name: string, value: string][];
}

const LEVELS: readonly QualityLevel[] = ['good', 'fair', 'poor', 'lost'];

/** The words for a level, as they stand behind "connection: ". */
export const LEVEL_WORD: Record<QualityLevel, string> = {
  good: 'good',
  fair: 'fair',
  poor: 'poor',
  lost: 'interrupted',
};

function formatRate(bits: number): string {
  if (bits < 950_000) return `${Math.round(bits / 1000)} kbit/s`;
  return `${(bits / 1_000_000).toFixed(1)} Mbit/s`;
}

function formatFlow(bits: number, loss: number | null): string {
  if (bits < 1000) return 'nothing at present';
  if (loss === null) return formatRate(bits);
  return `${formatRate(bits)}, ${loss < 0.001 ? 'nothing lost' : `${(loss * 100).toFixed(1)} % lost`}`;
}

function greatest(values: (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? Math.max(...known) : null;
}

const roundTrip = (ms: number | null): [string, string][] => (ms === null ? [] : [['Round trip to the server', `${Math.round(ms)} ms`]]);

/** What a person's tile says: how their own connection does, and what goes between them and oneself. */
export function qualityOf(name: string, quality: ConnectionQuality | undefined): QualityView | null {
  if (!quality?.peerQuality) return null;
  return {
    level: quality.peerQuality,
    whose: `${name}’s connection`,
    details: [
      ['You receive', formatFlow(quality.bitrateDown, quality.lossDown)],
      ['You send', formatFlow(quality.bitrateUp, quality.lossUp)],
    ],
  };
}

/** What the own tile says: the worst of all connections, and all that goes through them. */
export function ownQuality(all: Record<string, ConnectionQuality>): QualityView | null {
  const connections = Object.values(all);
  const [first] = connections;
  if (!first) return null;
  const sum = (of: (one: ConnectionQuality) => number) => connections.reduce((total, one) => total + of(one), 0);
  const protocols = [...new Set(connections.map(({ transport }) => transport.toUpperCase()))];
  return {
    level: LEVELS[Math.max(...connections.map(({ quality }) => LEVELS.indexOf(quality)))] ?? first.quality,
    whose: 'Your connection',
    details: [
      ['Receiving', formatFlow(sum(({ bitrateDown }) => bitrateDown), greatest(connections.map(({ lossDown }) => lossDown)))],
      ['Sending', formatFlow(sum(({ bitrateUp }) => bitrateUp), greatest(connections.map(({ lossUp }) => lossUp)))],
      ...roundTrip(greatest(connections.map(({ rtt }) => rtt))),
      ['Path', protocols.join(' and ')],
    ],
  };
}
