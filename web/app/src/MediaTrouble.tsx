import type { MediaFailure } from '@skillsage/hook';
import { Icon } from '../../common/Icon';

function explain({ name, message }: MediaFailure): { title: string; text: string } {
  switch (name) {
    case 'NotAllowedError':
      return {
        title: 'Camera and microphone are blocked',
        text: 'Allow them for this site, with the symbol beside the address, and try again.',
      };
    case 'NotFoundError':
      return {
        title: 'No camera or microphone found',
        text: 'Plug one in and try again, or join to watch and listen.',
      };
    case 'NotReadableError':
      return {
        title: 'Your camera or microphone is busy',
        text: 'Another program seems to use it. Close that program and try again.',
      };
    case 'SecurityError':
      return {
        title: 'This address is not secure',
        text: 'Browsers give the camera only to pages on https:// or localhost.',
      };
    default:
      return { title: 'Camera and microphone did not start', text: message };
  }
}

/** Why there is no picture of oneself, and what helps. */
export function MediaTrouble({ failure, onRetry }: { failure: MediaFailure; onRetry: () => unknown }) {
  const { title, text } = explain(failure);
  return (
    <div className="trouble" role="alert">
      <Icon name="warning" />
      <p className="trouble-title">{title}</p>
      <p>{text}</p>
      <button type="button" className="button" onClick={() => void onRetry()}>
        Try again
      </button>
    </div>
  );
}
