import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * A free port on loopback, from below those that Linux gives to outgoing connections (ip(7), ip_local_port_range). In a
 * row that is asked for thousands of times while nobody listens on it, one of these would in the end connect to itself, or keep
 * the port from who wants to listen there again.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer().listen(port, '127.0.0.1')
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
