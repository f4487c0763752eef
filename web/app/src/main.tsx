import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import '../../common/styles/base.css';
import '../../common/styles/parts.css';
import './styles/lobby.css';
import './styles/call.css';
import './styles/quality.css';
import './styles/panels.css';
import './styles/recording.css';

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
