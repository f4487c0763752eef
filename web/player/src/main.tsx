import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { List } from './List';
import { ofLink, ofOperator } from './source';
import { Watch } from './Watch';
import '../../common/styles/base.css';
import '../../common/styles/parts.css';
import './styles/watch.css';
import './styles/panels.css';
import './styles/list.css';

// What the page is for stands in its address: a link to one recording, or the operator's list with a recording in the query.
const recording = new URLSearchParams(location.search).get('recording');
const source = ofLink(location) ?? (recording ? ofOperator(recording) : null);

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      {source ? <Watch source={source} /> : <List />}
    </StrictMode>,
  );
}
