import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Job, Load, Whole } from './load.ts'

export type Generator = {
  pid: number
  make: (job: Extract<Job, { kind: 'requests' }>) => Promise<Load>
  readWhole: (url: string) => Promise<Whole>
  stop: () => void
}

/** Starts the process that makes the load: apart, so that what it costs can be told from what the servers cost. */
export function startGenerator(): Generator {
  const child = fork(fileURLToPath(new URL('load.ts', import.meta.url)))

  function ask<Answer extends object>(job: Job): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const onExit = () => reject(new Error('The process that makes the load has ended.'))
    child.once('exit', onExit)
    child.once('message', (answer: Answer | { failed: string }) => {
      child.off('exit', onExit)
      if ('failed' in answer) reject(new Error(answer.failed))
      else resolve(answer)
    })
    child.send(job, (error) => error && reject(error))
    return promise
  }

  return {
    pid: child.pid ?? 0,
    make: ask<Load>,
    readWhole: (url) => ask<Whole>({ kind: 'whole', url }),
    stop: () => void child.kill(),
  }
}
