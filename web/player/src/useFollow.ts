import { useEffect, useRef, useState, type RefObject } from 'react';

/**
 * Keeps the item of the moment in sight, until somebody scrolls the list away from it; `follow` goes back to it. The list's
 * item has the attribute aria-current.
 */
export function useFollow<T extends HTMLElement>(index: number): { list: RefObject<T | null>; follows: boolean; follow: () => void } {
  const list = useRef<T>(null);
  const [follows, setFollows] = useState(true);

  useEffect(() => {
    const element = list.current;
    if (!element || !follows) return;
    const item = element.querySelector<HTMLElement>('[aria-current]');
    if (!item) {
      element.scrollTo({ top: 0 });
      return;
    }
    const box = element.getBoundingClientRect();
    const at = item.getBoundingClientRect();
    if (at.top >= box.top + 8 && at.bottom <= box.bottom - 8) return;
    element.scrollTo({ top: element.scrollTop + at.top - box.top - box.height * 0.6 });
  }, [index, follows]);

  useEffect(() => {
    const element = list.current;
    if (!element) return;
    const leave = () => setFollows(false);
    element.addEventListener('wheel', leave, { passive: true });
    element.addEventListener('touchmove', leave, { passive: true });
    return () => {
      element.removeEventListener('wheel', leave);
      element.removeEventListener('touchmove', leave);
    };
  }, []);

  return { list, follows, follow: () => setFollows(true) };
}
