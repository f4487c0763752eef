import js from '@eslint/js';
import globals from 'globals';
import hooks from 'eslint-plugin-react-hooks';
import ts from 'typescript-eslint';

export default ts.config(
  { ignores: ['**/dist/', '**/node_modules/', '**/out/'] },
  js.configs.recommended,
  {
    files: ['**/*.{ts,tsx}'],
    extends: [ts.configs.strict],
    languageOptions: { globals: globals.browser },
    rules: { '@typescript-eslint/no-non-null-assertion': 'error' },
  },
  {
    files: ['**/*.{ts,tsx}'],
    ...hooks.configs.flat.recommended,
  },
  {
    files: ['**/*.{js,mjs}'],
    // Tests hand functions to the browser.
    languageOptions: { globals: { ...globals.node, ...globals.browser } },
  },
);
