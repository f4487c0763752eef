import { Icon } from '../../common/Icon';
import type { Player, Snapshot } from './player';
import { clock } from './time';
import type { Volumes } from './useVolumes';

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 2, 3];

interface TransportProps {
  player: Player;
  state: Snapshot;
  volumes: Volumes;
  leap: number;
  onMove: (by: number) => void;
  onFullscreen: () => void;
  onHelp: () => void;
}

/** Play, pause and the like, in one row that is always in reach. */
export function Transport({ player, state, volumes, leap, onMove, onFullscreen, onHelp }: TransportProps) {
  const { all } = volumes;
  return (
    <div className="transport" role="group" aria-label="Playback">
      <div className="transport-side">
        <span className="clock">
          {clock(state.time, player.duration)}
          <span className="clock-whole"> / {clock(player.duration)}</span>
        </span>
      </div>
      <div className="transport-keys">
        <button type="button" className="round" aria-label={`Back ${leap} seconds`} title={`Back ${leap} s (J)`} aria-keyshortcuts="J" onClick={() => onMove(-leap)}>
          <Icon name="back" />
        </button>
        <button
          type="button"
          className="round accent play"
          aria-label={state.playing ? 'Pause' : 'Play'}
          title={state.playing ? 'Pause (space)' : 'Play (space)'}
          aria-keyshortcuts="Space K"
          disabled={player.duration === 0}
          onClick={() => player.toggle()}
        >
          <Icon name={state.playing ? 'pause' : 'play'} />
        </button>
        <button type="button" className="round" aria-label={`Forward ${leap} seconds`} title={`Forward ${leap} s (L)`} aria-keyshortcuts="L" onClick={() => onMove(leap)}>
          <Icon name="forward" />
        </button>
      </div>
      <div className="transport-side end">
        <div className="volume">
          <button type="button" className="round small" aria-label={all.muted ? 'Sound on' : 'Sound off'} title="Sound (M)" aria-keyshortcuts="M" onClick={() => volumes.toggle()}>
            <Icon name={all.muted || all.level === 0 ? 'muted' : 'sound'} />
          </button>
          <input
            type="range"
            min={0}
            max={1}
            step={0.05}
            value={all.muted ? 0 : all.level}
            aria-label="Volume"
            aria-valuetext={`${Math.round((all.muted ? 0 : all.level) * 100)} %`}
            onChange={(event) => volumes.setAll({ level: Number(event.target.value), muted: false })}
          />
        </div>
        <label className="speed">
          <span className="visually-hidden">Speed</span>
          <select value={state.rate} title="Speed (< and >)" onChange={(event) => player.setRate(Number(event.target.value))}>
            {RATES.map((rate) => (
              <option key={rate} value={rate}>
                {rate}×
              </option>
            ))}
          </select>
        </label>
        <button type="button" className="round small wide-only" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" aria-keyshortcuts="?" onClick={onHelp}>
          <Icon name="keys" />
        </button>
        <button type="button" className="round small" aria-label="Full screen" title="Full screen (F)" aria-keyshortcuts="F" onClick={onFullscreen}>
          <Icon name="full" />
        </button>
      </div>
    </div>
  );
}
