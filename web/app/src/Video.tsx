import { useEffect, useRef } from 'react';

interface VideoProps {
  stream: MediaStream | null;
  label: string;
  muted?: boolean;
  mirrored?: boolean;
  /** Where the sound comes out; the system's choice when empty. */
  speaker?: string;
  /** The browser wants a tap before it plays sound. */
  onBlocked?: ((element: HTMLVideoElement) => void) | undefined;
}

/** A stream, playing. */
export function Video({ stream, label, muted = false, mirrored = false, speaker = '', onBlocked }: VideoProps) {
  const element = useRef<HTMLVideoElement>(null);

  useEffect(() => {
    const video = element.current;
    if (!video || !stream) return;
    if (video.srcObject !== stream) video.srcObject = stream;
    // React leaves the attribute out, and without it some browsers refuse to start.
    video.muted = muted;
    video.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') onBlocked?.(video);
    });
  }, [stream, muted, onBlocked]);

  useEffect(() => {
    const video = element.current;
    if (video && 'setSinkId' in video) video.setSinkId(speaker).catch(() => undefined);
  }, [speaker]);

  return (
    <video ref={element} className={mirrored ? 'mirrored' : undefined} aria-label={label} autoPlay playsInline muted={muted} />
  );
}
