/**
 * Merges two edits of one text: `mine` and `theirs` both grew out of `base`. Each edit is seen as
 * one replaced stretch; where the stretches do not overlap, both edits survive, else `theirs` gives
 * way.
 */
export function mergeText(base: string, mine: string, theirs: string): string {
  if (mine === base || mine === theirs) return theirs;
  if (theirs === base) return mine;
  const a = edit(base, mine);
  const b = edit(base, theirs);
  if (a.end <= b.start && !(a.end === b.start && a.start === b.end)) return apply(apply(base, b), a);
  if (b.end <= a.start && !(a.end === b.start && a.start === b.end)) return apply(apply(base, a), b);
  return mine;
}

/** Where the caret at `position` of `before` belongs in `after`. */
export function moveCaret(before: string, after: string, position: number): number {
  const { start, end, text } = edit(before, after);
  if (position <= start) return position;
  if (position >= end) return position + text.length - (end - start);
  return start + text.length;
}

interface Edit {
  start: number;
  end: number;
  text: string;
}

function edit(before: string, after: string): Edit {
  const shortest = Math.min(before.length, after.length);
  let start = 0;
  while (start < shortest && before[start] === after[start]) start++;
  let tail = 0;
  while (tail < shortest - start && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  return { start, end: before.length - tail, text: after.slice(start, after.length - tail) };
}

function apply(text: string, { start, end, text: replacement }: Edit): string {
  return text.slice(0, start) + replacement + text.slice(end);
}
