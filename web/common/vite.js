import react from '@vitejs/plugin-react';

/** What the pages that are built into the server have in common; `proxy` is for the development server. */
export function page(proxy) {
  return {
    // A page is served from wherever the server is mounted, by several names.
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
    server: { proxy },
  };
}
