import { Agent, request } from 'node:http'
import type { Asked, Exchange } from './history.ts'

export type Load = {
  /** All requests so far, in the order in which they were sent; those under way have no `endMs`. */
  exchanges: Exchange[]
  /** Sends no more, and resolves when all are answered. */
  stop: () => Promise<Exchange[]>
  /** Sends one more request at once, as part of the history, and resolves when it is answered. */
  ask: (asked: Asked) => Promise<Exchange>
  /** How many connections it has open. */
  connections: () => number
}

/**
 * Sends requests at a steady rate, whether or not those before are answered, over connections that are kept, as many as it takes.
 * First it gives each of the sites 1 to `sites` a name; then of ten requests five read one of these sites or one that it has
 * created, three give one of these sites another name, one creates a site, one reads a page of ten. Every name is unique.
 * Without `fill` these sites
 * get other ids, and their first names when it happens. `url` is asked before each request, so that the server may move. A request that takes `timeoutMs` is given up: as `error: 'timeout'`.
 */
export async function startLoad({
  url,
  perSecond,
  sites = 20,
  timeoutMs = 60_000,
  fill = true,
}: {
  url: string | (() => string)
  perSecond: number
  sites?: number
  timeoutMs?: number
  fill?: boolean
}): Promise<Load> {
  const base = typeof url === 'string' ? () => url : url
  const agent = new Agent({ keepAlive: true })
  const run = crypto.randomUUID().slice(0, 8)
  const exchanges: Exchange[] = []
  const created: number[] = []
  const underWay = new Set<Promise<Exchange>>()

  function ask(asked: Asked): Promise<Exchange> {
    const exchange: Exchange = { ...asked, n: exchanges.length, startMs: performance.now() }
    exchanges.push(exchange)
    const answered = send(agent, base(), exchange, timeoutMs).then(() => {
      underWay.delete(answered)
      if (exchange.kind === 'create' && exchange.status === 201) created.push((exchange.body as { id: number }).id)
      return exchange
    })
    underWay.add(answered)
    return answered
  }

  const name = () => `${run} ${exchanges.length}`
  // In an empty table, the first ids are those of sites that are created.
  const before = fill ? 0 : 1_000_000
  const anySite = () => before + 1 + Math.floor(Math.random() * sites)

  function next(): Asked {
    const kind = Math.floor(Math.random() * 10)
    if (kind < 3) return { kind: 'read', id: anySite() }
    if (kind < 5) return { kind: 'read', id: created[Math.floor(Math.random() * created.length)] ?? anySite() }
    if (kind < 8) return { kind: 'upsert', id: anySite(), name: name() }
    if (kind < 9) return { kind: 'create', name: name() }
    return { kind: 'page', offset: Math.floor(Math.random() * sites), limit: 10 }
  }

  for (let id = 1; fill && id <= sites; id++) {
    const { status, error } = await ask({ kind: 'upsert', id, name: name() })
    if (status !== 200) throw new Error(`The load can't begin: ${status ?? error}`)
  }

  const start = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    for (const due = ((performance.now() - start) * perSecond) / 1000; sent < due; sent++) ask(next())
  }, 2)

  async function stop() {
    clearInterval(timer)
    while (underWay.size > 0) await Promise.all(underWay)
    agent.destroy()
    return exchanges
  }

  const connections = () =>
    [agent.sockets, agent.freeSockets].flatMap((sockets) => Object.values(sockets).flat()).length

  return { exchanges, stop, ask, connections }
}

const kept = ['retry-after', 'connection', 'content-type', 'location', 'etag', 'x-request-id']

const target = (asked: Asked): [method: string, path: string, name?: string] => {
  switch (asked.kind) {
    case 'read':
      return ['GET', `/site/${asked.id}`]
    case 'upsert':
      return ['POST', `/site/${asked.id}`, asked.name]
    case 'create':
      return ['POST', '/site', asked.name]
    case 'page':
      return ['GET', `/sites/${asked.offset}/${asked.limit}`]
    case 'other':
      return [asked.method ?? 'GET', asked.path]
  }
}

/** Fills in what became of it; never rejects. */
function send(agent: Agent, base: string, exchange: Exchange, timeoutMs: number): Promise<void> {
  const [method, path, name] = target(exchange)
  const { promise, resolve } = Promise.withResolvers<void>()
  const signal = AbortSignal.timeout(timeoutMs)
  const done = (error?: Error) => {
    exchange.endMs ??= performance.now()
    if (error) exchange.error ??= signal.aborted ? 'timeout' : ((error as NodeJS.ErrnoException).code ?? error.message)
    resolve()
  }
  const asking = request(`${base}${path}`, { method, agent, signal }, async (response) => {
    let text = ''
    try {
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      // Only a whole answer is one.
      exchange.status = response.statusCode as number
      // The others are not looked at, and a soak has many.
      exchange.headers = Object.fromEntries(kept.map((header) => [header, response.headers[header]]))
      exchange.body = /json/.test(response.headers['content-type'] ?? '') ? JSON.parse(text) : text
      done()
    } catch (error) {
      done(error as Error)
    }
  })
  asking.once('error', done)
  if (name === undefined) asking.end()
  else asking.setHeader('Content-Type', 'application/json').end(JSON.stringify({ name }))
  return promise
}
