import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { describe } from '../src/api/description.ts'

// Writes the description that the server answers, and has Redocly check it: `npm run lint:openapi`.

const folder = new URL('../.data/', import.meta.url)
const file = new URL('openapi.json', folder)
mkdirSync(folder, { recursive: true })
writeFileSync(file, JSON.stringify(describe(), null, 2))

execFileSync('redocly', ['lint', file.pathname, '--config', '.redocly.yaml'], {
  stdio: 'inherit',
  // Neither the one nor the other is to ask anything of the internet.
  env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
})
