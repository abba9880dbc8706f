import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What became of all the requests of some clients. */
export type Told = {
  /** How many of each status there were. */
  statuses: Record<number, number>
  /** Whole answers that said that the connection is to be closed. */
  closing: number
  /** Requests that nobody was there to take: no connection was made, and nothing sent. */
  refused: number
  /** Requests whose connection was made, and then ended without a whole answer, in words. */
  dropped: string[]
  /** Of each whole answer. */
  durationsMs: number[]
}

export type Clients = {
  told: Told
  /** Resolves when all have ended: because they were refused, or by `stop`, which waits for answers. */
  ended: Promise<Told>
  stop: () => Promise<Told>
}

type Asked = { method?: 'GET' | 'POST'; path: string; body?: object }

/**
 * Clients that ask for what `next` says, read the whole answer, wait for `pauseMs` on average, and ask again: each on a connection
 * of its own that it keeps, or each time on a new one (`anew`). One that is refused ends; none asks the same thing twice.
 */
export function startClients(
  url: string,
  { count, pauseMs, anew = false, next }: { count: number; pauseMs: number; anew?: boolean; next: () => Asked },
): Clients {
  const told: Told = { statuses: {}, closing: 0, refused: 0, dropped: [], durationsMs: [] }
  let stopped = false

  async function client() {
    const agent = new Agent({ keepAlive: !anew, maxSockets: 1 })
    do {
      if ((await ask(agent, url, next(), told)) === 'refused') break
      await sleep(pauseMs * 2 * Math.random())
    } while (!stopped)
    agent.destroy()
  }

  const ended = Promise.all(Array.from({ length: count }, client)).then(() => told)
  return {
    told,
    ended,
    stop: async () => {
      stopped = true
      return await ended
    },
  }
}

/** Asks once, and counts it. */
async function ask(agent: Agent, url: string, { method = 'GET', path, body }: Asked, told: Told) {
  const headers = body ? { 'Content-Type': 'application/json' } : {}
  const asking = request(`${url}${path}`, { agent, method, headers })
  const startMs = performance.now()
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      asking
        .once('response', resolve)
        .once('error', reject)
        .end(body && JSON.stringify(body))
    })
    for await (const _ of response);
    const { statusCode = 0 } = response
    told.statuses[statusCode] = (told.statuses[statusCode] ?? 0) + 1
    told.durationsMs.push(performance.now() - startMs)
    if (response.headers.connection === 'close') told.closing++
  } catch (error) {
    const { code, message, syscall } = error as NodeJS.ErrnoException
    // Also a reset while it connects (it waited in the kernel when the listening socket closed): no request has been sent.
    if (syscall === 'connect') {
      told.refused++
      return 'refused'
    }
    const on = asking.reusedSocket ? 'a connection that was kept' : 'a new connection'
    told.dropped.push(`${method} ${path} on ${on}: ${code} (${message})`)
  }
  return 'done'
}

/** Of all requests together. */
export function total(all: Told[]): { sent: number; answered: number; dropped: string[]; not2xx: number } {
  const answers = all.flatMap(({ statuses }) => Object.entries(statuses))
  const sum = (some: typeof answers) => some.reduce((count, [, each]) => count + each, 0)
  const dropped = all.flatMap((each) => each.dropped)
  const answered = sum(answers)
  return {
    sent: answered + dropped.length,
    answered,
    dropped,
    not2xx: sum(answers.filter(([code]) => !/^2/.test(code))),
  }
}
