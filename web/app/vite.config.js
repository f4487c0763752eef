import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  // The page is served from wherever the server is mounted.
  base: './',
  plugins: [
    react(),
    {
      // The folder must exist in a fresh clone, or the server that embeds it does not compile.
      name: 'keep-dist',
      generateBundle() {
        this.emitFile({ type: 'asset', fileName: '.gitkeep', source: '' });
      },
    },
  ],
  build: {
    target: 'es2022',
    // A content security policy of 'self' has no room for data: and inline code.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/socket.io': { target: process.env.SKILLSAGE_SERVER ?? 'http://localhost:5000', ws: true } },
  },
});
