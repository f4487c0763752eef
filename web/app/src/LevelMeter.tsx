import { useEffect, useRef } from 'react';

/** Shows that the microphone hears something. */
export function LevelMeter({ stream, muted }: { stream: MediaStream; muted: boolean }) {
  const bar = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const element = bar.current;
    if (!element || muted || stream.getAudioTracks().length === 0) return undefined;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let level = 0;
    let frame = requestAnimationFrame(function draw() {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
      // -60 dB to 0 dB over the width; falls slower than it rises.
      const now = Math.max(0, 1 + (10 * Math.log10(power + 1e-9)) / 60);
      level = Math.max(now, level * 0.92);
      element.style.transform = `scaleX(${level.toFixed(3)})`;
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      element.style.transform = 'scaleX(0)';
      void context.close();
    };
  }, [stream, muted]);

  return (
    <div className="meter" aria-hidden="true">
      <span>{muted ? 'Muted' : 'Mic level'}</span>
      <div className="meter-track">
        <div ref={bar} className="meter-bar" />
      </div>
    </div>
  );
}
