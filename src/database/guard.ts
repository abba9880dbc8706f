import type { Circuit } from './circuit.ts'
import type { Connection } from './connection.ts'
import { Unavailable } from './unavailable.ts'

type Job = {
  ask: (connection: Connection) => Promise<unknown>
  resolve: (answer: never) => void
  reject: (error: unknown) => void
  timer: NodeJS.Timeout
  /** Nobody waits for it any more. */
  over: boolean
  /** The connection that it was sent on, until that has answered, and when. */
  sent: { connection: Connection; atMs: number } | undefined
}

/** How long it makes do with the connections that there are, until it asks for more. */
const hopeMs = 1_000

/** How often a statement is carried out that Postgres rolls back in favour of another. */
const mostTries = 4

/** How much of a pool is in use: connections that there may be, those that are busy, statements that wait for one. */
export type Usage = { size: number; busy: number; waiting: number }

export type Guard = {
  /** Has `ask` called with a connection, and answers what that does. */
  run: <Answer>(ask: (connection: Connection) => Promise<Answer>) => Promise<Answer>
  usage: () => Usage
  end: () => Promise<void>
}

/**
 * A pool of at most `size` connections, with what the driver's own lacks: at most `queue` statements wait, in the order in which
 * they came, and every one is answered within `timeoutMs`, if need be with Unavailable. That counts from when it came, for the
 * caller; and anew from when it is sent, for Postgres, which by its statement_timeout has given up by then: if it says nothing, it
 * hangs, and the circuit opens. It also opens when no connection can be had.
 */
export function createGuard({
  size,
  queue,
  timeoutMs,
  open,
  circuit,
}: {
  size: number
  queue: number
  timeoutMs: number
  open: () => Promise<Connection>
  circuit: Circuit
}): Guard {
  let waiting = new Set<Job>()
  /** How many statements are sent at once: fewer than there may be connections, while Postgres has no more. */
  let most = size
  const idle: Connection[] = []
  let busy = 0
  let ended = false

  circuit.onOpen((refusal) => {
    for (const job of waiting) settle(job, () => job.reject(refusal))
    // They may be as dead as that which told of it, and each would cost a request all of its time.
    for (const connection of idle.splice(0)) connection.drop()
  })

  function run<Answer>(ask: (connection: Connection) => Promise<Answer>): Promise<Answer> {
    const refusal = circuit.refusal()
    if (refusal) return Promise.reject(refusal)
    if (ended) return Promise.reject(new Unavailable('refused'))
    if (busy >= most && waiting.size >= queue) return Promise.reject(new Unavailable('crowded'))
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const timer = setTimeout(() => expire(job), timeoutMs)
    const job: Job = { ask, resolve, reject, timer, over: false, sent: undefined }
    if (busy < most) work(job)
    else waiting.add(job)
    return promise
  }

  /** Its caller has waited for long enough; Postgres has perhaps had it for less. */
  function expire(job: Job) {
    settle(job, () => job.reject(new Unavailable('late')))
    const { sent } = job
    if (!sent) return
    const leftMs = Math.max(0, sent.atMs + timeoutMs - performance.now())
    setTimeout(() => {
      if (job.sent !== sent) return
      sent.connection.drop()
      circuit.open(new Unavailable('late'))
    }, leftMs)
  }

  function settle(job: Job, how: () => void) {
    if (job.over) return
    job.over = true
    clearTimeout(job.timer)
    waiting.delete(job)
    how()
  }

  /** Does this and what waits behind it, one after the other. */
  async function work(first: Job) {
    busy++
    for (let job: Job | undefined = first; job && busy <= most; [job] = waiting) {
      waiting.delete(job)
      await answer(job)
    }
    busy--
  }

  /** When Postgres has no connection left, what was to be sent on another one waits for those that are there. */
  function makeDoWith(connections: number, job: Job) {
    if (most === size) setTimeout(hopeForMore, hopeMs).unref()
    most = connections
    waiting = new Set([job, ...waiting])
  }

  function hopeForMore() {
    most = size
    for (const job of [...waiting].slice(0, Math.max(0, most - busy))) {
      waiting.delete(job)
      work(job)
    }
  }

  async function answer(job: Job) {
    let connection = firstIdle()
    try {
      connection ??= await connect()
      if (job.over) return
      const answer = await ask(connection, job)
      settle(job, () => job.resolve(answer as never))
    } catch (error) {
      const isFull = error instanceof Unavailable && error.reason === 'full'
      const others = busy - 1 + idle.length
      if (isFull && others > 0 && !job.over) makeDoWith(others, job)
      else settle(job, () => job.reject(error))
    } finally {
      if (connection && ended) connection.end()
      else if (connection) idle.push(connection)
    }
  }

  function firstIdle(): Connection | undefined {
    for (let connection = idle.pop(); connection; connection = idle.pop()) if (!connection.isLost()) return connection
    return undefined
  }

  async function connect(): Promise<Connection> {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof Unavailable && error.reason === 'full')) circuit.open(error)
      throw error
    }
  }

  async function ask(connection: Connection, job: Job) {
    try {
      for (let tries = 1; ; tries++) {
        job.sent = { connection, atMs: performance.now() }
        try {
          return await job.ask(connection)
        } catch (error) {
          // A statement is a transaction: that it was rolled back means that nothing of it was done.
          if (!/^(40001|40P01)$/.test(codeOf(error)) || tries === mostTries || job.over) throw error
        }
      }
    } finally {
      job.sent = undefined
    }
  }

  async function end() {
    ended = true
    for (const job of waiting) settle(job, () => job.reject(new Unavailable('refused')))
    await Promise.all(idle.splice(0).map((connection) => connection.end()))
  }

  return { run, usage: () => ({ size, busy, waiting: waiting.size }), end }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code)
}
