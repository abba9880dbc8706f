import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/postgres.ts',
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Node loads the sources itself, as it does in production. Threads, because `npm run coverage` learns nothing from
    // processes that are killed, as vitest does with its own.
    pool: 'threads',
    // Much of the time is Postgres's. By itself vitest would leave a core for others, which is half of two.
    maxWorkers: Math.min(4, Math.max(2, availableParallelism())),
    experimental: { viteModuleRunner: false, nodeLoader: false },
  },
})
