import type { Manifest } from './manifest';

/** Where a recording comes from. */
export interface Source {
  manifest: string;
  file: (name: string) => string;
  /** Whether the list of recordings is there too. */
  operator: boolean;
}

/** The recording whose link is the page's address, `…/watch/{link}`. */
export function ofLink({ pathname }: Location): Source | null {
  const match = /\/watch\/([^/]+)\/?$/.exec(pathname);
  if (!match) return null;
  const base = pathname.replace(/\/$/, '');
  return { manifest: `${base}/manifest.json`, file: (name) => `${base}/files/${encodeURIComponent(name)}`, operator: false };
}

/** A recording for the operator, by its id. */
export function ofOperator(id: string): Source {
  const base = `api/recordings/${encodeURIComponent(id)}`;
  return { manifest: base, file: (name) => `${base}/files/${encodeURIComponent(name)}`, operator: true };
}

/** An answer of the server that is not what was asked for. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Asks the server for JSON; throws a Refusal with its own words where it has some. */
export async function ask<T>(url: string, init?: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch {
    throw new Refusal('network', 'The server can’t be reached.');
  }
  if (response.status === 204) return undefined as T;
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return body as T;
  const { error } = (body ?? {}) as { error?: { code?: string; message?: string } };
  throw new Refusal(error?.code ?? String(response.status), error?.message ?? `The server answered with ${response.status} ${response.statusText}.`);
}

export const send = <T>(url: string, body: object): Promise<T> =>
  ask<T>(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

export const load = (source: Source): Promise<Manifest> => ask<Manifest>(source.manifest);
