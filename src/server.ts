import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { getRequestListener } from '@hono/node-server'
import type { Logger } from 'pino'
import { setSecurityHeaders } from './api/security_headers.ts'
import { createApp } from './app.ts'
import type { Config } from './config.ts'
import { readMissingMigrations } from './database/migration.ts'
import { connectPools } from './database/pools.ts'
import { Problem } from './errors.ts'
import { askForFigures } from './gather.ts'
import { createMetrics, watchProcess } from './metrics.ts'
import { migrationNames } from './migrate.ts'
import { answerTo, problemOf } from './unreadable.ts'

/** How long requests in flight may take to finish once the server is told to stop. */
const drainMs = 3_500

/** How long a connection that nothing is asked on is kept then: a request may be on its way. Its answer says `Connection: close`. */
const idleMs = 1_500

/** How long a client has to read that its request could not be read, before the connection is gone. */
const lingerMs = 1_000

/** How long a server waits for its database before it listens all the same. */
const patienceMs = 1_000

/**
 * Listens, and answers until it is told to stop. `stop` takes no new connections, lets requests finish, and resolves. If it is not
 * to listen, somebody else does, and gives it connections to `take`.
 */
export async function serve(
  {
    databaseUrl,
    host,
    port,
    pool = 10,
    listPool = 2,
    prepare = true,
    queryTimeoutMs = 10_000,
    queryQueue = 1_000,
    requestTimeoutMs = 12_000,
    keepAliveTimeoutMs = 65_000,
    maxConnections = 4_000,
    logSlowMs = 1_000,
    serverTiming = false,
  }: Pick<Config, 'databaseUrl' | 'host' | 'port'> & Partial<Config>,
  log: Logger,
  { listens = true } = {},
): Promise<{ url: string; take: (socket: Socket) => void; stop: () => Promise<void> }> {
  const metrics = createMetrics()
  const known = await migrationNames()
  const database = connectPools(databaseUrl, {
    pool,
    listPool,
    prepare,
    timeoutMs: queryTimeoutMs,
    queue: queryQueue,
    check: async (sql) => {
      const missing = await readMissingMigrations(sql, known)
      if (missing.length === 0) return
      const list = missing.join(', ')
      throw new Problem('unavailable', `it lacks migrations, which npm run db:migrate applies: ${list}`, [
        { field: 'migrations', message: `not applied yet: ${list}; npm run db:migrate does so` },
      ])
    },
    observe: (name, durationMs) => {
      if (durationMs < logSlowMs) return
      metrics.countSlowStatement(name)
      log.warn({ statement: name, durationMs: Math.round(durationMs) }, 'a statement was slow')
    },
    onChange: (reason) =>
      reason ? log.warn(`waiting for the database: ${reason}`) : log.info('the database can be used'),
  })
  metrics.watchPool('short', database.sql.usage)
  metrics.watchPool('long', database.longSql.usage)
  metrics.watchPool('asked', database.askedSql.usage)
  metrics.watchCircuit(() => database.circuit.refusal() !== undefined)
  let draining = false
  let hurried = false
  const drained = Promise.withResolvers<void>()
  const operations = {
    probe: database.probe,
    isDraining: () => draining,
    figures: askForFigures(metrics.report),
  }
  const app = createApp({ ...database, log, metrics, operations, serverTiming })
  const listener = getRequestListener(app.fetch, { errorHandler: () => badRequest(note) })
  // What is being answered on each connection. A set of answers would be less code, but keeps all that belongs to them in memory
  // until the old generation is collected: at 64 connections a quarter fewer answers a second.
  const connections = new Map<Socket, { response: ServerResponse | undefined }>()

  /** What the app does for requests that get to it. */
  function note(requestId: string, status: number) {
    log.info({ requestId, status })
    metrics.countAnswer('', 'unreadable', status, 0)
  }

  function answer(request: IncomingMessage, response: ServerResponse) {
    setSecurityHeaders(response)
    const connection = connections.get(request.socket)
    if (connection) {
      connection.response = response
      response.once('close', () => {
        if (connection.response === response) connection.response = undefined
        // To the end: those on which nothing was asked for longest come first.
        if (connections.delete(request.socket)) connections.set(request.socket, connection)
        if (hurried) setImmediate(closeIdle)
      })
    }
    if (draining) response.shouldKeepAlive = false
    // Only HTTP/1.1 has to say which host it means (RFC 9112, section 3.2).
    if (request.httpVersion === '1.0') request.headers.host ??= 'localhost'
    listener(request, response)
  }

  // Without Host, or with an Expect that it doesn't know, Node would answer by itself, and with no body.
  const options = {
    requireHostHeader: false,
    headersTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: 500,
    keepAliveTimeout: keepAliveTimeoutMs,
    // Their lines have less than this, together with that of the address.
    maxHeaderSize: 16 * 1024,
  }
  const server = createServer(options, answer).on('checkExpectation', answer)
  // Node leaves out those beyond, If-Match say, and doesn't tell; the size of them all is limited anyhow.
  server.maxHeadersCount = 0
  server.on('connection', (socket) => {
    // Node has a limit of its own, but a crowd that keeps its connections would shut out everybody else.
    if (connections.size >= maxConnections) {
      const idle = connections.entries().find(([, { response }]) => response === undefined)?.[0]
      if (!idle) return socket.destroy()
      connections.delete(idle)
      idle.destroy()
    }
    connections.set(socket, { response: undefined })
    socket.once('close', () => {
      connections.delete(socket)
      if (draining && connections.size === 0) drained.resolve()
    })
  })

  // What Node can't read as HTTP never gets to the app, but is answered in the same form; except behind a request that is
  // being answered, where it would be taken for the answer to that. One whose own body does not come has no answer yet.
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const response = connections.get(socket as Socket)?.response
    const isAnswering = response && (response.headersSent || response.socket !== socket || response.req.complete)
    if (error.code === 'ECONNRESET' || !socket.writable || isAnswering) return socket.destroy()
    const requestId = crypto.randomUUID()
    const problem = problemOf(error)
    note(requestId, problem.status)
    socket.end(answerTo(problem, requestId))
    // Nobody would close it else, if the client doesn't.
    const timer = setTimeout(() => socket.destroy(), lingerMs)
    socket.once('close', () => clearTimeout(timer))
  })

  // Most often it can be used at once, or is just being migrated; then nobody is to be sent away.
  await database.probe().catch(database.circuit.open)
  await Promise.race([database.circuit.closed(), sleep(patienceMs)])
  if (listens) await once(server.listen(port, host), 'listening')
  // Or Node would not look for requests that take too long to come (headersTimeout, requestTimeout).
  else server.emit('listening')

  function take(socket: Socket) {
    // As Node's server has those that it accepts: a client may close its direction as soon as it has sent a request.
    socket.allowHalfOpen = true
    server.emit('connection', socket)
  }

  function closeIdle() {
    server.closeIdleConnections()
    // For Node, one on which nothing has come yet is busy.
    for (const socket of connections.keys()) if (socket.bytesRead === 0) socket.destroy()
  }
  // Not before the first requests: they would wait until it is loaded.
  setTimeout(watchProcess, 1_000).unref()

  async function stop() {
    draining = true
    for (const { response } of connections.values()) if (response) response.shouldKeepAlive = false
    // That of node:http closes idle connections at once.
    if (listens) Server.prototype.close.call(server)
    if (connections.size === 0) drained.resolve()
    const hurry = setTimeout(() => {
      hurried = true
      // Not before what has come meanwhile is read: on a busy machine, a request may have been waiting for this turn of the event loop.
      setImmediate(closeIdle)
    }, idleMs)
    // With a reset: what breaks off here must not look complete to a client of HTTP/1.0 (see api/list.ts).
    const end = setTimeout(() => {
      for (const socket of connections.keys()) socket.resetAndDestroy()
    }, drainMs)
    await drained.promise
    clearTimeout(hurry)
    clearTimeout(end)
    await database.end()
  }

  return { url: listens ? urlOf(server.address() as AddressInfo) : '', take, stop }
}

/** The URL of a server that listens there. */
export function urlOf({ address, port }: { address: string; port: number }): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`
}

function badRequest(note: (requestId: string, status: number) => void) {
  const requestId = crypto.randomUUID()
  note(requestId, 400)
  const headers = { Connection: 'close', 'Content-Type': 'application/problem+json', 'X-Request-Id': requestId }
  return new Response(JSON.stringify(problemOf({})), { status: 400, headers })
}
