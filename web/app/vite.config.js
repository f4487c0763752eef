import { defineConfig } from 'vite';
import { page } from '../common/vite.js';

export default defineConfig(page({ '/socket.io': { target: process.env.SKILLSAGE_SERVER ?? 'http://localhost:5000', ws: true } }));
