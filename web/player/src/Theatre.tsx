import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { Code } from './Code';
import { Help } from './Help';
import { Icon } from '../../common/Icon';
import { Log } from './Log';
import type { Manifest } from './manifest';
import { Messages } from './Messages';
import { People } from './People';
import { Player } from './player';
import type { Source } from './source';
import { Stage } from './Stage';
import { indexAt, storyOf } from './story';
import { Tabs } from './Tabs';
import { when } from './time';
import { Timeline } from './Timeline';
import { RATES, Transport } from './Transport';
import { useShortcuts } from './useShortcuts';
import { useVolumes } from './useVolumes';

const STEP = 5; // s that an arrow key moves
const LEAP = 10; // s that a button moves

const ENDS: Record<string, string> = {
  disk: 'The recording ended early: there was no space left on the server’s disk.',
  error: 'The recording ended early: the server could not go on with it.',
  crash: 'The server stopped while this was recorded. What had been written is here; up to a second before the end is missing.',
  shutdown: 'The server was shut down while this was recorded.',
  consent: 'The recording ended because somebody did not agree to it.',
  limit: 'The recording ended because it was as long as recordings may be. The call went on.',
};

/** A recording, playing. */
export function Theatre({ manifest, source }: { manifest: Manifest; source: Source }) {
  const story = useMemo(() => storyOf(manifest), [manifest]);
  const [player] = useState(() => new Player(story.duration));
  const state = useSyncExternalStore(player.subscribe, player.snapshot);
  const volumes = useVolumes();
  const [help, setHelp] = useState(false);
  const stage = useRef<HTMLDivElement>(null);
  const ended = ENDS[manifest.reason ?? ''];

  useEffect(() => {
    const at = Number(new URLSearchParams(location.hash.slice(1)).get('t'));
    if (at > 0) player.seek(at);
  }, [player]);

  const seek = useCallback((time: number) => player.seek(time), [player]);
  const move = (by: number) => player.seek(player.now() + by);
  const faster = (by: number) => {
    const rate = RATES[RATES.indexOf(state.rate) + by];
    if (rate) player.setRate(rate);
  };
  const toEvent = (forward: boolean) => {
    const times = story.log.map(({ from }) => from);
    const now = player.now();
    const next = forward ? times.find((at) => at > now + 0.1) : times.findLast((at) => at < now - 1);
    if (next !== undefined) player.seek(next);
  };
  const fullscreen = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void stage.current?.requestFullscreen?.().catch(() => undefined);
  };
  const tenths = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [String(n), () => player.seek((player.duration * n) / 10)]));
  useShortcuts({
    ' ': () => player.toggle(),
    k: () => player.toggle(),
    j: () => move(-LEAP),
    l: () => move(LEAP),
    ArrowLeft: () => move(-STEP),
    ArrowRight: () => move(STEP),
    Home: () => player.seek(0),
    End: () => player.seek(player.duration),
    '<': () => faster(-1),
    '>': () => faster(1),
    n: () => toEvent(true),
    p: () => toEvent(false),
    m: () => volumes.toggle(),
    f: fullscreen,
    '?': () => setHelp(true),
    ...tenths,
  });

  const tabs = [
    { id: 'chat', label: 'Chat', count: story.messages.length, pane: <Messages messages={story.messages} now={indexAt(story.messages, state.time)} duration={story.duration} onSeek={seek} /> },
    { id: 'code', label: 'Code', count: story.questions.length, pane: <Code story={story} time={state.time} onSeek={seek} /> },
    { id: 'log', label: 'Events', count: story.log.length, pane: <Log log={story.log} now={story.log.findLastIndex(({ from }) => from <= state.time)} duration={story.duration} onSeek={seek} /> },
    { id: 'people', label: 'People', count: story.people.length, pane: <People manifest={manifest} story={story} source={source} volumes={volumes} /> },
  ];

  return (
    <div className="theatre">
      <header className="theatre-head">
        <h1>
          <span className="wordmark">Skillsage</span>
          <span className="theatre-title">{manifest.interview || 'Interview'}</span>
        </h1>
        <time className="theatre-when" dateTime={manifest.started}>
          {when(manifest.started)}
        </time>
        {source.operator && (
          <a className="button small" href="recordings">
            All recordings
          </a>
        )}
      </header>
      <main className="theatre-main">
        {ended && (
          <p className="banner warn">
            <Icon name="warning" />
            <span>{ended}</span>
          </p>
        )}
        {story.duration === 0 && (
          <p className="banner warn">
            <Icon name="warning" />
            <span>Nothing was recorded: no camera, voice or screen arrived.</span>
          </p>
        )}
        <Stage ref={stage} story={story} player={player} state={state} source={source} volumes={volumes} />
      </main>
      <Tabs tabs={tabs} first={story.messages.length > 0 ? 'chat' : story.questions.length > 0 ? 'code' : 'log'} />
      <footer className="theatre-foot">
        <Timeline story={story} player={player} time={state.time} />
        <Transport
          player={player}
          state={state}
          volumes={volumes}
          onMove={move}
          leap={LEAP}
          onFullscreen={fullscreen}
          onHelp={() => setHelp(true)}
        />
      </footer>
      {help && <Help onClose={() => setHelp(false)} />}
    </div>
  );
}
