import { EventEmitter, once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { atEnd } from './at_end.ts'
import { freePort } from './port.ts'

/**
 * What becomes of bytes. `hold` is a network that swallows everything: connections are accepted and nothing comes of them; what
 * was sent meanwhile arrives when it ends, as TCP repeats what was lost. A delay is for each piece of data.
 */
export type Network = 'pass' | 'hold' | { delayMs: number } | { bytesPerSecond: number }

export type TcpProxy = {
  port: number
  /** The URL with its host and port replaced by those of the proxy. */
  through: (url: string) => string
  set: (network: Network) => void
  /** Ends every connection there is, with a FIN. */
  cut: () => void
  /** Breaks every connection there is, with a RST. */
  reset: () => void
  /** Refuses new connections (nobody listens), until `accept`. Those there are stay. */
  refuse: () => Promise<void>
  accept: () => Promise<void>
  connections: () => number
  stop: () => Promise<void>
}

/** A TCP proxy on loopback before this port, stopped after the test. */
export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  const change = new EventEmitter().setMaxListeners(0)
  let network: Network = 'pass'

  async function gate(bytes: number) {
    while (network === 'hold') await once(change, 'change')
    if (typeof network !== 'object') return
    const { signal, abort } = changing()
    const delayMs = 'delayMs' in network ? network.delayMs : (1000 * bytes) / network.bytesPerSecond
    await sleep(delayMs, undefined, { signal }).catch(() => {})
    change.off('change', abort)
    if (signal.aborted) await gate(bytes)
  }

  // What is on its way when the network gets better arrives then, and not as late as it would have.
  function changing() {
    const controller = new AbortController()
    const abort = () => controller.abort()
    change.once('change', abort)
    return { signal: controller.signal, abort }
  }

  async function pump(from: Socket, to: Socket) {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        await gate(chunk.length)
        if (!to.write(chunk)) await once(to, 'drain', { signal: AbortSignal.any([closing(to)]) })
      }
      await gate(0)
      to.end()
    } catch {
      // One side is gone without a farewell: so it is for the other.
      await gate(0)
      from.destroy()
      to.destroy()
    }
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, async (client) => {
    follow(client)
    await gate(0)
    const target = follow(connect({ port: targetPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }))
    pump(client, target)
    pump(target, client)
  })

  function follow(socket: Socket) {
    sockets.add(socket)
    // Errors are for the pumps; before there are any, nobody is interested.
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket))
  }

  const each = (end: (socket: Socket) => void) => () => [...sockets].forEach(end)
  const reset = each((socket) => socket.resetAndDestroy())
  const accept = async () => void (await once(server.listen(port, '127.0.0.1'), 'listening'))
  const refuse = async () => void server.close()
  const set = (wanted: Network) => {
    network = wanted
    change.emit('change')
  }

  async function stop() {
    set('pass')
    reset()
    if (server.listening) await once(server.close(), 'close')
  }

  await accept()
  atEnd(stop)
  return {
    port,
    through: (url) => Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).href,
    set,
    cut: each((socket) => socket.destroy()),
    reset,
    refuse,
    accept,
    connections: () => sockets.size / 2,
    stop,
  }
}

function closing(socket: Socket): AbortSignal {
  const controller = new AbortController()
  socket.once('close', () => controller.abort())
  if (socket.destroyed) controller.abort()
  return controller.signal
}
