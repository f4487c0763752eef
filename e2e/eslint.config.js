import js from '@eslint/js'
import hooks from 'eslint-plugin-react-hooks'
import globals from 'globals'

const unused = ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_', ignoreRestSiblings: true }]

export default [
  { ignores: ['out/', 'node_modules/'] },
  js.configs.recommended,
  {
    files: ['**/*.mjs', 'eslint.config.js'],
    languageOptions: { ecmaVersion: 2024, sourceType: 'module', globals: globals.node },
    rules: { 'no-unused-vars': unused }
  },
  {
    // What page.evaluate is given runs in the page.
    files: ['harness/person.mjs', 'harness/player.mjs', 'scenarios/watching.mjs'],
    languageOptions: { globals: { window: 'readonly', document: 'readonly' } }
  },
  {
    files: ['clients/**/*.{js,jsx}'],
    plugins: { 'react-hooks': hooks },
    languageOptions: {
      ecmaVersion: 2024,
      sourceType: 'module',
      globals: globals.browser,
      parserOptions: { ecmaFeatures: { jsx: true } }
    },
    rules: {
      'no-unused-vars': ['error', { varsIgnorePattern: '^(_|[A-Z])', argsIgnorePattern: '^_', ignoreRestSiblings: true }],
      'react-hooks/rules-of-hooks': 'error',
      'react-hooks/exhaustive-deps': 'error'
    }
  }
]
