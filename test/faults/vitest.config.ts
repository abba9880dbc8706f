import { defineConfig } from 'vitest/config'

// `npm run test:faults`: one row of faults after the other, so that none disturbs the figures of another.
export default defineConfig({
  test: {
    root: new URL('../..', import.meta.url).pathname,
    // That is `npm run soak`.
    include: process.env.SOAK_MINUTES ? ['test/faults/soak.ts'] : ['test/faults/*.faults.ts'],
    globalSetup: ['test/faults/orphans.ts', 'test/faults/report.ts'],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    // Node loads the sources itself, as it does in production.
    pool: 'threads',
    maxWorkers: 1,
    fileParallelism: false,
    // What they print is progress: shown at once, as it is.
    disableConsoleIntercept: true,
    experimental: { viteModuleRunner: false, nodeLoader: false },
  },
})
