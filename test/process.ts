import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

const checkout = fileURLToPath(new URL('..', import.meta.url))

/** How long a program may take to print or to end before the test fails. */
const patienceMs = 15_000

export type Program = {
  pid: number
  /** What it has printed so far, on stdout and stderr. */
  lines: string[]
  /** The next line that matches, each one after that of the call before; fails if the program ends without. */
  line: (pattern: RegExp) => Promise<string>
  /** Resolves once it and all the processes that share its output have ended. */
  ended: () => Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  kill: (signal: NodeJS.Signals) => void
  /** As the terminal does: to the program and all the processes it has started. */
  killGroup: (signal: NodeJS.Signals) => void
  /** Whether a process of its group is alive. */
  groupIsAlive: () => boolean
}

const programs = new Set<Program>()

afterAll(() => {
  for (const program of programs) program.killGroup('SIGKILL')
})

/** Starts a program in a process group of its own, and follows it; whatever is left of it is killed after the tests. */
export function startProgram(
  command: string,
  args: string[],
  { env = {}, cwd = checkout }: { env?: Record<string, string | undefined>; cwd?: string } = {},
): Program {
  // Of this process's environment only what every program needs: not the settings of whoever runs the tests.
  const { PATH, HOME, TMPDIR } = process.env
  const child = spawn(command, args, {
    cwd,
    env: { PATH, HOME, TMPDIR, NODE_COMPILE_CACHE: `${checkout}.data/test-compile-cache`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const { pid } = child
  if (!pid) throw new Error(`${command} can't be started`)

  const lines: string[] = []
  const news = new EventEmitter()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lines.push(line)
      news.emit('line')
    })
  }
  let end: { code: number | null; signal: NodeJS.Signals | null } | undefined
  child.once('close', (code, signal) => {
    end = { code, signal }
    news.emit('line')
    news.emit('end')
  })

  async function patiently(event: string, wanted: string) {
    const signal = AbortSignal.timeout(patienceMs)
    await once(news, event, { signal }).catch(() => {
      throw new Error(`${wanted}; the program printed:\n${lines.join('\n')}`)
    })
  }

  let looked = 0
  async function line(pattern: RegExp) {
    for (;;) {
      for (; looked < lines.length; looked++) {
        const text = lines[looked] ?? ''
        if (pattern.test(text)) {
          looked++
          return text
        }
      }
      if (end) throw new Error(`Ended without ${pattern}; the program printed:\n${lines.join('\n')}`)
      await patiently('line', `Waited for ${pattern}`)
    }
  }

  async function ended() {
    if (!end) await patiently('end', 'Waited for the end')
    return end ?? { code: null, signal: null }
  }

  function signalTo(id: number, signal: NodeJS.Signals | 0) {
    try {
      return process.kill(id, signal)
    } catch {
      return false
    }
  }

  const program = {
    pid,
    lines,
    line,
    ended,
    kill: (signal: NodeJS.Signals) => void signalTo(pid, signal),
    killGroup: (signal: NodeJS.Signals) => void signalTo(-pid, signal),
    groupIsAlive: () => signalTo(-pid, 0),
  }
  programs.add(program)
  return program
}
