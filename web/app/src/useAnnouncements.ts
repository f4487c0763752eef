import { useEffect, useRef, type RefObject } from 'react';
import type { ChatMessage, UseWebRTC } from '@skillsage/hook';
import type { Person } from './people';
import { ownQuality, qualityOf, type QualityView } from './quality';

const isBad = (quality: QualityView | null) => quality?.level === 'poor' || quality?.level === 'lost';

/** Whose connection is bad, as a sentence begins. */
function badConnections(call: UseWebRTC, people: Person[]): string[] {
  const all = [ownQuality(call.connectionQuality), ...people.map(({ id, name }) => qualityOf(name, call.connectionQuality[id]))];
  return all.filter((quality) => isBad(quality)).map((quality) => quality?.whose ?? '');
}

/** Says into a live region what a screen reader should hear about: people, screens, recordings, messages. */
export function useAnnouncements(
  call: UseWebRTC,
  people: Person[],
  messages: readonly ChatMessage[],
  chatOpen: boolean,
): RefObject<HTMLDivElement | null> {
  const region = useRef<HTMLDivElement>(null);
  const bad = badConnections(call, people).join('\n');
  const recorded = call.recording?.state === 'recording';
  const before = useRef({ people, messages: messages.length, phase: call.phase, bad, recorded });

  useEffect(() => {
    const last = before.current;
    before.current = { people, messages: messages.length, phase: call.phase, bad, recorded };
    const sentences: string[] = [];
    for (const person of people) {
      const earlier = last.people.find(({ id }) => id === person.id);
      if (!earlier) sentences.push(`${person.name} joined.`);
      if (person.screen && !earlier?.screen) sentences.push(`${person.name} shares a screen.`);
      if (!person.screen && earlier?.screen) sentences.push(`${person.name} stopped sharing.`);
    }
    for (const person of last.people) {
      if (!people.some(({ id }) => id === person.id)) sentences.push(`${person.name} left.`);
    }
    for (const whose of bad.split('\n')) {
      if (whose && !last.bad.split('\n').includes(whose)) sentences.push(`${whose} is poor.`);
    }
    if (last.phase === 'reconnecting' && call.phase === 'online') sentences.push('Connected again.');
    if (recorded && !last.recorded) sentences.push('This interview is being recorded.');
    if (!recorded && last.recorded) sentences.push('The recording has ended.');
    const message = messages.at(-1);
    if (message && !message.isOwn && messages.length > last.messages && !chatOpen) {
      sentences.push(`Message from the ${message.sender}: ${message.content}`);
    }
    if (sentences.length > 0 && region.current) region.current.textContent = sentences.join(' ');
  }, [call.phase, people, messages, chatOpen, bad, recorded]);

  return region;
}
