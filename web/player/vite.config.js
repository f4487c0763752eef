import { defineConfig } from 'vite';
import { page } from '../common/vite.js';

export default defineConfig(page({ '/api': process.env.SKILLSAGE_ADMIN ?? 'http://localhost:9090' }));
