import type { ReactNode } from 'react';
import { Icon } from '../../common/Icon';

export function PanelHead({ title, onClose, children }: { title: string; onClose: () => void; children?: ReactNode }) {
  return (
    <header className="panel-head">
      <h2>{title}</h2>
      {children}
      <button type="button" className="round small" aria-label={`Close ${title.toLowerCase()}`} onClick={onClose}>
        <Icon name="close" />
      </button>
    </header>
  );
}
