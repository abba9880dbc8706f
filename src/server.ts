import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { Logger } from 'pino'
import { createApp } from './app.ts'
import { connect } from './database/connect.ts'
import { Problem } from './errors.ts'

/** How long requests in flight may take to finish once the server is told to stop. */
const drainMs = 8_000

/** Listens, and answers until it is told to stop. `stop` takes no new connections, lets requests finish, and resolves. */
export async function serve(
  {
    databaseUrl,
    host,
    port,
    pool = 10,
    listPool = 2,
  }: { databaseUrl: string; host: string; port: number; pool?: number; listPool?: number },
  log: Logger,
): Promise<{ url: string; stop: () => Promise<void> }> {
  const sql = connect(databaseUrl, { max: pool })
  const longSql = connect(databaseUrl, { max: listPool })
  const askedSql = connect(databaseUrl, { max: listPool })
  const app = createApp({ sql, longSql, askedSql, log })
  const listener = getRequestListener(app.fetch, { errorHandler: () => badRequest(log) })
  // What is being answered on each connection. A set of answers would be less code, but keeps all that belongs to them in memory
  // until the old generation is collected: at 64 connections a quarter fewer answers a second.
  const connections = new Map<Socket, { response: ServerResponse | undefined }>()
  let draining = false

  function answer(request: IncomingMessage, response: ServerResponse) {
    const connection = connections.get(request.socket)
    if (connection) {
      connection.response = response
      response.once('close', () => {
        if (connection.response === response) connection.response = undefined
        if (draining) server.closeIdleConnections()
      })
    }
    if (draining) response.shouldKeepAlive = false
    // Only HTTP/1.1 has to say which host it means (RFC 9112, section 3.2).
    if (request.httpVersion === '1.0') request.headers.host ??= 'localhost'
    listener(request, response)
  }

  // Without Host, or with an Expect that it doesn't know, Node would answer by itself, and with no body.
  const server = createServer({ requireHostHeader: false }, answer).on('checkExpectation', answer)
  server.on('connection', (socket) => {
    connections.set(socket, { response: undefined })
    socket.once('close', () => connections.delete(socket))
  })

  // What Node can't read as HTTP never gets to the app, but is answered in the same form; except behind a request that is
  // being answered, where it would be taken for the answer to that.
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const answering = connections.get(socket as Socket)?.response
    if (error.code === 'ECONNRESET' || !socket.writable || answering) return socket.destroy()
    const body = JSON.stringify(unreadable)
    const requestId = crypto.randomUUID()
    log.info({ requestId, status: 400 })
    socket.end(
      `HTTP/1.1 400 ${STATUS_CODES[400]}\r\nConnection: close\r\nX-Request-Id: ${requestId}\r\n` +
        `Content-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  })

  server.listen(port, host)
  await once(server, 'listening')

  async function stop() {
    draining = true
    for (const { response } of connections.values()) if (response) response.shouldKeepAlive = false
    const closed = once(server, 'close')
    server.close()
    const timer = setTimeout(() => server.closeAllConnections(), drainMs)
    await closed
    clearTimeout(timer)
    await Promise.all([sql, longSql, askedSql].map((pool) => pool.end({ timeout: 1 })))
  }

  const address = server.address() as AddressInfo
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return { url: `http://${name}:${address.port}`, stop }
}

const unreadable = new Problem('invalid', 'This is not a request that the server can read.')

function badRequest(log: Logger) {
  const requestId = crypto.randomUUID()
  log.info({ requestId, status: 400 })
  const headers = { Connection: 'close', 'Content-Type': 'application/problem+json', 'X-Request-Id': requestId }
  return new Response(JSON.stringify(unreadable), { status: 400, headers })
}
