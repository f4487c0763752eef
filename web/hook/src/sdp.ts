/** The few facts a call reads out of an SDP (RFC 8866); everything else is the browser's business. */

/** Whether the description has any media section. Some clients send offers without one by accident. */
export function hasMedia(sdp: string | undefined): boolean {
  return /^m=/m.test(sdp ?? '');
}

/** The DTLS fingerprints (RFC 8122), sorted: two connections of one peer never share them. */
export function fingerprints(sdp: string | undefined): string {
  const found = (sdp ?? '').match(/^a=fingerprint:\S+ \S+/gim) ?? [];
  return [...new Set(found.map((line) => line.toUpperCase()))].sort().join(' ');
}

/** Every ICE user name fragment (RFC 8839) of a description. */
export function usernameFragments(sdp: string | undefined): string[] {
  const found = (sdp ?? '').matchAll(/^a=ice-ufrag:(\S+)/gm);
  return [...new Set([...found].map((match) => match[1] as string))];
}

/** The user name fragment that a candidate belongs to, if it says so. */
export function candidateFragment(candidate: RTCIceCandidateInit): string | undefined {
  return candidate.usernameFragment ?? / ufrag (\S+)/.exec(candidate.candidate ?? '')?.[1];
}
