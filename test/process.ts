import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

export const checkout = fileURLToPath(new URL('..', import.meta.url))

/** How long a program may take to print a line or to end; then the test fails, and shows what the program did print. */
const patienceMs = 15_000

export type Program = {
  pid: number
  /** What it has printed so far, on stdout and stderr. */
  lines: string[]
  /** The next line that matches, after that of the call before; fails if the program ends without. */
  line: (pattern: RegExp) => Promise<string>
  /** Resolves once the program and all the processes that share its output have ended. */
  ended: () => Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  kill: (signal: NodeJS.Signals) => void
  /** As a terminal does: to the program and to all the processes it has started. */
  killGroup: (signal: NodeJS.Signals) => void
  groupIsAlive: () => boolean
}

const programs = new Set<Program>()

afterAll(endPrograms)

/** Ends what is left of the programs that were started, gently at first. */
export async function endPrograms(): Promise<void> {
  await Promise.all(
    [...programs].map(async (program) => {
      program.killGroup('SIGTERM')
      await program.ended().catch(() => {})
      program.killGroup('SIGKILL')
    }),
  )
  programs.clear()
}

/** Starts a program, in a process group of its own, and follows it. It is ended after the tests. */
export function startProgram(
  command: string,
  args: string[],
  { env = {}, cwd = checkout }: { env?: Record<string, string>; cwd?: string } = {},
): Program {
  // Of this process's environment only what any program needs: the settings are those of the test.
  const { PATH, HOME, TMPDIR, NODE_V8_COVERAGE } = process.env
  // Or of test/pgbouncer/run.ts, where any program goes through PgBouncer.
  const { NODE_OPTIONS, TEST_DATABASE_URL, TEST_PGBOUNCER_URL } = process.env
  const throughPgBouncer = { NODE_OPTIONS, TEST_DATABASE_URL, TEST_PGBOUNCER_URL, DATABASE_PREPARE: 'off' }
  const child = spawn(command, args, {
    cwd,
    env: {
      ...{ PATH, HOME, TMPDIR, NODE_V8_COVERAGE, NODE_COMPILE_CACHE: `${checkout}.data/test-compile-cache` },
      ...(TEST_PGBOUNCER_URL && throughPgBouncer),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const { pid = 0 } = child
  if (!pid) throw new Error(`${command} can't be started`)

  const lines: string[] = []
  const news = new EventEmitter()
  let end: { code: number | null; signal: NodeJS.Signals | null } | undefined
  let looked = 0

  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      lines.push(line)
      news.emit('news')
    })
  }
  child.once('close', (code, signal) => {
    end = { code, signal }
    // From here on the number may become somebody else's.
    if (!program.groupIsAlive()) programs.delete(program)
    news.emit('news')
  })

  async function line(pattern: RegExp) {
    for (;;) {
      const found = lines.findIndex((each, index) => index >= looked && pattern.test(each))
      looked = found >= 0 ? found + 1 : lines.length
      if (found >= 0) return lines[found] ?? ''
      if (end) throw new Error(`It ended without ${pattern}, and printed:\n${lines.join('\n')}`)
      await next(`It prints no ${pattern}`)
    }
  }

  async function ended() {
    while (!end) await next('It does not end')
    return end
  }

  async function next(complaint: string) {
    await once(news, 'news', { signal: AbortSignal.timeout(patienceMs) }).catch(() => {
      throw new Error(`${complaint}; it printed:\n${lines.join('\n')}`)
    })
  }

  function toGroup(signal: NodeJS.Signals | 0) {
    try {
      return process.kill(-pid, signal)
    } catch {
      return false
    }
  }

  const program: Program = {
    pid,
    lines,
    line,
    ended,
    kill: (signal) => void child.kill(signal),
    killGroup: (signal) => void toGroup(signal),
    groupIsAlive: () => toGroup(0),
  }
  programs.add(program)
  return program
}
