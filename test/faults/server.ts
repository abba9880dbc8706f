import { setTimeout as sleep } from 'node:timers/promises'
import { checkout, type Program, startProgram } from '../process.ts'
import { atEnd } from './at_end.ts'

export type Server = {
  /** Where it listens; of one that was not waited for, once `listening()` has resolved. */
  url: string
  /** Of the first process, which keeps the workers. */
  pid: number
  /** Resolves when it listens. */
  listening: () => Promise<void>
  /** What it has logged so far, oldest first; a line that is no JSON is `{ msg: line }`. */
  log: () => LogLine[]
  program: Program
  /** SIGTERM, and resolves when it has ended. */
  stop: () => Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** How long migrations may take. */
const readyMs = 30_000

export type LogLine = { level?: number; time?: number; pid?: number; msg?: string; [key: string]: unknown }

/**
 * Starts the server as `npm start` does, on any free port, and waits (unless `wait` is false) until it answers out of the database. It
 * is stopped after the test, and then fails the test if its log tells of an exception that nobody caught, or of a worker that ended (unless
 * workers `mayEnd`).
 */
export async function startServer(
  env: Record<string, string>,
  { wait = true, mayEnd = false }: { wait?: boolean; mayEnd?: boolean } = {},
): Promise<Server> {
  const program = startProgram(process.execPath, ['--import', './src/node_version.js', 'src/main.ts'], {
    cwd: checkout,
    env: { PORT: '0', ...env },
  })
  const log = () => program.lines.map(parse)

  async function stop() {
    program.kill('SIGTERM')
    return await program.ended()
  }

  atEnd(async () => {
    await stop()
    const unforeseen = log().filter((line) => isUncaught(line) || (!mayEnd && /a worker ended/.test(line.msg ?? '')))
    if (unforeseen.length > 0)
      throw new Error(`The server logged:\n${unforeseen.map((line) => JSON.stringify(line)).join('\n')}`)
  })

  const server: Server = {
    url: '',
    pid: program.pid,
    listening: async () => {
      server.url = JSON.parse(await program.line(/"msg":"listening"/)).url
    },
    log,
    program,
    stop,
  }
  if (!wait) return server
  await server.listening()
  const deadline = performance.now() + readyMs
  while ((await fetch(`${server.url}/summary`)).status !== 200) {
    if (performance.now() > deadline) throw new Error(`It does not get ready; it printed:\n${program.lines.join('\n')}`)
    await sleep(50)
  }
  return server
}

/** Whether a line tells of an exception that nobody caught: one of the server's own, or of Node's when it ends by it. */
export function isUncaught({ msg = '' }: LogLine): boolean {
  return /nobody caught|uncaught|unhandled|node:internal/i.test(msg)
}

function parse(line: string): LogLine {
  try {
    return JSON.parse(line)
  } catch {
    return { msg: line }
  }
}
