import { Dialog } from '../../common/Dialog';

const KEYS: [string[], string][] = [
  [['space', 'K'], 'Play or pause'],
  [['←', '→'], '5 seconds back, forward'],
  [['J', 'L'], '10 seconds back, forward'],
  [['P', 'N'], 'Event before, next event'],
  [['0', '…', '9'], 'To a tenth of the recording'],
  [['<', '>'], 'Slower, faster'],
  [['M'], 'Sound off or on'],
  [['F'], 'Full screen'],
];

export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open title="Keyboard shortcuts" onClose={onClose}>
      <dl className="keys">
        {KEYS.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
